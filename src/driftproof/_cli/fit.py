"""``driftproof presets fit``: a preset of a device of your own, from measurements."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, cast

import typer

from driftproof._cli.console import print_line, print_table
from driftproof._defaults import FAMILY, FITTED_DRIFT, MISSING, NEGATIVE
from driftproof._errors import DriftproofError

if TYPE_CHECKING:
    from driftproof.fitting._device import FittedDevice
    from driftproof.fitting._measurements import Measurements

FIRST_READ, LAST_PULSE = "first-read", "last-pulse"


@dataclass(kw_only=True)
class TableChoices:
    """What the file does not say itself.

    Attributes:
        columns (NAME=HEADER): Header of a column in the file: device="Device ID",g_us="Cond. (S)". The names are
            device, group, g_target_us, t_s, g_us and v (the voltage). Several headers can name a device together:
            device="Row No.+Column No.". Repeat the option, or separate by commas.
            Default: usual headers are recognised.
        unit (NAME=UNIT): Unit of a column, whatever its header says: g_us=nS,t_s=h. A unit alone (S) holds for the
            columns whose headers have none. Units are S, mS, uS, nS, pS, A, mA, uA, nA, Ohm, kOhm, MOhm, s, ms, min, h
            and d. Repeat the option, or separate by commas.
        sep (CHARACTER): Separator of the columns: one character, or tab, space, comma, semicolon. Default: recognised.
        decimal (MARK): Decimal mark, a point or a comma. Default: recognised.
        comment (TEXT): Start of the lines that are comments, or none if no lines are. Default: lines that begin with #,
            ! or %.
        voltage (VOLTS): Read voltage in V, for a file of currents without a column of voltages.
        missing (CHOICE): What to do with readings that are empty, nan or an overflow: refuse, or leave-out.
        negative (CHOICE): What to do with negative conductances: refuse, or zero (they are noise around zero).
    """

    panel: ClassVar[str] = "Reading the file"
    columns: list[str] | None = None
    unit: list[str] | None = None
    sep: str | None = None
    decimal: str | None = None
    comment: str | None = None
    voltage: float | None = None
    missing: str = MISSING
    negative: str = NEGATIVE

    def read(self, file: Path) -> Measurements:
        """Return the measurements in a file."""
        from driftproof.fitting import read_measurements

        return read_measurements(
            file,
            columns=self.columns or (),
            unit=self.unit or (),
            sep=self.sep,
            decimal=self.decimal,
            comment=self.comment,
            voltage_v=self.voltage,
            missing=self.missing,
            negative=self.negative,
        )


def fit_command(
    file: Path,
    table: TableChoices,
    *,
    out: Path | None = None,
    name: str | None = None,
    title: str = "",
    family: str = FAMILY,
    g_min: float = 0.0,
    g_max: float | None = None,
    degree: int | None = None,
    t0: str | None = None,
    times_from: str = FIRST_READ,
    t_read: float = 250e-9,
    drift: str = FITTED_DRIFT,
    figure: Path | None = None,
    overwrite: bool = False,
    force: Annotated[bool, typer.Option("--force", hidden=True)] = False,
) -> None:
    r"""Fit a preset to measurements of your own device, with 95 % intervals and a figure of data and fit.

    The file is a table as instruments write it: separators, decimal commas, comments, lines above the header and units
    in headers are recognised, and the command says what it understood. docs/lab_data.md has a worked example.

    Args:
        file (FILE): Table with one row per reading and the columns device (or group), g_target_us (the target), t_s
            (the time) and g_us (the reading), under these or usual other headers; or with one column per time. Each
            target needs at least 10 devices.
        table: Options of how the file is read.
        out (FILE): Preset file to write, which must end in .toml. Default: the name of the table with the ending .toml.
        name (NAME): Name of the preset: small letters, digits, '.', '_' and '-'. Default: made from the name of --out.
        title (TEXT): Title of the source, such as that of a paper or a wafer.
        family (TEXT): Kind of device, such as PCM.
        g_min (µS): Lower end of the range of conductances that weights are mapped to, in µS.
        g_max (µS): Upper end of the range of conductances that weights are mapped to, in µS. Default: the largest
            target in the measurements.
        degree (N): Degree of the polynomial for the programming noise σ. Default: 2, or less if there are few targets.
        t0 (TIME): Reference time of drift and read noise: how long after the last programming pulse t = 0 is, in s or
            as 1h. It is not fitted. Default: 20 s if the readings begin within a minute; else it must be given.
        times_from (CHOICE): What the times in the file count from: first-read (t = 0, which was t0 after the last
            pulse), or last-pulse (the last programming pulse: t0 is subtracted).
        t_read (SECONDS): Duration of a read, in s. It is not fitted.
        drift: Drift law: power, or none for a device that does not drift.
        figure (FILE): Figure of data and fit, which must end in .png or .svg. Default: the name of --out with the
            ending .png.
        overwrite: Overwrite a preset or figure that exists.
        force: The former name of --overwrite.

    Example:
        driftproof presets fit measured.csv --family PCM --out my-device.toml
        driftproof presets fit export.txt --columns device="Cell" --voltage 0.2
    """
    from driftproof._files import make_folder, write_atomically
    from driftproof.fitting import fit_measurements
    from driftproof.fitting._figure import figure_bytes
    from driftproof.fitting._preset_file import preset_name, preset_text

    preset = out or file.with_suffix(".toml")
    picture = figure or preset.with_suffix(".png")
    _check_paths(file, preset, picture, overwrite or force)
    t0_s = _reference_time(t0, times_from)
    measurements = table.read(file)
    for sentence in measurements.understood:
        print_line(sentence, head="read: " if sentence is measurements.understood[0] else "      ")
    if times_from == LAST_PULSE and t0_s is not None:
        measurements = measurements.since_first_read(t0_s)
    # fit_measurements checks the drift law
    fitted = fit_measurements(
        measurements, g_min_us=g_min, g_max_us=g_max, degree=degree, t0_s=t0_s, t_read_s=t_read, drift=cast(Any, drift)
    )
    called = preset_name(preset.stem) if name is None else name
    text = preset_text(fitted, measurements, name=called, title=title, family=family)
    drawn = figure_bytes(measurements, fitted, picture.suffix.removeprefix("."), called)
    for path, content in ((preset, text.encode()), (picture, drawn)):
        make_folder(path.parent)
        write_atomically(path, content)
    _show(fitted, called)
    print_line(f"preset: {preset}\nfigure: {picture}")


def _reference_time(t0: str | None, times_from: str) -> float | None:
    """Return t0 in s; None if it is not given."""
    from driftproof._errors import check_choice
    from driftproof.times import parse_time

    check_choice("--times-from", times_from, (FIRST_READ, LAST_PULSE))
    if t0 is None and times_from == LAST_PULSE:
        raise DriftproofError(
            "--times-from last-pulse: say with --t0 how long after the last pulse t = 0 is, such as --t0 20 or --t0 1h"
        )
    return None if t0 is None else parse_time(t0)


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
