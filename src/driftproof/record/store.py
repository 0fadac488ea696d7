"""The record file: every cell is on disk when ``add_cell`` returns."""

from __future__ import annotations

import math
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import pandas as pd

from driftproof.errors import DriftproofError
from driftproof.record import schema
from driftproof.record.entries import (
    DIGITAL,
    IDEAL_ANALOG,
    Cell,
    Configuration,
    PresetEntry,
    Run,
    Subject,
    config_id,
)
from driftproof.record.lock import WriterLock
from driftproof.record.table import cell_table, preset_order

FILE_NAME = "record.sqlite"
LOCK_NAME = "record.lock"


class Record:
    """All cells of an evaluation and how they came about, in one SQLite file.

    ``Record.create_or_open(folder)`` writes (one writer at a time), ``Record.open(folder)`` reads, also while another
    process writes. Use as a context manager, or call ``close()``.

    SQLite's rollback journal, not its write-ahead log: the record stays one file that can be copied and mailed. Each
    cell is one transaction, so ``kill -9`` loses at most the cell being computed.

    >>> with Record.create_or_open(None) as record:
    ...     print(record.subject, len(record.cells()))
    None 0
    """

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

    # --- what the record is about ---

    @property
    def subject(self) -> Subject | None:
        """The subject, None before the first ``claim``."""
        row = self._connection.execute("SELECT body FROM subject").fetchone()
        return Subject.model_validate_json(row[0]) if row else None

    def claim(self, subject: Subject) -> None:
        """Say what the record is about; a record that is about it already stays as it is.

        A record without any cell, left by a run that failed at once, is about nothing yet: it begins anew.

        Raises:
            DriftproofError: the record is about something else; the message names every difference.
        """
        held = self.subject
        if held not in (None, subject) and not self._connection.execute("SELECT 1 FROM cells LIMIT 1").fetchone():
            for table in ("subject", "configurations", "presets", "runs"):
                self._write(f"DELETE FROM {table}")
            held = None
        if held is None:
            self._write("INSERT INTO subject VALUES (1, ?)", subject.model_dump_json())
        elif held != subject:
            differences = [
                "the conversion differs"
                if name == "layers"
                else f"{name}: {getattr(held, name)!r} in the record, {getattr(subject, name)!r} now"
                for name in Subject.model_fields
                if getattr(held, name) != getattr(subject, name)
            ]
            raise DriftproofError(
                f"the record {self.where} is about something else ({'; '.join(differences)}); "
                "choose another --out folder"
            )

    # --- how cells come about ---

    def add_configuration(self, configuration: Configuration) -> str:
        """Add a configuration if it is new, and return its ``config_id``.

        Raises:
            DriftproofError: the record has no subject yet.
        """
        subject = self.subject
        if subject is None:
            raise DriftproofError(f"the record {self.where} has no subject yet; call claim(subject) first")
        key = config_id(subject, configuration)
        self._write("INSERT OR IGNORE INTO configurations VALUES (?, ?)", key, configuration.model_dump_json())
        return key

    def configurations(self) -> dict[str, Configuration]:
        """Return the configurations by ``config_id``, in order of label and id."""
        rows = self._connection.execute("SELECT config_id, body FROM configurations ORDER BY config_id")
        found = {key: Configuration.model_validate_json(body) for key, body in rows}
        return dict(sorted(found.items(), key=lambda item: (item[1].label, item[0])))

    def add_preset(self, entry: PresetEntry) -> None:
        """Add a preset; the same one again does nothing, but that a card is kept if there was none.

        Raises:
            DriftproofError: the record holds a preset of that name with other numbers, or the name is reserved.
        """
        if entry.name in (DIGITAL, IDEAL_ANALOG):
            raise DriftproofError(f"preset name {entry.name!r} is reserved for the row without devices; rename it")
        held = self.presets().get(entry.name)
        if held and held.sha256 != entry.sha256:
            raise DriftproofError(
                f"the record {self.where} holds a preset {entry.name!r} with other numbers (sha256 {held.sha256[:10]}, "
                f"now {entry.sha256[:10]}); rename yours or choose another --out folder"
            )
        if not held:
            self._write("INSERT INTO presets VALUES (?, ?, ?)", entry.name, entry.sha256, entry.model_dump_json())
        elif entry.card and not held.card:
            body = held.model_copy(update={"card": entry.card}).model_dump_json()
            self._write("UPDATE presets SET body = ? WHERE name = ?", body, entry.name)

    def presets(self) -> dict[str, PresetEntry]:
        """Return the presets by name, in alphabetical order."""
        rows = self._connection.execute("SELECT name, body FROM presets ORDER BY name")
        return {name: PresetEntry.model_validate_json(body) for name, body in rows}

    def start_run(self, run: Run) -> int:
        """Note a call that is about to add cells, and return its number."""
        number = self._write("INSERT INTO runs (body) VALUES (?)", run.model_dump_json()).lastrowid
        assert number is not None
        return number

    def runs(self) -> dict[int, Run]:
        """Return the runs by number, oldest first."""
        rows = self._connection.execute("SELECT id, body FROM runs ORDER BY id")
        return {number: Run.model_validate_json(body) for number, body in rows}

    # --- cells ---

    def add_cell(self, cell: Cell, run_id: int) -> None:
        """Add one measurement; it is on disk when this returns.

        Raises:
            DriftproofError: a value that is not finite; a cell that is there already; another metric than the
                subject's; a configuration, preset or run that was not added before.
        """
        named = f"cell {cell.preset}, chip {cell.chip}, t_s {cell.t_s:g}"
        subject = self.subject
        if not math.isfinite(cell.value):
            raise DriftproofError(
                f"{named}: {cell.metric} is {cell.value}, wanted a finite number; check the network's outputs for NaN"
            )
        if subject is None or cell.metric != subject.metric:
            wanted = subject.metric if subject else "a subject first"
            raise DriftproofError(f"{named}: metric {cell.metric!r}, the record {self.where} wanted {wanted}")
        if cell.preset not in (DIGITAL, IDEAL_ANALOG) and not self._holds("presets", "name", cell.preset):
            raise DriftproofError(f"{named}: the record has no such preset; call add_preset first")
        for table, column, value in (("configurations", "config_id", cell.config_id), ("runs", "id", run_id)):
            if not self._holds(table, column, value):
                raise DriftproofError(f"{named}: no {column} {value!r} in the record's {table}; add it first")
        row = cell.model_dump() | {"run_id": run_id}
        try:
            self._write(
                f"INSERT INTO cells ({', '.join(row)}) VALUES ({', '.join('?' * len(row))})",
                *row.values(),
            )
        except sqlite3.IntegrityError:
            raise DriftproofError(
                f"{named}: already in the record {self.where}; ask finished({cell.config_id!r}) before computing"
            ) from None

    def finished(self, config_id: str) -> set[tuple[str, int, float]]:
        """Return (preset, chip, t_s) of every cell that a configuration has."""
        query = "SELECT preset, chip, t_s FROM cells WHERE config_id = ?"
        return {(preset, chip, t_s) for preset, chip, t_s in self._connection.execute(query, (config_id,))}

    def entries(self) -> Iterator[tuple[Cell, int]]:
        """Yield every cell and the number of the run that made it, in the order of :meth:`cells`."""
        order = list(self.configurations())
        names = [*Cell.model_fields, "run_id"]
        rows = self._connection.execute(f"SELECT {', '.join(names)} FROM cells").fetchall()
        found = [dict(zip(names, row, strict=True)) for row in rows]
        found.sort(
            key=lambda row: (order.index(row["config_id"]), *preset_order(row["preset"]), row["t_s"], row["chip"])
        )
        for row in found:
            run_id = int(row.pop("run_id"))
            yield Cell.model_validate(row), run_id

    def cells(self) -> pd.DataFrame:
        """Return one row a cell with the columns of ``CELL_COLUMNS``, in an order that depends on nothing else."""
        return cell_table(self.subject, self.configurations(), [cell for cell, _ in self.entries()])

    # --- SQL ---

    def _holds(self, table: str, column: str, value: object) -> bool:
        return bool(self._connection.execute(f"SELECT 1 FROM {table} WHERE {column} = ?", (value,)).fetchone())

    def _write(self, statement: str, *values: Any) -> sqlite3.Cursor:
        if not self._writes:
            raise DriftproofError(f"the record {self.where} is open for reading; use Record.create_or_open(folder)")
        try:
            return self._connection.execute(statement, values)
        except sqlite3.OperationalError as error:
            raise DriftproofError(
                f"cannot write to the record {self.where}: {error}; what was added before is safe"
            ) from error
