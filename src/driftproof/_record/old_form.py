"""Records of an earlier driftproof, version 1 of the file: they are read, reported and exported, but not continued."""

from __future__ import annotations

import json
import sqlite3
from typing import Any

from pydantic import ValidationError

from driftproof._errors import DriftproofError, explained, shortened
from driftproof._record import schema
from driftproof._record.entries import DIGITAL, IDEAL_ANALOG, Configuration, Conversion, Series, Subject, digest

NUMERICS = 0
"""The version of their numbers is not known."""

CONTINUE = (
    "{where} is a record of an earlier driftproof: `driftproof report` and `driftproof export` read it, but it is not "
    "continued, since its cells do not say which samples were right; choose another --out folder"
)


def is_old(connection: sqlite3.Connection) -> bool:
    """Whether a record file has the old form."""
    return bool(connection.execute("PRAGMA user_version").fetchone()[0] == schema.OLD_FORM)


def in_new_form(old: sqlite3.Connection, where: str) -> sqlite3.Connection:
    """Return a copy of an old record in memory, in the new form: the same cells under the same configurations.

    Raises:
        DriftproofError: A row of the old record is damaged.
    """
    try:
        return _in_new_form(old)
    except ValidationError as error:
        raise DriftproofError(f"{explained(f'{where} is damaged', error)}; restore the file from a copy") from error
    except (ValueError, TypeError, KeyError, AttributeError, IndexError, RecursionError) as error:
        fault = shortened(" ".join(str(error).split()))
        raise DriftproofError(f"{where} is damaged: {fault}; restore the file from a copy") from error


def _in_new_form(old: sqlite3.Connection) -> sqlite3.Connection:
    new = schema.in_memory()
    row = old.execute("SELECT body FROM subject").fetchone()
    if row is None:
        return new
    subject = json.loads(row["body"])
    placed = {
        name: subject.pop(name) for name in ("tile_rows", "tile_cols", "scale", "clip", "layers") if name in subject
    }
    conversion = Conversion.model_validate({"scale": "column"} | placed)
    conversion_id = digest(conversion.model_dump(mode="json"))
    _insert(new, "subject", id=1, body=Subject(**subject, numerics=NUMERICS).model_dump_json())
    _insert(new, "conversions", conversion_id=conversion_id, body=conversion.model_dump_json())
    for key, body in old.execute("SELECT config_id, body FROM configurations"):
        shown = Configuration(**json.loads(body), conversion=conversion_id)
        _insert(new, "configurations", config_id=key, body=shown.model_dump_json())
    for table in ("presets", "runs"):
        for entry in old.execute(f"SELECT * FROM {table}").fetchall():
            _insert(new, table, **entry)
    cells = old.execute("SELECT config_id, preset, chip, t_s, in_validity, value, seconds, run_id FROM cells")
    for cell in cells.fetchall():
        _add_cell(new, dict(cell), int(subject["n_samples"]))
    return new


def _add_cell(new: sqlite3.Connection, cell: dict[str, Any], n_samples: int) -> None:
    config_id, preset = cell.pop("config_id"), cell.pop("preset")
    # Each row gets a series of its own, as the old form does not hold the conditions that decide its numbers.
    series_id = f"{config_id} {preset}"
    new.execute("INSERT OR IGNORE INTO series VALUES (?, ?)", (series_id, Series().model_dump_json()))
    new.execute("INSERT OR IGNORE INTO shown VALUES (?, ?, ?)", (config_id, preset, series_id))
    if preset in (DIGITAL, IDEAL_ANALOG):
        cell |= {"chip": 0, "t_s": 0.0}
    counts = {"total": n_samples, "seen": n_samples}
    _insert(new, "cells", **cell, **counts, series_id=series_id, digital="[]", kind="none", diagnostics="{}")


def _insert(connection: sqlite3.Connection, table: str, **columns: Any) -> None:
    connection.execute(schema.insertion(table, columns), columns)
