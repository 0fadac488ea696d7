"""A CSV file of one layer's conductances → arrays; what is wrong is said with its line."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
import numpy.typing as npt

from driftproof.errors import DriftproofError, did_you_mean

Lines = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
_LARGEST = 2**31  # index; so that products of two stay whole numbers


def read_csv(path: Path, names: tuple[str, ...]) -> tuple[dict[str, Floats], Lines]:
    """Return the columns ``names`` as [times, out, in], with ``t_s`` [times] if it is there, and each cell's line.

    Args:
        path: with the columns out, in (both from 0), ``names``, and maybe t_s, in any order; every (out, in, t_s) once.
            Empty lines and lines that begin with ``#`` mean nothing.
        names: of the conductances.

    Raises:
        DriftproofError: what is missing, there twice or no number, with its line; the file's first line is 1.
    """
    rows = _rows(path)
    header = [cell.strip() for cell in rows[0][1]]
    if len(header) == 1 and (";" in header[0] or "\t" in header[0]):
        raise DriftproofError(
            f"{path}: line {rows[0][0]}: the cells are separated by semicolons or tabs: wanted commas"
        )
    if twice := sorted({name for name in header if header.count(name) > 1}):
        raise DriftproofError(f"{path}: line {rows[0][0]}: {', '.join(twice)} stands there more than once")
    check_names(path, header, ("out", "in", *names), ("t_s",))
    if len(rows) == 1:
        raise DriftproofError(f"{path}: it has no rows under its header; wanted one for every out and in")

    table = np.array(_numbers(path, header, rows[1:]), dtype=np.float64)
    lines = np.array([line for line, _ in rows[1:]], dtype=np.int64)
    column = {name: table[:, place] for place, name in enumerate(header)}
    timed = "t_s" in column
    times, when = np.unique(column["t_s"] if timed else np.zeros(len(table)), return_inverse=True)
    index = (when, column["out"].astype(np.int64), column["in"].astype(np.int64))
    shape = (len(times), int(index[1].max()) + 1, int(index[2].max()) + 1)
    _check_complete(path, index, shape, lines, times if timed else None)

    found: dict[str, Floats] = {"t_s": times} if timed else {}
    for name in names:
        found[name] = np.empty(shape)
        found[name][index] = column[name]
    where = np.empty(shape, dtype=np.int64)
    where[index] = lines
    return found, where


def check_names(path: Path, found: list[str], wanted: tuple[str, ...], optional: tuple[str, ...]) -> None:
    """Raise unless a file has the arrays or columns that are wanted, and no others but the optional ones."""
    missing = [name for name in wanted if name not in found]
    unknown = [name for name in found if name not in (*wanted, *optional)]
    if missing or unknown:
        hint = did_you_mean(unknown[0], [*wanted, *optional]) if unknown else ""
        parts = [f"no {', '.join(missing)}"] * bool(missing) + [f"unknown {', '.join(unknown)}{hint}"] * bool(unknown)
        raise DriftproofError(
            f"{path}: {'; '.join(parts)}; wanted {', '.join(wanted)}, and maybe {', '.join(optional)}"
        )


def _rows(path: Path) -> list[tuple[int, list[str]]]:
    """Return the lines that mean something, each with its number."""
    try:
        text = path.read_text(encoding="utf-8-sig")
        reader = csv.reader(io.StringIO(text, newline=""), strict=True)
        rows, line = [], 1
        for cells in reader:
            if "".join(cells).strip() and not cells[0].lstrip().startswith("#"):
                rows.append((line, cells))
            line = reader.line_num + 1
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DriftproofError(f"{path}: not a CSV file in UTF-8: {error}") from None
    if not rows:
        raise DriftproofError(f"{path}: not a CSV file: it is empty")
    return rows


def _numbers(path: Path, header: list[str], rows: list[tuple[int, list[str]]]) -> list[list[float]]:
    indices = [place for place, name in enumerate(header) if name in ("out", "in")]
    table, faults = [], []
    for line, cells in rows:
        try:
            row = [float(cell) for cell in cells]
            good = len(row) == len(header) and all(
                row[i] >= 0 and row[i] % 1 == 0 and row[i] < _LARGEST for i in indices
            )
        except ValueError:
            good = False
        if good:
            table.append(row)
        else:
            faults.append(f"line {line}: {_fault(header, cells)}")
    if faults:
        more = f" ({len(faults) - 1} more such lines)" if len(faults) > 1 else ""
        raise DriftproofError(f"{path}: {faults[0]}{more}")
    return table


def _fault(header: list[str], cells: list[str]) -> str:
    """Say what is wrong with a line, if something is."""
    if len(cells) != len(header):
        return f"{len(cells)} cells, wanted {len(header)} as in the header"
    for name, cell in zip(header, cells, strict=True):
        try:
            value = float(cell)
        except ValueError:
            return f"{name} is {cell.strip()!r}, wanted a number{' with a point' if ',' in cell else ''}"
        if name in ("out", "in") and not (value >= 0 and value % 1 == 0 and value < _LARGEST):
            return f"{name} is {cell.strip()}, wanted 0, 1, 2, …"
    raise AssertionError("nothing is wrong with this line")


def _check_complete(
    path: Path, index: tuple[Lines, Lines, Lines], shape: tuple[int, int, int], lines: Lines, times: Floats | None
) -> None:
    """Raise unless every place stands there exactly once; no array of the file's shape is made for that."""
    wanted = f"{path}: wanted every out and in once{'' if times is None else ' a time'}; "
    order = np.lexsort(index[::-1])
    places = np.stack([part[order] for part in index])  # [3, rows], ascending

    def at(place: int) -> str:
        return "" if times is None else f" at t_s = {times[place]:g}"

    again = np.flatnonzero((places[:, 1:] == places[:, :-1]).all(axis=0))
    if len(again):
        when, out, input_ = (int(i) for i in places[:, again[0]])
        first, second = (int(lines[order[again[0] + i]]) for i in (0, 1))
        raise DriftproofError(f"{wanted}out {out}, in {input_}{at(when)} stands on the lines {first} and {second}")
    count = len(lines)
    if count != shape[0] * shape[1] * shape[2]:
        k = np.arange(count)
        complete = np.stack([k // (shape[1] * shape[2]), k // shape[2] % shape[1], k % shape[2]])
        differs = np.flatnonzero((places != complete).any(axis=0))
        gap = int(differs[0]) if len(differs) else count
        when, out, input_ = gap // (shape[1] * shape[2]), gap // shape[2] % shape[1], gap % shape[2]
        hint = " (they count from 0)" if min(int(index[1].min()), int(index[2].min())) > 0 else ""
        raise DriftproofError(f"{wanted}out {out}, in {input_}{at(when)} is missing{hint}")
