"""What SQLite says of a file, in words: who is in the way, what to do, and what is safe."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from driftproof._errors import DriftproofError

_ADVICE = {
    "BUSY": "another process uses it; wait until it has finished",
    "LOCKED": "another process uses it; wait until it has finished",
    "FULL": "make room on the disk, and give the same command again",
    "IOERR": "check the disk and its quota, and give the same command again",
    "READONLY": "the file, its folder or the file system is read-only; make it writable, or choose another --out",
    "CANTOPEN": "its folder is read-only, full or not yours; make it writable, or choose another --out",
    "PERM": "its folder is not yours; make it writable, or choose another --out",
}
"""SQLite's name of a fault of the surroundings, without its details → what to do."""


def advice(error: sqlite3.Error) -> str:
    """Return what to do about a fault that is not one of the file itself; empty for a damaged file.

    >>> error = sqlite3.OperationalError("database or disk is full")
    >>> error.sqlite_errorname = "SQLITE_FULL"
    >>> advice(error)
    'make room on the disk, and give the same command again'
    """
    # such as SQLITE_IOERR_WRITE; errors that Python raises have no name
    name = str(getattr(error, "sqlite_errorname", "")).removeprefix("SQLITE_")
    return _ADVICE.get(name.split("_")[0], "")


@contextmanager
def reading(where: object) -> Iterator[None]:
    """Raise DriftproofError for what SQLite says of a file that is opened or read."""
    try:
        yield
    except (sqlite3.DatabaseError, UnicodeDecodeError, OverflowError) as error:
        todo = advice(error) if isinstance(error, sqlite3.Error) else ""
        if "uses it" in todo:
            raise DriftproofError(f"{where} is in use by another process; wait until it has finished") from error
        if todo:
            raise DriftproofError(f"{where} cannot be opened ({error}): {todo}") from error
        raise DriftproofError(
            f"{where} cannot be read as a driftproof record ({error}); restore it from a copy, or "
            "name a folder that `driftproof evaluate --out` wrote"
        ) from error


def of_writing(error: sqlite3.Error, where: object) -> DriftproofError:
    """Return the error for what SQLite says when it writes."""
    todo = advice(error)
    text = f"cannot write to the record {where}: {error}; what was added before is safe{todo and f': {todo}'}"
    return DriftproofError(text)
