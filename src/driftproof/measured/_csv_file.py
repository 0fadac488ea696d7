"""A CSV file of one layer's conductances → arrays. Messages name the line of a fault."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from driftproof._errors import DriftproofError, did_you_mean
from driftproof._lab_tables import Column, Fault, LabTable, TableOptions, read_table

Lines = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
_PLACE = ["t_s", "out", "in"]
_LARGEST = 2**31  # index; so that products of two stay whole numbers
_OTHER = {
    "g_plus_us": "gplus g+ gp iplus i+ ip rplus r+ rp",
    "g_minus_us": "gminus g- gm gn iminus i- im in- rminus r- rm",
    "g_us": "g conductance gread i current iread i1 i2 i3 i4 r resistance",
}


def csv_columns(names: tuple[str, ...]) -> tuple[Column, ...]:
    """Return the columns of a file with the conductances ``names``, and other headers that they may have."""
    kinds = {"g": "conductance", "c": "conductance", "i": "current", "r": "resistance"}
    banks = [
        Column(
            name,
            "conductance",
            {word: "current" if word == "current" else kinds[word[0]] for word in _OTHER[name].split()},
        )
        for name in names
    ]
    time = Column("t_s", "time", dict.fromkeys(("t", "time", "elapsed", "elapsedtime"), ""), needed=False)
    voltage = Column(
        "v",
        "voltage",
        dict.fromkeys(("v", "voltage", "vread", "readvoltage", "v1", "v2", "v3", "v4"), ""),
        needed=False,
    )
    return (Column("out", "count"), Column("in", "count"), *banks, time, voltage)


def read_csv(
    path: Path, names: tuple[str, ...], options: TableOptions | None = None
) -> tuple[dict[str, Floats], Lines, tuple[str, ...]]:
    """Return the columns ``names`` as [times, out, in], with ``t_s`` [times] if it is there, and each cell's line.

    Args:
        path: File with the columns out, in (both from 0), ``names``, and maybe t_s, in any order; every (out, in, t_s)
            once.
        names: Names of the conductances' columns.
        options: What the file does not say itself (default: nothing).

    Returns:
        Columns, lines, and what was understood of a file that is not in the plain form.

    Raises:
        DriftproofError: If a place is missing or repeated, or a cell is not a number. The first line has number 1.
    """
    found = read_table(path, csv_columns(names), options or TableOptions(flags="[csv] {}"))
    _check_cells(path, found)
    table = found.values
    timed = "t_s" in table
    table = table.assign(line=table.index, **({} if timed else {"t_s": 0.0})).sort_values(_PLACE, kind="stable")
    shape = (table["t_s"].nunique(), int(table["out"].max()) + 1, int(table["in"].max()) + 1)
    _check_complete(path, table, shape, timed)
    columns = {name: table[name].to_numpy().reshape(shape) for name in names}
    said = () if found.plain else (*found.understood, *found.changed, *_unused(found))
    return columns | ({"t_s": table["t_s"].unique()} if timed else {}), table["line"].to_numpy().reshape(shape), said


def _unused(table: LabTable) -> tuple[str, ...]:
    return (f"Not used: {', '.join(table.unused)}.",) if table.unused else ()


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


def _check_cells(path: Path, table: LabTable) -> None:
    """Raise for the first line with a fault, or with a place that is not a whole number."""
    faults: list[Fault] = list(table.faults)
    for name in ("out", "in"):
        values: pd.Series[float] = table.values[name]
        wrong = ~(values.between(0, _LARGEST, inclusive="left") & (values % 1 == 0))
        faults += [(line, f"{name} = {value:.10g}: wanted 0, 1, 2, …") for line, value in values[wrong].items()]
    if not faults:
        return
    line, text = min(faults, key=lambda fault: fault[0])
    more = f" ({len(faults) - 1} more such lines)" if len(faults) > 1 else ""
    raise DriftproofError(f"{path}: line {line}: {text}{more}")


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
