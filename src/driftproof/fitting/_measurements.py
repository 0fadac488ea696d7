"""Read a CSV file of measured conductances. All faults are reported, with their lines."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import median_abs_deviation

from driftproof._errors import DriftproofError, did_you_mean
from driftproof._files import read_cells

Floats = npt.NDArray[np.float64]
NUMBERS = {"g_target_us": "µS", "t_s": "s", "g_us": "µS"}
WANTED = "device (or group), g_target_us, t_s and g_us"
_SHOWN = 20
# the line of the file (0 for the file as a whole), and the values that came and were wanted
type Fault = tuple[Any, str]  # Any: pandas types a label by all that one can be
LEAST_DEVICES = 10
MOST_LEVELS = 50
# A reading is called a slip of 10, 1,000 or a million times if it is that far from its level's median within a factor
# of 1.4, and 8 robust standard deviations away: a device of the normal law does that once in 10^15. Where a level is
# so wide that it holds such factors itself (read noise of a small conductance), ten times more is no slip.
_POWERS = (-6, -3, -1, 1, 3, 6)
_NEAR = 0.15
_FAR = 8.0
_WIDE = 0.3
_UNITS = {3: " (is g_us in nS?)", 6: " (is g_us in pS?)", -3: " (is g_us in mS?)", -6: " (is g_us in S?)"}


@dataclass(frozen=True)
class Measurements:
    """The rows of a file of measurements.

    Attributes:
        file: Name of the file, without the folder.
        sha256: Hash of the file's bytes.
        told_apart: Whether rows name single devices; else they name groups of devices.
        who: Device or group of each row.
        target_us: Target in µS, [rows].
        t_s: Time after programming in s, [rows].
        g_us: Reading in µS, [rows].
        line: Line of the file, [rows]; the header is line 1.
        notes: Notes for the reader, such as columns that are not used.
    """

    file: str
    sha256: str
    told_apart: bool
    who: tuple[str, ...]
    target_us: Floats
    t_s: Floats
    g_us: Floats
    line: npt.NDArray[np.int64]
    notes: tuple[str, ...] = ()

    @cached_property
    def rows(self) -> pd.DataFrame:
        """Table with the columns who, target_us, t_s, g_us and line."""
        names = ("who", "target_us", "t_s", "g_us", "line")
        return pd.DataFrame({name: getattr(self, name) for name in names})

    def devices_at(self, level_us: float) -> int:
        """Return how many devices a level has; for groups, the largest number of readings at one time."""
        rows = self.rows[self.target_us == level_us]
        return int(rows["who"].nunique() if self.told_apart else rows["t_s"].value_counts().max())

    def ends(self, level_us: float) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Return the rows of a level with each device's first and last reading (for groups: with the level's)."""
        rows = self.rows[self.target_us == level_us]
        by = rows.groupby("who" if self.told_apart else "target_us")["t_s"]
        first, last = (rows.index[rows["t_s"] == by.transform(end)].to_numpy() for end in ("min", "max"))
        return first, last


