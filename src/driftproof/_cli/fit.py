"""``driftproof presets fit``: a preset of a device of your own, from measurements."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from driftproof._cli.console import print_line, print_table
from driftproof._defaults import FAMILY, FITTED_DRIFT
from driftproof._errors import DriftproofError

if TYPE_CHECKING:
    from driftproof.fitting._device import FittedDevice


def fit_command(
    file: Path,
    *,
    out: Path | None = None,
    name: str | None = None,
    title: str = "",
    family: str = FAMILY,
    g_min: float = 0.0,
    g_max: float | None = None,
    degree: int | None = None,
    t0: float = 20.0,
    t_read: float = 250e-9,
    drift: str = FITTED_DRIFT,
    figure: Path | None = None,
    overwrite: bool = False,
    force: Annotated[bool, typer.Option("--force", hidden=True)] = False,
) -> None:
    r"""Fit a preset to measurements of your own device, with 95 % intervals and a figure of data and fit.

    Args:
        file (FILE): CSV file with one row per reading and the columns device (or group), g_target_us (target in µS),
            t_s (seconds since programming) and g_us (conductance that was read, in µS).
        out (FILE): Preset file to write, which must end in .toml. Default: the name of the CSV file with the ending
            .toml.
        name (NAME): Name of the preset: small letters, digits, '.', '_' and '-'. Default: made from the name of --out.
        title (TEXT): Title of the source, such as that of a paper or a wafer.
        family (TEXT): Kind of device, such as PCM.
        g_min (µS): Lower end of the range of conductances that weights are mapped to, in µS.
        g_max (µS): Upper end of the range of conductances that weights are mapped to, in µS. Default: the largest
            target in the measurements.
        degree (N): Degree of the polynomial for the programming noise σ. Default: 2, or less if there are few targets.
        t0 (SECONDS): Reference time of drift and read noise, in s. It is not fitted.
        t_read (SECONDS): Duration of a read, in s. It is not fitted.
        drift: Drift law: power, or none for a device that does not drift.
        figure (FILE): Figure of data and fit, which must end in .png or .svg. Default: the name of --out with the
            ending .png.
        overwrite: Overwrite a preset or figure that exists.
        force: The former name of --overwrite.

    Example:
        driftproof presets fit measured.csv --family PCM --out my-device.toml
    """
    from driftproof._files import make_folder, write_atomically
    from driftproof.fitting import fit_measurements, read_measurements
    from driftproof.fitting._figure import figure_bytes
    from driftproof.fitting._preset_file import preset_name, preset_text

    preset = out or file.with_suffix(".toml")
    picture = figure or preset.with_suffix(".png")
    _check_paths(file, preset, picture, overwrite or force)
    measurements = read_measurements(file)
    # fit_measurements checks the drift law
    fitted = fit_measurements(
        measurements, g_min_us=g_min, g_max_us=g_max, degree=degree, t0_s=t0, t_read_s=t_read, drift=cast(Any, drift)
    )
    called = preset_name(preset.stem) if name is None else name
    text = preset_text(fitted, measurements, name=called, title=title, family=family)
    drawn = figure_bytes(measurements, fitted, picture.suffix.removeprefix("."), called)
    for path, content in ((preset, text.encode()), (picture, drawn)):
        make_folder(path.parent)
        write_atomically(path, content)
    _show(fitted, called)
    print_line(f"preset: {preset}\nfigure: {picture}")


def _check_paths(file: Path, preset: Path, picture: Path, overwrite: bool) -> None:
    from driftproof.fitting._figure import FORMATS

    if preset.suffix != ".toml":
        raise DriftproofError(f"--out {preset}: wanted a file that ends in .toml")
    if picture.suffix.removeprefix(".") not in FORMATS:
        raise DriftproofError(f"--figure {picture}: wanted a file that ends in .png or .svg")
    if file.resolve() in (preset.resolve(), picture.resolve()):
        raise DriftproofError(
            f"{file}: the preset or its figure would overwrite the measurements: choose another --out"
        )
    there = [str(path) for path in (preset, picture) if path.exists()]
    if there and not overwrite:
        raise DriftproofError(f"{' and '.join(there)} already there: choose another --out, or add --overwrite")


def _show(fitted: FittedDevice, name: str) -> None:
    """Print every parameter of a fit with its 95 % interval, its notes and its warnings."""
    from driftproof._cli.card import fit_table
    from driftproof._reporting.cards import fit_content

    fit = fitted.fit
    counts = zip(fit.devices_at_level, fit.levels_us, strict=True)
    devices = ", ".join(f"{count} at {level:g} µS" for count, level in counts)
    content = fit_content(fit.model_dump()) or {}
    title = f"{name}: {fit.devices:,} devices, {fit.rows:,} readings"
    print_table(fit_table(title, content, f"devices: {devices}"))
    for note in fitted.notes:
        print_line(f"- {note}")
    for warning in fitted.warnings:
        print_line(warning, head="warning: ", style="yellow")
