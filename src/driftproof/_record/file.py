"""The file of a record: one writer, many readers, whole transactions."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Self

from driftproof._errors import DriftproofError
from driftproof._files import is_folder, make_folder
from driftproof._record import audit, old_form, schema
from driftproof._record.lock import WriterLock

FILE_NAME = "record.sqlite"
LOCK_NAME = "record.lock"


class RecordFile:
    """A database with the tables of a record, on disk or in memory; :class:`driftproof._record.Record` fills them."""

    def __init__(self, connection: sqlite3.Connection, path: Path | None, lock: WriterLock | None) -> None:
        self._connection, self._lock, self.path = connection, lock, path
        self._writes = path is None or lock is not None

    @classmethod
    def create_or_open(cls, folder: str | os.PathLike[str] | None) -> Self:
        """Return a record to write to: new or continued in ``folder``, or in memory if that is None.

        Raises:
            DriftproofError: ``folder`` is a file; another process writes the record; the file is not a record.
        """
        if folder is None:
            return cls(schema.in_memory(), None, None)
        folder = Path(folder)
        is_folder(folder, FILE_NAME)
        try:
            make_folder(folder)
            lock = WriterLock(folder / LOCK_NAME)
        except OSError as error:
            raise DriftproofError(
                f"cannot write to {folder} ({error.strerror}); choose another --out folder"
            ) from error
        path = folder / FILE_NAME
        try:
            connection = schema.open_file(path, mode="rwc")
            if schema.is_empty(connection):
                schema.create(connection)
            elif old_form.is_old(connection):
                connection.close()
                raise DriftproofError(old_form.CONTINUE.format(where=path))
            with schema.damage_explained(path):
                audit.check_rows(connection, str(path))
        except BaseException:
            lock.release()
            raise
        return cls(connection, path, lock)

    @classmethod
    def open(cls, path: str | os.PathLike[str], *, leave_out_damaged: bool = False) -> Self:
        """Return an existing record to read from, by its folder or file.

        Args:
            path: The folder, or the file in it.
            leave_out_damaged: Whether damaged rows are left out with a warning (default: the record is refused).

        Raises:
            DriftproofError: there is no file; it is not a record, or a record of a later driftproof; it is damaged.
        """
        given = Path(path)
        file = given / FILE_NAME if given.is_dir() else given
        if not file.is_file():
            problem = f"no {FILE_NAME} in {given}" if given.is_dir() else f"{given} does not exist"
            raise DriftproofError(f"{problem}; wanted a folder that `driftproof evaluate --out` wrote")
        # Not mode=ro: after a crash the first process to open the file must be able to roll the half cell back.
        connection = schema.open_file(file, mode="rw")
        if schema.is_empty(connection):
            connection.close()
            raise DriftproofError(f"{file} is empty: its evaluation was stopped at the very start; run it again")
        with schema.damage_explained(file), ExitStack() as opened:
            opened.callback(connection.close)
            if old_form.is_old(connection):
                connection = old_form.in_new_form(connection, str(file))
            elif leave_out_damaged:
                connection = audit.without_damage(connection, str(file))
            else:
                opened.pop_all()
            audit.check_rows(connection, str(file))
        connection.execute("PRAGMA query_only = ON")
        return cls(connection, file, None)

    def stop_writing(self) -> None:
        """Keep the record for reading only and let others write to it."""
        self._writes = False
        self._connection.execute("PRAGMA query_only = ON")
        self._release()

    def close(self) -> None:
        """Close the file and release the lock; calling it twice does nothing."""
        self._connection.close()
        self._release()

    def _release(self) -> None:
        if self._lock:
            self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Record({self.where})"

    @property
    def where(self) -> str:
        """The file as text for messages, ``in memory`` if there is none."""
        return str(self.path) if self.path else "in memory"

    # --- SQL ---

    @contextmanager
    def all_or_nothing(self) -> Iterator[None]:
        """Write everything inside the block in one transaction: all of it, or nothing if the block fails."""
        self._write("BEGIN IMMEDIATE")
        try:
            yield
            self._write("COMMIT")
        except BaseException:
            if self._connection.in_transaction:  # a full disk ends the transaction itself
                self._connection.execute("ROLLBACK")
            raise

    def _write(self, statement: str, values: Mapping[str, Any] | tuple[()] = ()) -> sqlite3.Cursor:
        if not self._writes:
            raise DriftproofError(f"the record {self.where} is open for reading; use Record.create_or_open(folder)")
        try:
            return self._connection.execute(statement, values)
        except (sqlite3.OperationalError, sqlite3.IntegrityError) as error:
            raise DriftproofError(
                f"cannot write to the record {self.where}: {error}; what was added before is safe"
            ) from error
