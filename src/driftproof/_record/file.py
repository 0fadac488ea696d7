"""The file of a record: one writer, many readers, whole transactions."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Self

from driftproof._errors import DriftproofError
from driftproof._files import is_folder, make_folder
from driftproof._record import audit, faults, old_form, opening, schema
from driftproof._record.face import as_html, as_text, facts_of
from driftproof._record.journal import Journal
from driftproof._record.lock import WriterLock

FILE_NAME = "record.sqlite"


class RecordFile:
    """A database with the tables of a record, on disk or in memory; :class:`driftproof._record.Record` fills them."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        path: Path | None,
        lock: WriterLock | None = None,
        journal: Journal | None = None,
    ) -> None:
        self._connection, self._lock, self._journal, self.path = connection, lock, journal, path
        self._writes = path is None or lock is not None
        self._process, self._together = os.getpid(), False

    @classmethod
    def create_or_open(cls, folder: str | os.PathLike[str] | None) -> Self:
        """Return a record to write to: new or continued in ``folder``, or in memory if that is None.

        Raises:
            DriftproofError: ``folder`` is a file or cannot be written; another process writes the record; the file is
                not a record, or one of the old form.
        """
        if folder is None:
            return cls(schema.in_memory(), None)
        folder = Path(folder)
        is_folder(folder, FILE_NAME)
        try:
            make_folder(folder)
            lock = WriterLock(folder)
        except OSError as error:
            raise DriftproofError(
                f"cannot write to {folder} ({error.strerror}); make room or make it writable, or choose another --out "
                "folder"
            ) from error
        path = folder / FILE_NAME
        with ExitStack() as opened:
            opened.callback(lock.release)
            connection = opening.for_writing(path, alone=lock.alone)
            opened.callback(connection.close)
            if old_form.is_old(connection):
                raise DriftproofError(old_form.CONTINUE.format(where=path))
            with faults.reading(path):
                if schema.is_empty(connection):
                    schema.create(connection)
                audit.check_rows(connection, str(path))
            opened.pop_all()  # the connection stays open, and the lock is kept
            return cls(connection, path, lock, Journal(connection))

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
        connection = opening.for_reading(file)
        if schema.is_empty(connection):
            connection.close()
            raise DriftproofError(f"{file} is empty: its evaluation was stopped at the very start; run it again")
        with faults.reading(file), ExitStack() as opened:
            opened.callback(connection.close)
            if old_form.is_old(connection):
                connection = old_form.in_new_form(connection, str(file))
            elif leave_out_damaged:
                connection = audit.without_damage(connection, str(file))
            else:
                opened.pop_all()
            audit.check_rows(connection, str(file))
        connection.execute("PRAGMA query_only = ON")
        return cls(connection, file)

    def stop_writing(self) -> None:
        """Keep the record for reading only and let others write to it. Now its file is all there is of it."""
        self._writes = False
        self._end_journal()
        if self._lock and self._lock.alone:
            # another machine may write the file from now on, unseen
            kept = schema.connect(":memory:")
            self._connection.backup(kept)
            self._connection.close()
            self._connection = kept
        self._connection.execute("PRAGMA query_only = ON")
        self._release()

    def close(self) -> None:
        """Close the file and release the lock; calling it twice does nothing."""
        self._end_journal()
        self._connection.close()
        self._release()

    def _end_journal(self) -> None:
        if self._journal and self._lock and self._lock.is_held():
            self._journal.end()
        self._journal = None

    def _release(self) -> None:
        if self._lock:
            self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        # Python keeps a connection that is no longer referenced until it collects garbage. A forked process, such as a
        # worker, must not close what belongs to its parent.
        if getattr(self, "_process", 0) == os.getpid():
            with suppress(sqlite3.Error):
                self.close()

    def __repr__(self) -> str:
        return as_text(self._facts())

    def _repr_html_(self) -> str:
        """Return what a notebook shows of the record."""
        return as_html(self._facts())

    def _facts(self) -> dict[str, str]:
        try:
            return facts_of(self._connection, self.where)
        except (sqlite3.Error, ValueError) as error:  # a closed or a damaged record has a name, too
            return {"cells": f"not readable: {error}", "file": self.where}

    @property
    def where(self) -> str:
        """The file as text for messages, ``in memory`` if there is none."""
        return str(self.path) if self.path else "in memory"

    # --- SQL ---

    @contextmanager
    def all_or_nothing(self) -> Iterator[None]:
        """Write everything inside the block in one transaction: all of it, or nothing if the block fails.

        A block inside another one is part of its transaction. A block that writes nothing leaves the file as it is.
        """
        if self._together:
            yield
            return
        self._together = True  # the first write begins the transaction
        try:
            yield
            if self._connection.in_transaction:
                self._write("COMMIT")
        except BaseException:
            if self._connection.in_transaction:  # a full disk ends the transaction itself
                with suppress(sqlite3.Error):  # of a disk that refuses everything; closing rolls back, too
                    self._connection.execute("ROLLBACK")
            raise
        finally:
            self._together = False

    def _write(self, statement: str, values: Mapping[str, Any] | tuple[()] = ()) -> sqlite3.Cursor:
        if not self._writes:
            raise DriftproofError(f"the record {self.where} is open for reading; use Record.create_or_open(folder)")
        try:
            begins = not self._connection.in_transaction
            if self._lock and (begins or statement == "COMMIT"):
                self._lock.check()
            if self._journal and begins:
                self._journal.before_transaction()
            if begins and self._together:
                self._connection.execute("BEGIN IMMEDIATE")
            return self._connection.execute(statement, values)
        except sqlite3.DatabaseError as error:
            raise faults.of_writing(error, self.where) from error
