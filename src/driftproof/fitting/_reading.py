"""A file or a DataFrame of measured conductances → measurements. All faults are reported, with their lines."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path

import pandas as pd

from driftproof._defaults import MISSING, NEGATIVE
from driftproof._errors import DriftproofError
from driftproof._lab_tables import WHOLE, Column, Fault, LabTable, TableOptions, parse_pairs, read_table
from driftproof.fitting._checks import cross_faults
from driftproof.fitting._measurements import Measurements

_G = "g conductance gread readg readconductance gmeas gmeasured measuredg measuredconductance readingg"
_I = "i current iread readi readcurrent imeas imeasured measuredcurrent id i1 i2 i3 i4"
_R = "r resistance rread readr readresistance rmeas rmeasured measuredresistance"
_READ = {
    name: kind for kind, names in (("conductance", _G), ("current", _I), ("resistance", _R)) for name in names.split()
}
_TARGET = "target gtarget targetg targetconductance conductancetarget gset setg setpoint itarget targetcurrent rtarget"


def _named(names: str) -> dict[str, str]:
    return dict.fromkeys(names.split(), "")


COLUMNS = (
    Column("device", "text", _named("dev deviceid devid devicename devicenumber deviceno cell cellid cellname")),
    Column("group", "text", instead="device", needed=False),
    Column("g_target_us", "conductance", _named(f"{_TARGET} targetresistance level targetlevel")),
    Column(
        "t_s", "time", _named("t time elapsed elapsedtime timesinceprogramming timeafterprogramming tread readtime")
    ),
    Column("g_us", "conductance", _READ),
    Column("v", "voltage", _named("v voltage vread readv readvoltage vmeas bias vbias v1 v2 v3 v4"), needed=False),
)
"""Columns of measurements, with other headers that they may have."""
NAMES = tuple(column.name for column in COLUMNS)
_SHOWN = 20


def read_measurements(
    source: str | Path | pd.DataFrame,
    *,
    columns: str | Iterable[str] | Mapping[str, str] = (),
    unit: str | Iterable[str] | Mapping[str, str] = (),
    sep: str | None = None,
    decimal: str | None = None,
    comment: str | None = None,
    voltage_v: float | None = None,
    missing: str = MISSING,
    negative: str = NEGATIVE,
) -> Measurements:
    r"""Return the readings of a table with the columns ``device`` (or ``group``), ``g_target_us``, ``t_s``, ``g_us``.

    The table is a file as instruments write it, or a pandas DataFrame. Encoding, separators, decimal mark, comments and
    lines above the header are recognised, as are usual headers with their units: ``Device ID``, ``Target (S)``,
    ``Time [min]``, ``G (uS)``, ``I (A)`` beside ``V (V)``, ``R (kOhm)``; or one column per time, ``1 s``, ``1 h``. What
    was understood is in ``understood`` of the result. What can be understood in two ways is refused, with the argument
    that decides; docs/lab_data.md has examples.

    Args:
        source: File or DataFrame with one row per reading: name of the device, its target, the time, and the reading.
        columns: Headers of wanted columns, as a mapping or as text: ``device=Device ID,g_us=Cond``.
        unit: Units of columns, whatever their headers say, as a mapping or as text: ``g_us=nS,t_s=h``. One unit alone
            (``S``) holds for the columns whose headers have none.
        sep: Separator of columns (default: recognised).
        decimal: ``.`` or ``,`` (default: recognised).
        comment: Start of lines that are comments, or ``none`` (default: ``#``, ``!`` and ``%``).
        voltage_v: Read voltage in V, for currents without a column of voltages.
        missing: ``leave-out`` leaves out readings that are empty, nan or an overflow (default: ``refuse``).
        negative: ``zero`` takes negative conductances as 0 (default: ``refuse``).

    Raises:
        DriftproofError: If the file does not exist, is no table of text, or has no such columns; if rows are impossible
            (the message names their lines), units look wrong, or a level has too few devices. Faults are reported
            together.

    >>> import tempfile
    >>> rows = [f"d{i};1e-5;{t};{1e-5 + i * 1e-7}" for i in range(12) for t in (1, 100)]
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "mine.csv"
    ...     _ = path.write_text("Wafer 7\nDevice ID;Target (S);Time (min);G (S)\n" + "\n".join(rows))
    ...     found = read_measurements(path)
    >>> found.g_us[:3].tolist(), found.t_s[:2].tolist()
    ([10.0, 10.0, 10.1], [60.0, 6000.0])
    >>> print(found.understood[1])
    device is 'Device ID'; g_target_us is 'Target (S)' × 1e+06; t_s is 'Time (min)' × 60; g_us is 'G (S)' × 1e+06.
    """
    options = TableOptions(
        columns=columns if isinstance(columns, Mapping) else parse_pairs("--columns", columns, NAMES),
        unit=unit if isinstance(unit, Mapping) else parse_pairs("--unit", unit, NAMES, every=True),
        sep=sep,
        decimal=decimal,
        comment=comment,
        voltage_v=voltage_v,
        missing=missing,
        negative=negative,
    )
    if isinstance(source, pd.DataFrame):
        name, place, table = "a DataFrame", "the DataFrame", read_table(source, COLUMNS, options)
        content = source.to_csv(index=False).encode()
    else:
        path = Path(source)
        if not path.is_file():
            raise DriftproofError(f"{path}: there is no such file; wanted a table of measurements, such as a CSV file")
        name, place, table, content = path.name, str(path), read_table(path, COLUMNS, options), path.read_bytes()
    measurements, faults = _measurements(table, name, hashlib.sha256(content).hexdigest())
    faults += cross_faults(measurements)
    if faults:
        raise DriftproofError(_in_lines(place, faults, table.place))
    return measurements


def _measurements(table: LabTable, name: str, sha256: str) -> tuple[Measurements, list[Fault]]:
    """Return the rows that can be measurements, and the faults of the others."""
    values, faults = table.values, list(table.faults)
    who = "device" if "device" in values else "group"
    good = pd.Series(True, values.index)
    for column, unit in (("g_target_us", "µS"), ("t_s", "s"), ("g_us", "µS")):
        below = values[column] < 0
        faults += [
            (line, f"{column} = {g:g}: wanted 0 or more, in {unit}") for line, g in values.loc[below, column].items()
        ]
        good &= ~below
    rows = values[good.to_numpy()]
    unused = (f"These columns are not used: {', '.join(table.unused)}.",) if table.unused else ()
    measurements = Measurements(
        file=name,
        sha256=sha256,
        told_apart=who == "device",
        who=tuple(rows[who]),
        target_us=rows["g_target_us"].to_numpy(),
        t_s=rows["t_s"].to_numpy(),
        g_us=rows["g_us"].to_numpy(),
        line=rows.index.to_numpy(),
        notes=(*table.changed, *unused),
        place=table.place,
        understood=table.understood,
    )
    return measurements, faults


def _in_lines(name: str, faults: list[Fault], place: str) -> str:
    """Return the message about all faults, and the options that settle some kinds of them."""
    faults.sort(key=lambda fault: fault[0])
    lines = [f"  {f'{place} {line}: ' if line != WHOLE else ''}{text}" for line, text in faults[:_SHOWN]]
    more = [f"  ... and {len(faults) - _SHOWN} more"] if len(faults) > _SHOWN else []
    count = f"{len(faults)} fault{'s' if len(faults) > 1 else ''}"
    texts = [text for _, text in faults]
    if any(text.startswith("g_us") and "wanted 0 or more" in text for text in texts):
        more.append("  --negative zero takes negative conductances as 0: noise around zero")
    if any(text.startswith(("g_us", "v")) and ("is empty" in text or "finite number" in text) for text in texts):
        more.append("  --missing leave-out leaves out readings that failed")
    counted = "the first line is line 1" if place == "line" else "the first row is row 0"
    return "\n".join([f"{name}: {count}; mend the file and fit again ({counted})", *lines, *more])
