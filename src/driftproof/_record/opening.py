"""A record's file is opened: directly, or as a copy of one moment where nothing may be written beside it."""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
import time
from contextlib import ExitStack, closing
from pathlib import Path

from driftproof._errors import DriftproofError
from driftproof._record import faults, schema
from driftproof._record.journal import BESIDE
from driftproof._record.mounts import file_system, is_network

_TRIES = 10
_HEADER = 32
"""Bytes of the header of SQLite's write-ahead log, which change whenever the log begins anew."""


def for_writing(path: Path, *, alone: bool) -> sqlite3.Connection:
    """Return a connection to a record file, which is made if it is not there; the caller creates the tables.

    Args:
        path: The file.
        alone: Whether no other process may use it until the connection is closed.

    Raises:
        DriftproofError: Not SQLite, not a record, or a later schema.
    """
    return _opened(path, "rwc", alone=alone)


def for_reading(path: Path) -> sqlite3.Connection:
    """Return a connection to a record file, or to a copy of it in memory; an empty file passes.

    A process that was killed leaves its log beside the record; opening a record copies the log into it. This is no
    option in a folder that cannot be written, and on a network file system, where another machine may write the record
    at this moment.

    Raises:
        DriftproofError: Not SQLite, not a record, or a later schema.
    """
    if is_network(file_system(path)):
        return _copied(path)
    try:
        # Not mode=ro: after a crash the first process to open the file must be able to copy its log, or roll back.
        return _opened(path, "rw", alone=False)
    except DriftproofError as error:
        cause = error.__cause__
        if isinstance(cause, sqlite3.OperationalError) and faults.advice(cause) and "in use" not in str(error):
            return _copied(path)
        raise


def _opened(path: Path, mode: str, *, alone: bool) -> sqlite3.Connection:
    if path.exists() and not path.is_file():
        raise DriftproofError(f"{path} is no file; name a folder that `driftproof evaluate --out` wrote")
    with faults.reading(path), ExitStack() as opened:
        connection = schema.connect(f"{path.resolve().as_uri()}?mode={mode}", uri=True, alone=alone)
        opened.callback(connection.close)
        if not schema.is_empty(connection):
            schema.check(connection, str(path))
        opened.pop_all()  # the connection stays open
        return connection


def _copied(path: Path) -> sqlite3.Connection:
    """Return a copy of a record in memory: its state at one moment, whatever another process writes meanwhile.

    A copy of the file that was changed while it was copied is made whole by the log, which holds every page that was
    changed, as long as the log has not begun anew in between.
    """
    with tempfile.TemporaryDirectory(prefix="driftproof-") as name:
        copy = Path(name) / path.name
        for attempt in range(_TRIES):
            before = _state(path)
            for source in (path, *(path.with_name(path.name + ending) for ending in BESIDE if ending != "-shm")):
                try:
                    shutil.copyfile(source, copy.with_name(source.name))
                except FileNotFoundError:
                    copy.with_name(source.name).unlink(missing_ok=True)
            if _state(path) == before:
                break
            time.sleep(0.05 * attempt)
        else:
            raise DriftproofError(f"{path} is in use by another process, which writes all the time; try again later")
        kept = schema.connect(":memory:")
        with closing(_opened(copy, "rw", alone=True)) as connection, faults.reading(path):
            connection.backup(kept)
        return kept


def _state(path: Path) -> tuple[object, ...]:
    """Return what changes when a copy that was begun before is no longer whole."""
    log, journal = (path.with_name(path.name + ending) for ending in ("-wal", "-journal"))
    header = b""
    if log.exists():
        with log.open("rb") as file:
            header = file.read(_HEADER)
    # without a log the file itself is changed in place
    changed = () if header else (path.stat().st_mtime_ns, path.stat().st_size)
    return header, journal.exists(), changed