def read_measurements(path: str | Path) -> Measurements:
    r"""Return the rows of a CSV file with the columns ``device`` (or ``group``), ``g_target_us``, ``t_s``, ``g_us``.

    Args:
        path: File with one row per reading: name of the device, its target in µS, the time since it was programmed in
            s, and the reading in µS.

    Raises:
        DriftproofError: If the file does not exist, is no CSV file, or has no such columns; if rows are impossible
            (the message names their lines), units look wrong, or a level has too few devices. Faults are reported
            together.

    >>> import tempfile
    >>> rows = [f"d{i},10,{t},{10 + i / 10}" for i in range(12) for t in (1, 100)]
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "mine.csv"
    ...     _ = path.write_text("device,g_target_us,t_s,g_us\n" + "\n".join(rows))
    ...     read_measurements(path).g_us.shape
    (24,)
    """
    path = Path(path)
    if not path.is_file():
        raise DriftproofError(f"{path}: there is no such file; wanted a CSV file with the columns {WANTED}")
    header, table = read_cells(path)
    who = _check_header(path, header)
    if table.empty:
        raise DriftproofError(f"{path}: no rows under the header: wanted a row per reading")
    counts = table.notna().sum(axis=1)
    faults: list[Fault] = [
        (line, f"{f'{count} cells' if count else 'an empty line'}: wanted {len(header)} cells, as in the header")
        for line, count in counts[counts != len(header)].items()
    ]
    cells = table.loc[counts == len(header), : len(header) - 1].set_axis(header, axis=1)
    nameless = cells[who] == ""
    faults += [(line, f"{who} is empty: wanted a name or number") for line in cells.index[nameless]]
    numbers = cells[list(NUMBERS)].apply(pd.to_numeric, errors="coerce").astype(float)
    good = np.isfinite(numbers) & (numbers >= 0)
    for column in NUMBERS:
        faults += [(line, _complaint(text, column)) for line, text in cells.loc[~good[column], column].items()]
    rows = numbers[good.all(axis=1) & ~nameless]
    unused = [name for name in header if name not in (who, *NUMBERS)]
    measurements = Measurements(
        file=path.name,
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        told_apart=who == "device",
        who=tuple(cells.loc[rows.index, who]),
        target_us=rows["g_target_us"].to_numpy(),
        t_s=rows["t_s"].to_numpy(),
        g_us=rows["g_us"].to_numpy(),
        line=rows.index.to_numpy(),
        notes=(f"These columns are not used: {', '.join(unused)}.",) if unused else (),
    )
    faults += _cross_faults(measurements)
    if faults:
        faults.sort(key=lambda fault: fault[0])
        lines = [f"  {f'line {line}: ' if line else ''}{text}" for line, text in faults[:_SHOWN]]
        more = [f"  ... and {len(faults) - _SHOWN} more"] if len(faults) > _SHOWN else []
        count = f"{len(faults)} fault{'s' if len(faults) > 1 else ''}"
        head = f"{path}: {count}; mend the file and fit again (the header is line 1)"
        raise DriftproofError("\n".join([head, *lines, *more]))
    return measurements


def _check_header(path: Path, header: list[str]) -> str:
    """Return the column that names devices or groups. Raise if a column is missing."""
    who = "device" if "device" in header else "group"
    rest = [name for name in header if name not in (who, *NUMBERS)]
    missing = [
        ("device or group" if name == "group" else name)
        + did_you_mean("device" if name == "group" else name, rest).replace("did you mean", "is it")
        for name in (who, *NUMBERS)
        if name not in header
    ]
    if missing:
        raise DriftproofError(
            f"{path}: line 1: no column {', no column '.join(missing)}; it has {', '.join(header)}; wanted {WANTED}"
        )
    return who


def _complaint(text: str, column: str) -> str:
    """Return the complaint about a cell that is not a number of at least 0."""
    unit, value = NUMBERS[column], pd.to_numeric(text, errors="coerce")
    if not text:
        return f"{column} is empty: wanted a number in {unit}"
    if np.isinf(value) or text.lower().lstrip("+-") == "nan":
        return f"{column} = {text}: wanted a finite number in {unit}"
    if value < 0:
        return f"{column} = {text}: wanted 0 or more, in {unit}"
    hint = " (a decimal comma? wanted a point)" if "," in text else ""
    return f"{column} = {text!r}: wanted a number in {unit}{hint}"


def _cross_faults(measurements: Measurements) -> list[Fault]:
    """Return the faults that show only between rows."""
    rows, told_apart = measurements.rows, measurements.told_apart
    faults = _in_devices(rows) if told_apart else []
    if rows.empty:
        return faults
    if not rows["g_us"].any():
        return [*faults, (0, "every g_us is 0: wanted readings of devices that conduct")]
    if (count := rows["target_us"].nunique()) > MOST_LEVELS:
        text = (
            f"{count} different values of g_target_us: wanted at most {MOST_LEVELS} levels, each with {LEAST_DEVICES}"
        )
        return [*faults, (0, f"{text} devices or more: give devices of one level the same target")]
    what = "devices" if told_apart else "readings at one time"
    for level in np.unique(rows["target_us"]):
        if (count := measurements.devices_at(level)) < LEAST_DEVICES:
            text = f"level {level:g} µS: {count} {what} came, at least {LEAST_DEVICES} are wanted of each level"
            faults.append((0, f"{text}: measure more, or leave the level out"))
    return faults + (_wrong_units(rows) or _slips(rows))


