"""The tables of a record file, and the check that a file is one."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from contextlib import closing

from driftproof._errors import DriftproofError

# "drft" in ASCII, in SQLite's header field for the application that owns the file.
APPLICATION_ID = 0x64726674
VERSION = 2
OLD_FORM = 1

# Longest wait in s for another process that holds the file for one short transaction.
_BUSY_S = 60.0

TABLES = """
CREATE TABLE subject (id INTEGER PRIMARY KEY CHECK (id = 1), body TEXT NOT NULL);
CREATE TABLE presets (name TEXT PRIMARY KEY, sha256 TEXT NOT NULL, body TEXT NOT NULL);
CREATE TABLE runs (id INTEGER PRIMARY KEY AUTOINCREMENT, body TEXT NOT NULL);
CREATE TABLE series (series_id TEXT PRIMARY KEY, body TEXT NOT NULL);
CREATE TABLE cells (
    series_id   TEXT    NOT NULL REFERENCES series (series_id),
    chip        INTEGER NOT NULL,
    t_s         REAL    NOT NULL,
    digital     TEXT    NOT NULL,
    in_validity INTEGER NOT NULL,
    value       REAL    NOT NULL,
    seconds     REAL    NOT NULL,
    run_id      INTEGER NOT NULL REFERENCES runs (id),
    total       INTEGER NOT NULL,
    seen        INTEGER NOT NULL,
    kind        TEXT    NOT NULL,
    diagnostics TEXT    NOT NULL,
    samples     BLOB,
    per_sample  BLOB,
    PRIMARY KEY (series_id, chip, t_s, digital)
);
CREATE TABLE conversions (conversion_id TEXT PRIMARY KEY, body TEXT NOT NULL);
CREATE TABLE configurations (config_id TEXT PRIMARY KEY, body TEXT NOT NULL);
CREATE TABLE shown (
    config_id TEXT NOT NULL REFERENCES configurations (config_id),
    preset    TEXT NOT NULL,
    series_id TEXT NOT NULL REFERENCES series (series_id),
    PRIMARY KEY (config_id, preset)
);
"""
"""Subject, series and cells decide identities; conversions, configurations and ``shown`` only decide the display.

The large columns of ``cells`` come last, so that SQLite reads a table of cells without them.
"""


OLD_TABLES = ("subject", "configurations", "presets", "runs", "cells")
"""The tables of version 1."""


def is_empty(connection: sqlite3.Connection) -> bool:
    """Whether a database has no tables: a new file, or the file of a process that was killed before its first write."""
    return connection.execute("SELECT 1 FROM sqlite_master").fetchone() is None


def create(connection: sqlite3.Connection) -> None:
    """Make the tables in one transaction, so that a killed process leaves all of them or none."""
    connection.executescript(
        f"BEGIN IMMEDIATE; {TABLES} PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {VERSION}; COMMIT;"
    )


def insertion(table: str, columns: Iterable[str]) -> str:
    """Return the statement that writes a row, in place of the row with the same key; its parameters are named."""
    names = list(columns)
    return f"INSERT OR REPLACE INTO {table} ({', '.join(names)}) VALUES ({', '.join(f':{name}' for name in names)})"


def check(connection: sqlite3.Connection, where: str) -> None:
    """Check that a database is a record that this driftproof can read.

    Raises:
        DriftproofError: another application's file, or a newer schema.
    """
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    if application != APPLICATION_ID:
        raise DriftproofError(
            f"{where} is an SQLite file, but not a driftproof record (application id {application:#x}, wanted "
            f"{APPLICATION_ID:#x}); name a folder that `driftproof evaluate --out` wrote"
        )
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > VERSION:
        raise DriftproofError(
            f"{where} has schema version {version}, this driftproof reads up to {VERSION}; upgrade driftproof"
        )
    if version not in (VERSION, OLD_FORM):
        raise DriftproofError(f"{where} has schema version {version}, which there never was; restore it from a copy")
    _check_tables(connection, where, version)


def _check_tables(connection: sqlite3.Connection, where: str, version: int) -> None:
    """Check that a database has the tables of a record, and nothing else: a view or a trigger could do anything."""
    there: dict[str, object] = {**_tables(connection)}
    wanted: dict[str, object]
    if version == OLD_FORM:
        kinds = {name: kind for name, (kind, _) in _tables(connection).items()}
        wanted = {name: there.get(name) for name in OLD_TABLES}
        wanted |= {name: None for name, kind in kinds.items() if kind != "table" or name not in OLD_TABLES}
    else:
        with closing(in_memory()) as new:
            wanted = {**_tables(new)}
    if wanted != there:
        odd = sorted(name for name in wanted.keys() | there.keys() if wanted.get(name) != there.get(name))
        raise DriftproofError(
            f"{where} does not have the tables of a record: {', '.join(odd)} is missing, changed or unknown; restore "
            "the file from a copy"
        )


def _tables(connection: sqlite3.Connection) -> dict[str, tuple[str, list[tuple[object, ...]]]]:
    """Return name → type and columns of everything in a database but SQLite's own."""
    everything = connection.execute("SELECT name, type FROM sqlite_master").fetchall()
    rows = [(name, kind) for name, kind in everything if not _is_sqlites_own(name, kind)]
    columns = {
        name: [tuple(row) for row in connection.execute("SELECT * FROM pragma_table_xinfo(?)", (name,))]
        for name, kind in rows
        if kind == "table"
    }
    return {name: (kind, columns.get(name, [])) for name, kind in rows}


def _is_sqlites_own(name: object, kind: object) -> bool:
    return name == "sqlite_sequence" or (kind == "index" and str(name).startswith("sqlite_autoindex_"))


def in_memory() -> sqlite3.Connection:
    """Return a connection to a new record in memory."""
    connection = connect(":memory:")
    create(connection)
    return connection


def connect(target: str, *, uri: bool = False, alone: bool = False) -> sqlite3.Connection:
    """Return a connection to a file or ``:memory:`` that commits each statement, and waits until it is on disk.

    Args:
        target: The file, or ``:memory:``.
        uri: Whether ``target`` is a URI.
        alone: Whether no other process may use the file until the connection is closed.
    """
    # isolation_level=None: every statement is its own transaction, committed when it returns.
    connection = sqlite3.connect(target, uri=uri, timeout=_BUSY_S, isolation_level=None)
    connection.row_factory = sqlite3.Row
    if alone:
        # before the first access, so that a log needs no memory that is shared with other processes
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        # closing leaves the log alone: by then the file may be another's
        connection.setconfig(sqlite3.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, True)
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA trusted_schema = OFF")
    connection.execute("PRAGMA synchronous = FULL")
    return connection
