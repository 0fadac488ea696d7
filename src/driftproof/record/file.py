"""The file of a record: opened by one writer and many readers, and written in whole transactions."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Self

from driftproof.errors import DriftproofError
from driftproof.record import old_form, schema
from driftproof.record.lock import WriterLock

FILE_NAME = "record.sqlite"
LOCK_NAME = "record.lock"


class RecordFile:
    """An SQLite file, or one in memory, with the tables of a record; :class:`driftproof.record.Record` fills them."""

    def __init__(
        self, connection: sqlite3.Connection, path: Path | None, lock: WriterLock | None, writes: bool
    ) -> None:
        self._connection = connection
        self._lock = lock
        self._writes = writes
        self.path = path

    @classmethod
    def create_or_open(cls, folder: str | os.PathLike[str] | None) -> Self:
        """Return a record to write to: new or continued in ``folder``, or in memory if that is None.

        Raises:
            DriftproofError: ``folder`` is a file; another process writes there; the file is no record.
        """
        if folder is None:
            connection = schema.connect(":memory:", uri=False)
            schema.create(connection)
            return cls(connection, None, None, writes=True)
        folder = Path(folder)
        if folder.exists() and not folder.is_dir():
            raise DriftproofError(f"{folder} is a file, wanted a folder for {FILE_NAME}; choose another --out folder")
        try:
            folder.mkdir(parents=True, exist_ok=True)
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
        except BaseException:
            lock.release()
            raise
        return cls(connection, path, lock, writes=True)

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Self:
        """Return an existing record to read from, by its folder or file.

        Raises:
            DriftproofError: nothing there, no record, or a record of a later driftproof.
        """
        given = Path(path)
        file = given / FILE_NAME if given.is_dir() else given
        if not file.is_file():
            what = f"no {FILE_NAME} in {given}" if given.is_dir() else f"{given} does not exist"
            raise DriftproofError(f"{what}; wanted a folder that `driftproof evaluate --out` wrote")
        # Not mode=ro: after a crash the first to open the file must be able to roll the half cell back.
        connection = schema.open_file(file, mode="rw")
        if schema.is_empty(connection):
            connection.close()
            raise DriftproofError(f"{file} is empty: its evaluation was stopped at the very start; run it again")
        if old_form.is_old(connection):
            with closing(connection) as old:
                connection = old_form.in_new_form(old)
        connection.execute("PRAGMA query_only = ON")
        return cls(connection, file, None, writes=False)

    def stop_writing(self) -> None:
        """Keep the record for reading only and let others write to it."""
        self._writes = False
        self._connection.execute("PRAGMA query_only = ON")
        if self._lock:
            self._lock.release()

    def close(self) -> None:
        """Close the file and release the lock; calling it twice does nothing."""
        self._connection.close()
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
        """Write all that is added inside in one transaction: on disk at its end, or nothing if it fails."""
        self._write("BEGIN IMMEDIATE")
        try:
            yield
            self._write("COMMIT")
        except BaseException:
            if self._connection.in_transaction:  # a full disk ends it before we do
                self._connection.execute("ROLLBACK")
            raise

    @contextmanager
    def _one_moment(self) -> Iterator[None]:
        """See one state of the file in all that is read inside."""
        if self._connection.in_transaction:
            yield
            return
        self._connection.execute("BEGIN")
        try:
            yield
        finally:
            self._connection.execute("COMMIT")

    def _holds(self, table: str, column: str, value: object) -> bool:
        return bool(self._connection.execute(f"SELECT 1 FROM {table} WHERE {column} = ?", (value,)).fetchone())

    def _write(self, statement: str, *values: Any) -> sqlite3.Cursor:
        if not self._writes:
            raise DriftproofError(f"the record {self.where} is open for reading; use Record.create_or_open(folder)")
        try:
            return self._connection.execute(statement, values)
        except (sqlite3.OperationalError, sqlite3.IntegrityError) as error:
            raise DriftproofError(
                f"cannot write to the record {self.where}: {error}; what was added before is safe"
            ) from error
