"""The record file: every cell is on disk when ``add`` returns."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

import pandas as pd

from driftproof.errors import DriftproofError
from driftproof.record.entries import (
    DIGITAL,
    DIGITAL_CELL,
    IDEAL_ANALOG,
    Cell,
    CellKey,
    Configuration,
    Conversion,
    PresetEntry,
    Run,
    Series,
    Subject,
)
from driftproof.record.file import RecordFile
from driftproof.record.outcome import Outcome, Samples
from driftproof.record.packing import packed, unpacked
from driftproof.record.table import cell_table, preset_order

_OUTCOME = "in_validity, value, seconds, total, kind, diagnostics, samples, per_sample"


class Record(RecordFile):
    """All cells that were measured of one subject and how they came about, in one SQLite file.

    ``Record.create_or_open(folder)`` writes (one writer at a time), ``Record.open(folder)`` reads, also while another
    process writes. Use as a context manager, or call ``close()``.

    SQLite's rollback journal, not its write-ahead log: the record stays one file that can be copied and mailed. Each
    cell is one transaction, so ``kill -9`` loses at most the cell being computed.

    >>> with Record.create_or_open(None) as record:
    ...     print(record.subject, len(record.cells()))
    None 0
    """

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
        differences = held.differences(subject) if held else []
        if differences and not self._connection.execute("SELECT 1 FROM cells LIMIT 1").fetchone():
            for table in ("subject", "shown", "configurations", "conversions", "series", "presets", "runs"):
                self._write(f"DELETE FROM {table}")
            held = None
        if held is None:
            self._write("INSERT INTO subject VALUES (1, ?)", subject.model_dump_json())
        elif differences:
            raise DriftproofError(
                f"the record {self.where} is about something else ({'; '.join(differences)}); "
                "choose another --out folder"
            )

    # --- cells: what decides them, and what they came to ---

    def add_series(self, series: Series) -> str:
        """Add a series if it is new, and return its id.

        Raises:
            DriftproofError: the record has no subject yet.
        """
        if self.subject is None:
            raise DriftproofError(f"the record {self.where} has no subject yet; call claim(subject) first")
        key = series.id
        if not self._holds("series", "series_id", key):
            self._write("INSERT INTO series VALUES (?, ?)", key, series.model_dump_json())
        return key

    def series(self) -> dict[str, Series]:
        """Return the series by id."""
        rows = self._connection.execute("SELECT series_id, body FROM series ORDER BY series_id")
        return {key: Series.model_validate_json(body) for key, body in rows}

    def outcome(self, key: CellKey) -> Outcome | None:
        """Return what a cell came to so far, None if nothing of it was measured."""
        row = self._connection.execute(
            f"SELECT {_OUTCOME} FROM cells WHERE series_id = ? AND chip = ? AND t_s = ? AND digital = ?",
            tuple(_place(key).values()),
        ).fetchone()
        return None if row is None else unpacked(dict(zip(_OUTCOME.split(", "), row, strict=True)))

    def missing(self, key: CellKey, samples: Samples | None = None) -> tuple[bool, Samples | None]:
        """Return whether something of a cell is missing, and which of the wanted samples are (None: all of the data).

        Args:
            key: the cell.
            samples: the samples that are wanted; None for all.
        """
        held = self.outcome(key)
        if held is None:
            return True, samples
        left = held.missing(samples)
        return left is not None, left if left is None or len(left) < held.total else None

    def add(self, key: CellKey, outcome: Outcome, run_id: int) -> Outcome:
        """Add what a cell came to, or join it to what a partial cell has; it is on disk when this returns.

        An outcome without entries per sample takes the place of one that saw fewer samples.

        Returns:
            What the record holds of the cell now.

        Raises:
            DriftproofError: a value that is not finite; samples that the cell has already; outcomes that cannot be
                joined; a series or a run that was not added before.
        """
        place = _place(key)
        named = f"cell {key.series}, chip {key.chip}, t_s {key.t_s:g}"
        subject = self.subject
        if key.chip < 0 or not 0 <= key.t_s < math.inf or (key.series == DIGITAL and key != DIGITAL_CELL):
            raise DriftproofError(f"{named}: wanted chip >= 0 and t_s >= 0, of the digital network chip 0 at t_s 0")
        if not math.isfinite(outcome.value):
            raise DriftproofError(
                f"{named}: the value is {outcome.value}, wanted a finite number; check the network's outputs for NaN"
            )
        if subject is None or outcome.total != subject.n_samples:
            wanted = f"{subject.n_samples} samples" if subject else "a subject first"
            raise DriftproofError(f"{named}: {outcome.total} samples, the record {self.where} wanted {wanted}")
        for table, column, value in (("series", "series_id", key.series), ("runs", "id", run_id)):
            if not self._holds(table, column, value):
                raise DriftproofError(f"{named}: no {column} {value!r} in the record's {table}; add it first")
        held = self.outcome(key)
        if held is not None:
            if held.missing(outcome.samples) is None:
                raise DriftproofError(f"{named}: already in the record {self.where}; ask missing(key) first")
            outcome = self._joined(named, held, outcome)
        row = place | packed(outcome) | {"run_id": run_id}
        self._write(
            f"INSERT OR REPLACE INTO cells ({', '.join(row)}) VALUES ({', '.join('?' * len(row))})", *row.values()
        )
        return outcome

    def _joined(self, named: str, held: Outcome, outcome: Outcome) -> Outcome:
        """Return what a cell comes to that has an outcome already."""
        if held.per_sample is None and outcome.seen <= held.seen:
            raise DriftproofError(
                f"{named}: the record {self.where} has an outcome of {held.seen} samples, now {outcome.seen}; without "
                "entries per sample it is replaced by an outcome of more samples only"
            )
        try:
            return outcome if held.per_sample is None else held.joined(outcome)
        except DriftproofError as error:
            raise DriftproofError(f"{named} of the record {self.where}: {error}") from error

    def outcomes(self) -> Iterator[tuple[CellKey, Outcome, int]]:
        """Yield every cell, what it came to, and the number of the run that saw it last."""
        rows = self._connection.execute(
            "SELECT series_id, chip, t_s, digital, run_id FROM cells ORDER BY 1, 4, 3, 2"
        ).fetchall()
        for series_id, chip, t_s, digital, run_id in rows:
            key = CellKey(series_id, chip, t_s, tuple(json.loads(digital)))
            # One at a time: the outcomes of all samples of all cells may not fit into memory.
            if (outcome := self.outcome(key)) is not None:
                yield key, outcome, run_id

    # --- how cells came about ---

    def start_run(self, run: Run) -> int:
        """Note a call that is about to add cells, and return its number."""
        number = self._write("INSERT INTO runs (body) VALUES (?)", run.model_dump_json()).lastrowid
        assert number is not None
        return number

    def runs(self) -> dict[int, Run]:
        """Return the runs by number, oldest first."""
        rows = self._connection.execute("SELECT id, body FROM runs ORDER BY id")
        return {number: Run.model_validate_json(body) for number, body in rows}

    # --- how they are shown ---

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
        elif (entry.card and not held.card) or (entry.reported and not held.reported):
            more = {"card": held.card or entry.card, "reported": held.reported or entry.reported}
            body = held.model_copy(update=more).model_dump_json()
            self._write("UPDATE presets SET body = ? WHERE name = ?", body, entry.name)

    def presets(self) -> dict[str, PresetEntry]:
        """Return the presets by name, in alphabetical order."""
        rows = self._connection.execute("SELECT name, body FROM presets ORDER BY name")
        return {name: PresetEntry.model_validate_json(body) for name, body in rows}

    def add_conversion(self, conversion_id: str, conversion: Conversion) -> None:
        """Say how the layers of a conversion are shown; said again, the newer words count."""
        self._write("INSERT OR REPLACE INTO conversions VALUES (?, ?)", conversion_id, conversion.model_dump_json())

    def conversions(self) -> dict[str, Conversion]:
        """Return the tables of layers by the id of their conversion."""
        rows = self._connection.execute("SELECT conversion_id, body FROM conversions ORDER BY conversion_id")
        return {key: Conversion.model_validate_json(body) for key, body in rows}

    def add_configuration(self, config_id: str, configuration: Configuration) -> None:
        """Say how a configuration is shown; said again, the newer words count, but that no label leaves the old one."""
        if not configuration.label and (held := self.configurations().get(config_id)):
            configuration = configuration.model_copy(update={"label": held.label})
        self._write(
            "INSERT INTO configurations VALUES (?, ?) ON CONFLICT (config_id) DO UPDATE SET body = excluded.body",
            config_id,
            configuration.model_dump_json(),
        )

    def configurations(self) -> dict[str, Configuration]:
        """Return the configurations by ``config_id``, in order of label and id."""
        rows = self._connection.execute("SELECT config_id, body FROM configurations ORDER BY config_id")
        found = {key: Configuration.model_validate_json(body) for key, body in rows}
        return dict(sorted(found.items(), key=lambda item: (item[1].label, item[0])))

    def show(self, config_id: str, preset: str, series_id: str) -> None:
        """Say under which configuration and name the cells of a series are shown."""
        self._write("INSERT OR REPLACE INTO shown VALUES (?, ?, ?)", config_id, preset, series_id)

    def shown(self) -> list[tuple[str, str, str]]:
        """Return (config_id, preset, series_id) of all that is shown."""
        rows = self._connection.execute("SELECT config_id, preset, series_id FROM shown ORDER BY 1, 2")
        return [(config_id, preset, series_id) for config_id, preset, series_id in rows]

    def entries(self) -> Iterator[tuple[Cell, int]]:
        """Yield every cell as it is shown and the number of the run that made it, in the order of :meth:`cells`."""
        subject, _, rows = self._rows()
        for config_id, preset, digital, chip, t_s, valid, value, seen, seconds, diagnostics, run_id in rows:
            assert subject is not None
            cell = Cell(
                config_id=config_id,
                preset=preset,
                digital=tuple(json.loads(digital)),
                chip=chip,
                t_s=t_s,
                in_validity=bool(valid),
                metric=subject.metric,
                value=value,
                n_samples=seen,
                seconds=seconds,
                diagnostics=json.loads(diagnostics),
            )
            yield cell, run_id

    def cells(self) -> pd.DataFrame:
        """Return one row a cell with the columns of ``CELL_COLUMNS``, in an order that depends on nothing else."""
        return cell_table(*self._rows())

    def _rows(self) -> tuple[Subject | None, dict[str, Configuration], list[tuple[Any, ...]]]:
        """Return subject, configurations and cells in order, all of one moment: another process may write."""
        with self._one_moment():
            subject, configurations = self.subject, self.configurations()
            rows = self._connection.execute(
                "SELECT config_id, preset, digital, chip, t_s, in_validity, value, seen, seconds, diagnostics, run_id "
                "FROM shown JOIN cells USING (series_id) "
                # Chips of perfect devices may be in a table too; the row of perfect devices is one.
                "WHERE preset <> ? OR (chip = 0 AND t_s = 0 AND digital = '[]')",
                (IDEAL_ANALOG,),
            ).fetchall()
        order = {key: place for place, key in enumerate(configurations)}
        # Cells without layers kept digital first: "[]" would come after '["a layer"]'.
        rows.sort(key=lambda row: (order[row[0]], *preset_order(row[1]), row[2].strip("[]"), row[4], row[3]))
        return subject, configurations, rows


def _place(key: CellKey) -> dict[str, Any]:
    """Return a key as the columns of its cell; plain Python numbers, as SQLite would keep NumPy's as bytes."""
    digital = json.dumps(sorted(set(key.digital)))
    return {"series_id": key.series, "chip": int(key.chip), "t_s": float(key.t_s), "digital": digital}