def _in_devices(rows: pd.DataFrame) -> list[Fault]:
    """Return the faults within the rows of one device: repeats, a second target, times that do not increase."""
    faults: list[Fault] = []
    row: Any  # pandas types a cell by all that one can be
    firsts: dict[str, Any] = {}
    at_time: dict[tuple[str, float], Any] = {}
    latests: dict[str, Any] = {}
    for row in rows.itertuples():
        first, same = firsts.setdefault(row.who, row), at_time.setdefault((row.who, row.t_s), row)
        latest = latests.setdefault(row.who, row)
        if row.target_us != first.target_us:
            text = f"device {row.who} has g_target_us = {row.target_us:g}, but {first.target_us:g} on line {first.line}"
            faults.append((row.line, f"{text}: wanted one target per device"))
        if same.line != row.line:
            text = f"device {row.who} at t_s = {row.t_s:g} once more (line {same.line} has g_us = {same.g_us:g}, this "
            text += f"line {row.g_us:g}): wanted one reading per device and time"
            alike = f"the same as line {same.line}: wanted each reading once"
            faults.append((row.line, alike if same.g_us == row.g_us else text))
        elif row.t_s < latest.t_s:
            text = f"device {row.who}: t_s = {row.t_s:g} after {latest.t_s:g} on line {latest.line}"
            faults.append((row.line, f"{text}: wanted times that increase within a device"))
        else:
            latests[row.who] = row
    return faults


def _wrong_units(rows: pd.DataFrame) -> list[Fault]:
    """Return a fault if the earliest readings are a power of ten away from the targets, by their median."""
    largest = float(rows["target_us"].max())
    if 0 < largest < 1e-4:
        return [(0, f"the largest g_target_us is {largest:g}: wanted µS; is it in S? then multiply by 1e6")]
    first = rows["t_s"] == rows.groupby(["who", "target_us"])["t_s"].transform("min")
    use = rows[first & (rows["target_us"] > 0) & (rows["g_us"] > 0)]
    ratio = float((use["g_us"] / use["target_us"]).median()) if len(use) >= LEAST_DEVICES else 1.0
    power = round(math.log10(ratio))
    if power == 0 or abs(math.log10(ratio) - power) > 0.25:
        return []
    mend = f"divide g_us by {10.0**power:g}" if power > 0 else f"multiply g_us by {10.0**-power:g}"
    text = (
        f"g_us is about {10.0**power:g} times g_target_us (median of {len(use)} earliest readings: {ratio:.4g} times)"
    )
    return [(0, f"{text}: wanted both in µS{_UNITS.get(power, '')}: {mend}, or mend g_target_us")]


def _slips(rows: pd.DataFrame) -> list[Fault]:
    """Return single readings that are ten or a thousand times off the median of their level.

    The median is that of the same time where the level has many readings at that time.
    """
    faults: list[Fault] = []
    row: Any
    rows = rows[rows["target_us"] > 0]
    many = rows.groupby(["target_us", "t_s"])["t_s"].transform("count") >= LEAST_DEVICES
    for _, alike in rows.groupby(["target_us", rows["t_s"].where(many, -1.0)]):
        g = alike["g_us"]
        middle, sd = float(g.median()), float(median_abs_deviation(g, scale="normal"))
        if len(alike) < LEAST_DEVICES or middle <= 0:
            continue
        with np.errstate(divide="ignore"):
            decades = np.log10(g / middle)
        for power in (p for p in _POWERS if p != 1 or sd < _WIDE * middle):
            for row in alike[((decades - power).abs() < _NEAR) & ((g - middle).abs() > _FAR * sd)].itertuples():
                text = (
                    f"g_us = {row.g_us:g} is about {10.0**power:g} times the median of its level, {middle:.4g} µS: "
                    "a slip of the unit? mend it, or leave the device out and say so where you cite the data"
                )
                faults.append((row.line, text))
    return faults
