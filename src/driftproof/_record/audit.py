"""The check of a record's rows when it is opened: a file that was edited or damaged is refused, row by row."""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from pydantic import ValidationError

from driftproof._errors import DriftproofError, explained, shortened, warn
from driftproof._record import schema
from driftproof._record.entries import Configuration, Conversion, Entry, PresetEntry, Run, Series, Subject
from driftproof._record.packing import BITS, FLOATS, NONE

_ENTRIES: dict[str, tuple[str, type[Entry]]] = {
    "subject": ("id", Subject),
    "presets": ("name", PresetEntry),
    "runs": ("id", Run),
    "series": ("series_id", Series),
    "conversions": ("conversion_id", Conversion),
    "configurations": ("config_id", Configuration),
}
"""Table → its key, and the form of its entries."""
_SHOWN_FAULTS = 3
_ROUNDING = 1e-6
_MEND = "restore the file from a copy, or write what is whole with `driftproof export RECORD --leave-out-damaged`"


class Fault(NamedTuple):
    """A row that is not as a record has it.

    Attributes:
        table: Name of the table.
        row: Number of the row in the table.
        text: What is wrong, with the row's key.
    """

    table: str
    row: int
    text: str


def check_rows(connection: sqlite3.Connection, where: str) -> None:
    """Raise DriftproofError if a row of a record is damaged.

    Args:
        connection: The record, whose tables :func:`driftproof._record.schema.check` has found in order.
        where: The file, for the message.
    """
    faults = list(_faults(connection))
    if faults:
        more = f"; and {len(faults) - _SHOWN_FAULTS} more rows" if len(faults) > _SHOWN_FAULTS else ""
        listed = "; ".join(fault.text for fault in faults[:_SHOWN_FAULTS])
        raise DriftproofError(f"{where} is damaged: {listed}{more}; {_MEND}")


def without_damage(connection: sqlite3.Connection, where: str) -> sqlite3.Connection:
    """Return a copy of a record in memory without the rows that are damaged, with a warning that counts them.

    Raises:
        DriftproofError: The subject is damaged: nothing can be said about the cells.
    """
    kept = schema.connect(":memory:")
    connection.backup(kept)
    kept.execute("PRAGMA foreign_keys = OFF")
    lost: list[Fault] = []
    while faults := list(_faults(kept)):  # what a lost row is needed for is lost, too
        if any(fault.table == "subject" for fault in faults):
            raise DriftproofError(f"{where}: {faults[0].text}; without it nothing of the record can be used")
        for table, row in {(fault.table, fault.row) for fault in faults}:
            kept.execute(f"DELETE FROM {table} WHERE rowid = ?", (row,))
        lost += faults
    if lost:
        cells = len({fault.row for fault in lost if fault.table == "cells"})
        warn(f"{where}: {len(lost)} damaged rows, {cells} cells among them, are left out: {lost[0].text}")
    return kept


def _faults(connection: sqlite3.Connection) -> Iterator[Fault]:
    found: dict[str, set[Any]] = {}
    entries: dict[str, dict[Any, Entry]] = {}
    for table, (key, kind) in _ENTRIES.items():
        entries[table] = {}
        for row, name, body in connection.execute(f"SELECT rowid, {key}, body FROM {table} ORDER BY {key}").fetchall():
            text = _wrong_entry(f"{table} {shortened(name)}", body, kind, entries[table], name)
            if text:
                yield Fault(table, row, text)
        found[table] = set(entries[table])
    for name, shown in entries["configurations"].items():
        if isinstance(shown, Configuration) and shown.conversion not in found["conversions"]:
            (row,) = connection.execute("SELECT rowid FROM configurations WHERE config_id = ?", (name,)).fetchone()
            yield Fault("configurations", row, f"configurations {name!r}: no conversion {shown.conversion!r}")
    for row, name, preset, series in connection.execute("SELECT rowid, config_id, preset, series_id FROM shown"):
        if name not in found["configurations"] or series not in found["series"] or not isinstance(preset, str):
            yield Fault("shown", row, f"shown {name!r}, {preset!r}: its configuration or its series is missing")
    (subject,) = entries["subject"].values() or (None,)
    samples = subject.n_samples if isinstance(subject, Subject) else None
    ends = subject.quantity.ends if isinstance(subject, Subject) else (-math.inf, math.inf)
    yield from _wrong_cells(connection, samples, ends, found)


