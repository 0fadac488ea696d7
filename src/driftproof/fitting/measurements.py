"""Read a CSV file of measured conductances; every fault is said with its line, and none is skipped."""

from __future__ import annotations

import csv
import hashlib
import io
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from driftproof.errors import DriftproofError, did_you_mean
from driftproof.fitting.faults import Fault, cross_faults

Floats = npt.NDArray[np.float64]
NUMBERS = {"g_target_us": "µS", "t_s": "s", "g_us": "µS"}
WANTED = "device (or group), g_target_us, t_s and g_us"
_SHOWN = 20


@dataclass(frozen=True)
class Measurements:
    """What a file holds, row by row.

    Attributes:
        file: its name, without the folder.
        sha256: of its bytes.
        told_apart: whether rows name single devices; else only groups of them.
        who: the device or group of each row.
        target_us, t_s, g_us: [rows], target in µS, time after programming in s, what was read in µS.
        line: [rows], line of the file; the header is line 1.
        notes: what the reader should know, such as columns that are not used.
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

    def ends(self, level_us: float) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Return the rows of a level with each device's first and last reading (of groups: with the level's)."""
        rows = np.flatnonzero(self.target_us == level_us)
        rows = rows[np.argsort(self.t_s[rows], kind="stable")]
        if not self.told_apart:
            t = self.t_s[rows]
            return rows[t == t[0]], rows[t == t[-1]]
        who = np.array(self.who)[rows]
        first = np.unique(who, return_index=True)[1]
        last = len(rows) - 1 - np.unique(who[::-1], return_index=True)[1]
        return rows[first], rows[last]


def read_measurements(path: str | Path) -> Measurements:
    r"""Return the rows of a CSV file with the columns ``device`` (or ``group``), ``g_target_us``, ``t_s``, ``g_us``.

    Args:
        path: one row per reading: which device, its target in µS, seconds since it was programmed, what was read in µS.

    Raises:
        DriftproofError: no such file; not a CSV file; missing columns; rows that cannot be (with their lines); units
            that look wrong; too few devices of a level. Faults are reported together.

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
    content = path.read_bytes()
    rows = _rows(path, content)
    header = [cell.strip() for cell in rows[0][1]]
    who_column = _check_header(path, header)
    place = {name: header.index(name) for name in (who_column, *NUMBERS)}

    faults: list[Fault] = []
    who: list[str] = []
    numbers: list[tuple[float, float, float]] = []
    lines: list[int] = []
    for line, cells in rows[1:]:
        if not cells:
            faults.append(Fault(line, f"an empty line: wanted {len(header)} cells"))
            continue
        if len(cells) != len(header):
            faults.append(Fault(line, f"{len(cells)} cells: wanted {len(header)}, as in the header"))
            continue
        name, found = cells[place[who_column]].strip(), []
        if not name:
            faults.append(Fault(line, f"{who_column} is empty: wanted a name or number"))
        for column in NUMBERS:
            value = _number(cells[place[column]].strip(), column)
            if isinstance(value, str):
                faults.append(Fault(line, value))
            else:
                found.append(value)
        if name and len(found) == len(NUMBERS):
            who.append(name)
            numbers.append((found[0], found[1], found[2]))
            lines.append(line)
    table = np.array(numbers, dtype=np.float64).reshape(-1, 3)
    unused = [name for name in header if name not in place]
    measurements = Measurements(
        file=path.name,
        sha256=hashlib.sha256(content).hexdigest(),
        told_apart=who_column == "device",
        who=tuple(who),
        target_us=table[:, 0],
        t_s=table[:, 1],
        g_us=table[:, 2],
        line=np.array(lines, dtype=np.int64),
        notes=(f"columns that are not used: {', '.join(unused)}",) if unused else (),
    )
    faults += cross_faults(
        measurements.told_apart, who, measurements.target_us, measurements.t_s, measurements.g_us, measurements.line
    )
    if faults:
        raise DriftproofError(_report(path, faults))
    return measurements


def _rows(path: Path, content: bytes) -> list[tuple[int, list[str]]]:
    """Return every row with the line on which it begins."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DriftproofError(f"{path}: not a CSV file in UTF-8 ({error.reason} at byte {error.start})") from None
    if "\0" in text:
        raise DriftproofError(f"{path}: not a CSV file: it has zero bytes; save it as CSV in UTF-8")
    if not text.strip():
        raise DriftproofError(f"{path} is empty: wanted a header with the columns {WANTED}, and a row per reading")
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    rows: list[tuple[int, list[str]]] = []
    line = 1
    try:
        for cells in reader:
            rows.append((line, cells))
            line = reader.line_num + 1
    except csv.Error as error:
        raise DriftproofError(f"{path}: not a CSV file: line {line}: {error}") from None
    while rows and not rows[-1][1]:  # empty lines at the end mean nothing
        rows.pop()
    if len(rows) == 1:
        raise DriftproofError(f"{path}: no rows under the header: wanted a row per reading")
    return rows


def _check_header(path: Path, header: list[str]) -> str:
    """Return the column that names devices or groups; complain about what is missing or there twice."""
    for mark, name in ((";", "semicolons"), ("\t", "tabs")):
        if len(header) == 1 and mark in header[0]:
            raise DriftproofError(
                f"{path}: line 1: the cells are separated by {name}: wanted commas (and decimal points)"
            )
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise DriftproofError(f"{path}: line 1: {', '.join(twice)} stands there more than once")
    who = "device" if "device" in header else "group"
    missing = [name for name in (who, *NUMBERS) if name not in header]
    if missing:
        names = ["device or group" if name == "group" else name for name in missing]
        rest = [name for name in header if name not in (who, *NUMBERS)]
        hints = [
            f"{text}{did_you_mean('device' if name == 'group' else name, rest).replace('did you mean', 'is it')}"
            for text, name in zip(names, missing, strict=True)
        ]
        raise DriftproofError(
            f"{path}: line 1: no column {', no column '.join(hints)}; it has {', '.join(header)}; wanted {WANTED}"
        )
    return who


def _number(text: str, column: str) -> float | str:
    """Return the number of a cell, or what is wrong with it."""
    unit = NUMBERS[column]
    if not text:
        return f"{column} is empty: wanted a number in {unit}"
    try:
        value = float("x" if "_" in text else text)
    except ValueError:
        hint = " (a decimal comma? wanted a point)" if "," in text else ""
        return f"{column} = {text!r}: wanted a number in {unit}{hint}"
    if not math.isfinite(value):
        return f"{column} = {text}: wanted a finite number in {unit}"
    if value < 0:
        return f"{column} = {text}: wanted 0 or more, in {unit}"
    return value


def _report(path: Path, faults: list[Fault]) -> str:
    ordered = sorted(faults, key=lambda fault: fault.line or 0)
    shown = [f"  {f'line {fault.line}: ' if fault.line else ''}{fault.text}" for fault in ordered[:_SHOWN]]
    if len(ordered) > _SHOWN:
        shown.append(f"  ... and {len(ordered) - _SHOWN} more")
    count = f"{len(ordered)} fault{'s' if len(ordered) > 1 else ''}"
    return "\n".join([f"{path}: {count}; mend the file and fit again (the header is line 1)", *shown])
