"""``driftproof presets fit``: a preset of your own device from measurements."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from driftproof.cli.console import lines, tables
from driftproof.defaults import FAMILY, FITTED_DRIFT

if TYPE_CHECKING:
    from driftproof.fitting import FittedDevice


def fit_command(
    file: Annotated[
        Path, typer.Argument(help="CSV file with the columns device (or group), g_target_us, t_s and g_us.")
    ],
    out: Annotated[Path | None, typer.Option("--out", help="The preset; FILE.toml by default.")] = None,
    name: Annotated[str | None, typer.Option("--name", help="Of the preset; that of the file by default.")] = None,
    title: Annotated[str, typer.Option("--title", help="Of the source, such as a paper or a wafer.")] = "",
    family: Annotated[str, typer.Option("--family", help="Kind of device, such as PCM.")] = FAMILY,
    g_min: Annotated[float, typer.Option("--g-min", help="Lower end in µS of the range for weights.")] = 0.0,
    g_max: Annotated[
        float | None, typer.Option("--g-max", help="Its upper end in µS; the largest level by default.")
    ] = None,
    degree: Annotated[
        int | None, typer.Option("--degree", help="Of the polynomial of the programming spread; up to 2 by default.")
    ] = None,
    t0: Annotated[float, typer.Option("--t0", help="Reference time in s of drift and read noise (not fitted).")] = 20.0,
    t_read: Annotated[float, typer.Option("--t-read", help="Length of a read in s (not fitted).")] = 250e-9,
    drift: Annotated[
        str, typer.Option("--drift", help="power, or none for a device that does not drift.")
    ] = FITTED_DRIFT,
    figure: Annotated[
        Path | None, typer.Option("--figure", help="Data against fit, .png or .svg; beside the preset by default.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Write over files that are there.")] = False,
) -> None:
    """Fit your own device's measurements: a preset file with 95 % intervals, and a figure of data against fit."""
    from driftproof.errors import DriftproofError
    from driftproof.fitting import fit_measurements, read_measurements
    from driftproof.fitting.figure import FORMATS, figure_bytes
    from driftproof.fitting.preset_file import preset_name, preset_text

    preset = file.with_suffix(".toml") if out is None else out
    picture = preset.with_suffix(".png") if figure is None else figure
    if preset.suffix != ".toml":
        raise DriftproofError(f"--out {preset}: wanted a file that ends in .toml")
    if picture.suffix.removeprefix(".") not in FORMATS:
        raise DriftproofError(f"--figure {picture}: wanted a file that ends in .png or .svg")
    if file.resolve() in (preset.resolve(), picture.resolve()):
        raise DriftproofError(
            f"{file}: the preset or its figure would overwrite the measurements: choose another --out"
        )
    there = [str(path) for path in (preset, picture) if path.exists()]
    if there and not force:
        raise DriftproofError(f"{' and '.join(there)} already there: choose another --out, or write over with --force")
    if drift not in ("power", "none"):
        raise DriftproofError(f"--drift {drift!r}: wanted power or none")
    measurements = read_measurements(file)
    fitted = fit_measurements(
        measurements,
        g_min_us=g_min,
        g_max_us=g_max,
        degree=degree,
        t0_s=t0,
        t_read_s=t_read,
        drift="none" if drift == "none" else "power",
    )
    called = preset_name(preset.stem) if name is None else name
    text = preset_text(fitted, measurements, name=called, title=title, family=family)
    drawn = figure_bytes(measurements, fitted, picture.suffix.removeprefix("."), called)
    preset.parent.mkdir(parents=True, exist_ok=True)
    picture.parent.mkdir(parents=True, exist_ok=True)
    preset.write_text(text, encoding="utf-8", newline="\n")
    picture.write_bytes(drawn)

    tables().print(parameter_table(fitted, called))
    console = lines()
    for note in fitted.notes:
        console.print(f"- {escape(note)}")
    for warning in fitted.warnings:
        console.print(f"[yellow]warning:[/yellow] {escape(warning)}")
    console.print(f"preset: {escape(str(preset))}\nfigure: {escape(str(picture))}")


def parameter_table(fitted: FittedDevice, name: str) -> Table:
    """Return every parameter of a fit with its 95 % interval."""
    fit = fitted.fit
    table = Table(
        title=escape(f"{name}: {fit.devices:,} devices, {fit.rows:,} readings"),
        title_justify="left",
        caption_justify="left",
        box=None,
        pad_edge=False,
        padding=(0, 2, 0, 0),
    )
    table.add_column("parameter")
    table.add_column("value", justify="right", no_wrap=True)
    table.add_column("95 % interval", justify="right", no_wrap=True)
    table.add_column("unit")
    for one in fit.parameters:
        low, high = ("open" if end is None else f"{end:.4g}" for end in (one.low95, one.high95))
        table.add_row(escape(one.name), f"{one.value:.4g}", f"{low} to {high}", one.unit)
    counts = ", ".join(
        f"{count} at {level:g} µS" for level, count in zip(fit.levels_us, fit.devices_at_level, strict=True)
    )
    table.caption = f"Devices: {counts}"
    return table
