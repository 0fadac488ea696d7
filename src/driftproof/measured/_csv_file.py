"""A CSV file of one layer's conductances → arrays. Messages name the line of a fault."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from driftproof._errors import DriftproofError, did_you_mean
from driftproof._files import read_cells

Lines = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
_PLACE = ["t_s", "out", "in"]
_LARGEST = 2**31  # index; so that products of two stay whole numbers


def read_csv(path: Path, names: tuple[str, ...]) -> tuple[dict[str, Floats], Lines]:
    """Return the columns ``names`` as [times, out, in], with ``t_s`` [times] if it is there, and each cell's line.

    Args:
        path: File with the columns out, in (both from 0), ``names``, and maybe t_s, in any order; every (out, in, t_s)
            once. Empty lines and lines that begin with ``#`` are ignored.
        names: Names of the conductances' columns.

    Raises:
        DriftproofError: If a place is missing or repeated, or a cell is not a number. The first line has number 1.
    """
    header, cells = read_cells(path, comments=True)
    check_names(path, header, ("out", "in", *names), ("t_s",))
    if cells.empty:
        raise DriftproofError(f"{path}: it has no rows under its header; wanted one for every out and in")
    _check_cells(path, header, cells)

    table = cells.iloc[:, : len(header)].set_axis(header, axis=1).astype(np.float64)
    timed = "t_s" in header
    table = table.assign(line=table.index, **({} if timed else {"t_s": 0.0})).sort_values(_PLACE, kind="stable")
    shape = (table["t_s"].nunique(), int(table["out"].max()) + 1, int(table["in"].max()) + 1)
    _check_complete(path, table, shape, timed)
    columns = {name: table[name].to_numpy().reshape(shape) for name in names}
    return columns | ({"t_s": table["t_s"].unique()} if timed else {}), table["line"].to_numpy().reshape(shape)


def check_names(path: Path, names: list[str], wanted: tuple[str, ...], optional: tuple[str, ...]) -> None:
    """Raise if a file lacks a wanted array or column, or has one that is neither wanted nor optional."""
    missing = [name for name in wanted if name not in names]
    unknown = [name for name in names if name not in (*wanted, *optional)]
    if missing or unknown:
        hint = did_you_mean(unknown[0], [*wanted, *optional]) if unknown else ""
        parts = [f"no {', '.join(missing)}"] * bool(missing) + [f"unknown {', '.join(unknown)}{hint}"] * bool(unknown)
        raise DriftproofError(
            f"{path}: {'; '.join(parts)}; wanted {', '.join(wanted)}, and maybe {', '.join(optional)}"
        )


def _check_cells(path: Path, header: list[str], rows: pd.DataFrame) -> None:
    """Raise unless every line has a number for each column of the header, and whole numbers for out and in."""
    count = rows.notna().sum(axis=1)
    numbers = rows.iloc[:, : len(header)].set_axis(header, axis=1).apply(pd.to_numeric, errors="coerce")
    wrong = numbers.isna()
    for name in ("out", "in"):
        wrong[name] |= ~(numbers[name].between(0, _LARGEST, inclusive="left") & (numbers[name] % 1 == 0))
    faulty = wrong.index[wrong.any(axis=1) | (count != len(header))]
    if faulty.empty:
        return
    line = faulty[0]
    if count[line] != len(header):
        fault = f"{count[line]} cells, wanted {len(header)} as in the header"
    else:
        place = int(wrong.loc[line].to_numpy().argmax())
        cell, wanted = rows.loc[line, place].strip(), "0, 1, 2, …"
        if np.isnan(numbers.loc[line].iloc[place]):
            cell, wanted = repr(cell), f"a number{' with a point' if ',' in cell else ''}"
        fault = f"{header[place]} is {cell}, wanted {wanted}"
    more = f" ({len(faulty) - 1} more such lines)" if len(faulty) > 1 else ""
    raise DriftproofError(f"{path}: line {line}: {fault}{more}")


def _check_complete(path: Path, table: pd.DataFrame, shape: tuple[int, int, int], timed: bool) -> None:
    """Raise unless a sorted table has every place once. The check makes no array of the file's shape."""
    wanted = f"{path}: wanted every out and in once{' a time' if timed else ''}; "

    def at(t_s: float, out: int, in_: int) -> str:
        return f"out {int(out)}, in {int(in_)}" + (f" at t_s = {t_s:g}" if timed else "")

    if (again := table.duplicated(_PLACE)).any():
        second = int(again.argmax())
        first, line = table["line"].iloc[[second - 1, second]]
        raise DriftproofError(f"{wanted}{at(*table[_PLACE].iloc[second])} is on the lines {first} and {line}")
    if len(table) != shape[0] * shape[1] * shape[2]:
        rest, in_ = np.divmod(np.arange(len(table) + 1), shape[2])
        when, out = np.divmod(rest, shape[1])
        times = table["t_s"].unique()
        complete = np.stack([times[np.minimum(when, len(times) - 1)], out, in_], axis=1)
        gap = int(np.append((table[_PLACE].to_numpy() != complete[:-1]).any(axis=1), True).argmax())
        hint = " (they count from 0)" if table[["out", "in"]].min().gt(0).all() else ""
        raise DriftproofError(f"{wanted}{at(*complete[gap])} is missing{hint}")