def _wrong_entry(place: str, body: Any, kind: type[Entry], entries: dict[Any, Entry], name: Any) -> str:
    """Return what is wrong with an entry, or keep it and return an empty text."""
    if not isinstance(body, str):
        return f"{place}: wanted JSON, got {type(body).__name__}"
    try:
        entries[name] = kind.model_validate_json(body)
        if isinstance(entries[name], Subject):
            _ = entries[name].quantity  # type: ignore[attr-defined]  # an unknown metric
    except ValidationError as error:
        entries.pop(name, None)
        return explained(place, error, kind.model_fields).replace("\n", "; ")
    except (DriftproofError, RecursionError) as error:
        entries.pop(name, None)
        return f"{place}: {shortened(error)}"
    return ""


_CELLS = """
SELECT rowid, series_id, chip, t_s, digital, in_validity, value, seconds, run_id, total, seen, kind, diagnostics,
    typeof(samples) AS samples_type, length(samples) AS samples_length,
    typeof(per_sample) AS entries_type, length(per_sample) AS entries_length
FROM cells
"""


def _wrong_cells(
    connection: sqlite3.Connection, samples: int | None, ends: tuple[float, float], found: Mapping[str, set[Any]]
) -> Iterator[Fault]:
    for cell in connection.execute(_CELLS).fetchall():
        place = "cell {}, chip {}, t_s {}".format(*(shortened(cell[name]) for name in ("series_id", "chip", "t_s")))
        if samples is None:
            wrong = "the record has no subject"
        elif cell["series_id"] not in found["series"]:
            wrong = "its series is missing"
        elif cell["run_id"] not in found["runs"]:
            wrong = "its run is missing"
        else:
            columns = (name for name, is_right in _COLUMNS.items() if not is_right(cell[name]))
            wrong = next((f"{name} is {shortened(cell[name])}" for name in columns), "") or _wrong_size(cell, samples)
            if not wrong and not ends[0] - _ROUNDING <= cell["value"] <= ends[1] + _ROUNDING:
                wrong = f"value is {cell['value']!r}, wanted {ends[0]:g} to {ends[1]:g}"
        if wrong:
            yield Fault("cells", cell["rowid"], f"{place}: {wrong}")


def _wrong_size(cell: sqlite3.Row, samples: int) -> str:
    """Return what is wrong with the numbers of samples of a cell, or with its entries per sample."""
    total, seen, kind = cell["total"], cell["seen"], cell["kind"]
    if total != samples or not 1 <= seen <= total:
        return f"{seen} of {total} samples, of a record of {samples}"
    if cell["samples_type"] == "null":
        if seen != total:
            return "which samples were seen is missing"
    elif (cell["samples_type"], cell["samples_length"]) != ("blob", (total + 7) // 8):
        return "the mask of its samples has another length"
    lengths = {NONE: None, BITS: (seen + 7) // 8, FLOATS: 4 * seen}
    wanted = ("null", None) if kind == NONE else ("blob", lengths[kind])
    if (cell["entries_type"], cell["entries_length"]) != wanted:
        return "its entries per sample have another length"
    return ""


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _json(value: Any, kind: type) -> Any:
    try:
        parsed = json.loads(value) if isinstance(value, str) else None
    except (ValueError, RecursionError):
        return None
    return parsed if isinstance(parsed, kind) else None


def _are_names(value: Any) -> bool:
    names = _json(value, list)
    return names is not None and all(isinstance(name, str) for name in names)


def _are_diagnostics(value: Any) -> bool:
    """Return whether a text holds numbers by name, or by name and layer; an unknown number is null."""
    named = _json(value, dict)
    if named is None:
        return False
    parts = [part for group in named.values() for part in (group.values() if isinstance(group, dict) else [group])]
    return all(part is None or isinstance(part, list | str | bool) or _is_number(part) for part in parts)


_COLUMNS: dict[str, Callable[[Any], bool]] = {
    "chip": lambda value: isinstance(value, int) and 0 <= value < 2**31,
    "t_s": lambda value: _is_number(value) and value >= 0,
    "digital": _are_names,
    "in_validity": lambda value: value in (0, 1),
    "value": _is_number,
    "seconds": lambda value: _is_number(value) and value >= 0,
    "total": lambda value: isinstance(value, int),
    "seen": lambda value: isinstance(value, int),
    "kind": lambda value: value in (BITS, FLOATS, NONE),
    "diagnostics": _are_diagnostics,
}
