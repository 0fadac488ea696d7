"""Records of driftproof before version 2 of the file: read, reported and exported, never continued."""

from __future__ import annotations

import json
import sqlite3
from typing import Any

from driftproof.record import schema
from driftproof.record.entries import DIGITAL, IDEAL_ANALOG, Configuration, Conversion, Layer, Series, Subject, digest

NUMERICS = 0
"""The version of its numbers: not known."""

CONTINUE = (
    "{where} is a record of an earlier driftproof: `driftproof report` and `driftproof export` read it, but it is not "
    "continued, since its cells do not say which samples were right; choose another --out folder"
)


def is_old(connection: sqlite3.Connection) -> bool:
    """Whether a record file has the old form."""
    return bool(connection.execute("PRAGMA user_version").fetchone()[0] == schema.OLD_FORM)


def in_new_form(old: sqlite3.Connection) -> sqlite3.Connection:
    """Return a copy of an old record in memory, in the new form: the same cells under the same configurations."""
    new = schema.connect(":memory:", uri=False)
    schema.create(new)
    row = old.execute("SELECT body FROM subject").fetchone()
    if row is None:
        return new
    subject = json.loads(row[0])
    conversion = Conversion(
        tile_rows=subject.pop("tile_rows"),
        tile_cols=subject.pop("tile_cols"),
        scale=subject.pop("scale", "column"),
        clip=subject.pop("clip", None),
        layers=tuple(Layer.model_validate(layer) for layer in subject.pop("layers")),
    )
    conversion_id = digest(conversion.model_dump(mode="json"))
    _insert(new, "subject", 1, Subject(**subject, numerics=NUMERICS).model_dump_json())
    _insert(new, "conversions", conversion_id, conversion.model_dump_json())
    for key, body in old.execute("SELECT config_id, body FROM configurations"):
        made = Configuration(**json.loads(body), conversion=conversion_id)
        _insert(new, "configurations", key, made.model_dump_json())
    for table in ("presets", "runs"):
        for entry in old.execute(f"SELECT * FROM {table}").fetchall():
            _insert(new, table, *entry)
    n_samples = int(subject["n_samples"])
    names = ("config_id", "preset", "chip", "t_s", "in_validity", "value", "seconds", "run_id")
    for entry in old.execute(f"SELECT {', '.join(names)} FROM cells").fetchall():
        _add_cell(new, dict(zip(names, entry, strict=True)), n_samples)
    return new


def _add_cell(new: sqlite3.Connection, cell: dict[str, Any], n_samples: int) -> None:
    config_id, preset = cell.pop("config_id"), cell.pop("preset")
    # A series of its own for each row: what decided its numbers is not known in the words of the new form.
    series_id = f"{config_id} {preset}"
    new.execute("INSERT OR IGNORE INTO series VALUES (?, ?)", (series_id, Series().model_dump_json()))
    new.execute("INSERT OR IGNORE INTO shown VALUES (?, ?, ?)", (config_id, preset, series_id))
    if preset in (DIGITAL, IDEAL_ANALOG):
        cell |= {"chip": 0, "t_s": 0.0}
    row = cell | {
        "series_id": series_id,
        "digital": "[]",
        "total": n_samples,
        "seen": n_samples,
        "kind": "none",
        "diagnostics": "{}",
        "samples": None,
        "per_sample": None,
    }
    new.execute(
        f"INSERT INTO cells ({', '.join(row)}) VALUES ({', '.join('?' * len(row))})",
        tuple(row.values()),
    )


def _insert(connection: sqlite3.Connection, table: str, *values: Any) -> None:
    connection.execute(f"INSERT INTO {table} VALUES ({', '.join('?' * len(values))})", values)
