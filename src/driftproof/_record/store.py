"""The record: every cell is in its file when ``add`` returns."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

import pandas as pd

from driftproof._errors import DriftproofError
from driftproof._record import schema
from driftproof._record.entries import (
    DIGITAL,
    DIGITAL_CELL,
    IDEAL_ANALOG,
    Cell,
    CellKey,
    Configuration,
    Conversion,
    Entry,
    PresetEntry,
    Run,
    Series,
    Subject,
)
from driftproof._record.file import RecordFile
from driftproof._record.merging import Merged, merge_all
from driftproof._record.outcome import Outcome, Samples
from driftproof._record.packing import packed, unpacked
from driftproof._record.table import CELL_COLUMNS, DTYPES, ROWS, digital_text


class Record(RecordFile):
    """All cells that were measured of one subject and how they were measured, in one SQLite file.

    ``Record.create_or_open(folder)`` writes (one writer at a time). ``Record.open(folder)`` reads, also while another
    process writes. Use a record as a context manager, or call ``close()``.

    **What can be lost.** Each trial is one transaction, which outlives its process whatever kills it: ``kill -9`` loses
    at most the trials that are being computed. The disk is waited for once per second: a power cut loses at most what
    was added within one second, and leaves the record whole.

    **Copying.** ``record.sqlite`` is all there is of a record that nobody writes. While a process writes, and after one
    was killed, the newest cells are in ``record.sqlite-wal``; opening the record, such as by ``driftproof report`` or
    the same command, puts them back into the one file. Copy the whole folder to copy both.

    **Network file systems** (NFS, Lustre, SMB, FUSE and others). A writer holds ``record.claim``, a file with its
    machine's name and a sign of life every 10 seconds, since locks may not reach other machines. A claim without a sign
    of life for 35 seconds is taken over. Readers read a copy of one moment.

    >>> with Record.create_or_open(None) as record:
    ...     print(record.subject, len(record.cells()))
    None 0
    """

    # --- the subject ---

    @property
    def subject(self) -> Subject | None:
        """The subject, None before the first ``claim``."""
        row = self._connection.execute("SELECT body FROM subject").fetchone()
        return Subject.model_validate_json(row[0]) if row else None

    def claim(self, subject: Subject) -> None:
        """Set the subject of the record. A record that has this subject already stays as it is.

        A record without any cell, left by a run that failed at once, may get another subject and is emptied first.

        Raises:
            DriftproofError: the record has another subject; the message names every difference.
        """
        held = self.subject
        differences = held.differences(subject) if held else []
        if held and not differences:
            return
        if differences and self._connection.execute("SELECT 1 FROM cells LIMIT 1").fetchone():
            raise DriftproofError(
                f"the record {self.where} is about something else ({'; '.join(differences)}); "
                "choose another --out folder"
            )
        with self.all_or_nothing():
            if held:
                for table in ("subject", "shown", "configurations", "conversions", "series", "presets", "runs"):
                    self._write(f"DELETE FROM {table}")
            self._put("subject", id=1, body=subject.model_dump_json())

    # --- cells: the numbers that decide them, and their outcomes ---

    def add_series(self, series: Series) -> str:
        """Add a series if it is new, and return its id.

        Raises:
            DriftproofError: the record has no subject yet.
        """
        if self.subject is None:
            raise DriftproofError(f"the record {self.where} has no subject yet; call claim(subject) first")
        if not self._holds("series", "series_id", series.id):
            self._put("series", series_id=series.id, body=series.model_dump_json())
        return series.id

    def series(self) -> dict[str, Series]:
        """Return the series by id."""
        return self._entries("series", "series_id", Series)

    def outcome(self, key: CellKey) -> Outcome | None:
        """Return the outcome of a cell, None if nothing of it was measured."""
        query = (
            "SELECT * FROM cells WHERE series_id = :series_id AND chip = :chip AND t_s = :t_s AND digital = :digital"
        )
        row = self._connection.execute(query, _columns(key)).fetchone()
        return None if row is None else unpacked(dict(row))

    def missing(self, key: CellKey, samples: Samples | None = None) -> tuple[bool, Samples | None]:
        """Return whether part of a cell is missing, and which of the wanted samples are (None: all of the data).

        Args:
            key: The cell.
            samples: The numbers of the wanted samples; None for all.
        """
        held = self.outcome(key)
        if held is None:
            return True, samples
        left = held.missing(samples)
        return left is not None, left if left is None or len(left) < held.total else None

    def add(self, key: CellKey, outcome: Outcome, run_id: int) -> Outcome:
        """Add the outcome of a cell, or join it to that of a partial cell; it is in the file when this returns.

        An outcome without entries per sample replaces one that saw fewer samples.

        Returns:
            The outcome that the record now holds of the cell.

        Raises:
            DriftproofError: a value that is not finite; samples that the cell has already; outcomes that cannot be
                joined; a series or a run that was not added before.
        """
        subject, held = self.subject, self.outcome(key)
        if key.chip < 0 or not 0 <= key.t_s < math.inf or (key.series == DIGITAL and key != DIGITAL_CELL):
            raise DriftproofError(f"{key}: wanted chip >= 0 and t_s >= 0, of the digital network chip 0 at t_s 0")
        if not math.isfinite(outcome.value):
            raise DriftproofError(
                f"{key}: the value is {outcome.value}, wanted a finite number; check the network's outputs for NaN"
            )
        if subject is None or outcome.total != subject.n_samples:
            wanted = f"{subject.n_samples} samples" if subject else "a subject first"
            raise DriftproofError(f"{key}: {outcome.total} samples, the record {self.where} wanted {wanted}")
        for table, column, value in (("series", "series_id", key.series), ("runs", "id", run_id)):
            if not self._holds(table, column, value):
                raise DriftproofError(f"{key}: no {column} {value!r} in the record's {table}; add it first")
        if held is not None:
            outcome = self._joined(key, held, outcome)
        self._put("cells", **_columns(key), **packed(outcome), run_id=run_id)
        return outcome

    def _joined(self, key: CellKey, held: Outcome, outcome: Outcome) -> Outcome:
        """Return the outcome of a cell that has one already."""
        if held.missing(outcome.samples) is None:
            raise DriftproofError(f"{key}: already in the record {self.where}; ask missing(key) first")
        if held.per_sample is None and outcome.seen <= held.seen:
            raise DriftproofError(
                f"{key}: the record {self.where} has an outcome of {held.seen} samples, now {outcome.seen}; without "
                "entries per sample it is replaced by an outcome of more samples only"
            )
        try:
            return outcome if held.per_sample is None else held.joined(outcome)
        except DriftproofError as error:
            raise DriftproofError(f"{key} of the record {self.where}: {error}") from error

    def cell_keys(self) -> Iterator[tuple[CellKey, int]]:
        """Yield every cell and the number of the run that measured it last."""
        rows = self._connection.execute("SELECT series_id, chip, t_s, digital, run_id FROM cells ORDER BY 1, 4, 3, 2")
        for series_id, chip, t_s, digital, run_id in rows.fetchall():
            yield CellKey(series_id, chip, t_s, tuple(json.loads(digital))), run_id

    def outcomes(self) -> Iterator[tuple[CellKey, Outcome, int]]:
        """Yield every cell, its outcome, and the number of the run that measured it last."""
        for key, run_id in self.cell_keys():
            # One at a time: the outcomes of all samples of all cells may not fit into memory.
            if (outcome := self.outcome(key)) is not None:
                yield key, outcome, run_id

    def merge(self, *others: Record) -> list[Merged]:
        """Add everything that other records of the same subject hold: cells, samples of partial cells, and runs.

        A cell that both hold stays as it is if they agree. Two partial cells are joined. Every cell keeps its run; a
        joined cell keeps the run that measured it last. Where records differ in how they show something, this one stays
        as it is.

        Returns:
            How many cells each of the records added, extended, and had in common.

        Raises:
            DriftproofError: The records have different subjects, one has the old form, or they contradict each other in
                a cell or a preset. Nothing is added in this case.

        >>> with Record.create_or_open(None) as one, Record.create_or_open(None) as other:
        ...     one.merge(other)
        [Merged(added=0, extended=0, equal=0)]
        """
        return merge_all(self, others)

    # --- runs ---

    def start_run(self, run: Run) -> int:
        """Add a run that is about to add cells, and return its number."""
        return self._put("runs", body=run.model_dump_json())

    def runs(self) -> dict[int, Run]:
        """Return the runs by number, oldest first."""
        return self._entries("runs", "id", Run)

    # --- how cells are shown ---

    def add_preset(self, entry: PresetEntry) -> None:
        """Add a preset. If the record has it already, only a card that was missing is added.

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
        entry = held.completed(entry) if held else entry
        if entry != held:
            self._put("presets", name=entry.name, sha256=entry.sha256, body=entry.model_dump_json())

    def presets(self) -> dict[str, PresetEntry]:
        """Return the presets by name, in alphabetical order."""
        return self._entries("presets", "name", PresetEntry)

    def preset_order(self) -> list[str]:
        """Return the names of the presets in the order in which they were asked for."""
        return [name for (name,) in self._connection.execute("SELECT name FROM presets ORDER BY rowid")]

    def add_conversion(self, conversion_id: str, conversion: Conversion) -> None:
        """Set how the layers of a conversion are shown."""
        self._put("conversions", conversion_id=conversion_id, body=conversion.model_dump_json())

    def conversions(self) -> dict[str, Conversion]:
        """Return the tables of layers by the id of their conversion."""
        return self._entries("conversions", "conversion_id", Conversion)

    def add_configuration(self, config_id: str, configuration: Configuration) -> None:
        """Set how a configuration is shown. One without a label keeps the label that the record has."""
        held = self.configurations().get(config_id)
        if held and not configuration.label:
            configuration = configuration.model_copy(update={"label": held.label})
        if configuration != held:
            self._put("configurations", config_id=config_id, body=configuration.model_dump_json())

    def configurations(self) -> dict[str, Configuration]:
        """Return the configurations by ``config_id``, in order of label and id."""
        by_id = self._entries("configurations", "config_id", Configuration)
        return dict(sorted(by_id.items(), key=lambda item: (item[1].label, item[0])))

    def configuration_order(self) -> list[str]:
        """Return the ids of the configurations in the order in which they were asked for."""
        return [key for (key,) in self._connection.execute("SELECT config_id FROM configurations ORDER BY rowid")]

    def show(self, config_id: str, preset: str, series_id: str) -> None:
        """Set the configuration and the preset's name under which the cells of a series are shown."""
        self._put("shown", config_id=config_id, preset=preset, series_id=series_id)

    def shown(self) -> list[tuple[str, str, str]]:
        """Return (config_id, preset, series_id) of all series that are shown."""
        rows = self._connection.execute("SELECT config_id, preset, series_id FROM shown ORDER BY 1, 2")
        return [(config_id, preset, series_id) for config_id, preset, series_id in rows]

    def entries(self) -> Iterator[tuple[Cell, int]]:
        """Yield every cell as it is shown and the number of its run, in the order of :meth:`cells`."""
        for row in self._connection.execute(ROWS).fetchall():
            parsed = {name: json.loads(row[name]) for name in ("digital", "diagnostics")}
            yield Cell(**{name: row[name] for name in Cell.model_fields} | parsed), row["run_id"]

    def cells(self) -> pd.DataFrame:
        """Return a table with one row per cell and the columns ``CELL_COLUMNS``, always in the same order."""
        table = pd.read_sql_query(ROWS, self._connection)
        table["digital"] = table["digital"].map(digital_text)
        return table[list(CELL_COLUMNS)].astype(DTYPES)

    def to_pandas(self) -> pd.DataFrame:
        """Return the cells as a table, one row per chip, device and time; :func:`driftproof.summarise` has the means.

        ``value`` is the metric (accuracies in percent), ``t_s`` the time in s after the first read. The rows
        ``digital`` and ``ideal-analog`` of ``preset`` have no devices. ``digital`` names layers that were kept digital
        for a trial.

        >>> with Record.create_or_open(None) as record:
        ...     list(record.to_pandas().columns[:4])
        ['config_id', 'label', 'model', 'preset']
        """
        return self.cells()

    def saturation(self) -> pd.DataFrame:
        """Return the shares of clipped conversions: one row per configuration, preset and layer, in percent.

        ``inputs`` are those of DACs and ``outputs`` those of ADCs, each the mean over the chips and times of the cells
        in which no layer is kept digital. A layer without clipped conversions is not in the table.
        """
        rows = []
        for cell, _ in self.entries():
            if cell.digital:
                continue
            shares = {kind: cell.diagnostics.get(f"saturated_{kind}", {}) for kind in ("inputs", "outputs")}
            for layer in dict.fromkeys([*shares["inputs"], *shares["outputs"]]):
                percent = {kind: 100 * float(of.get(layer, 0.0)) for kind, of in shares.items()}
                rows.append({"config_id": cell.config_id, "preset": cell.preset, "layer": layer, **percent})
        columns = ["config_id", "preset", "layer", "inputs", "outputs"]
        table = pd.DataFrame(rows, columns=columns).groupby(columns[:3], sort=False, as_index=False).mean()
        return table[(table["inputs"] > 0) | (table["outputs"] > 0)].reset_index(drop=True)

    def network_measures(self) -> pd.DataFrame:
        """Return what networks measured of themselves: one row per configuration, preset and time.

        There is a column for each number, such as ``residual`` of a Hopfield network: the mean over the chips of the
        cells in which no layer is kept digital. It is empty if no network measures itself.
        """
        rows = []
        for cell, _ in self.entries():
            own = {name: value for name, value in cell.diagnostics.items() if isinstance(value, float)}
            if own and not cell.digital:
                rows.append({"config_id": cell.config_id, "preset": cell.preset, "t_s": cell.t_s, **own})
        columns = ["config_id", "preset", "t_s"]
        if not rows:
            return pd.DataFrame(columns=columns)
        return pd.DataFrame(rows).groupby(columns, sort=False, as_index=False).mean()

    # --- SQL ---

    def _put(self, table: str, **columns: Any) -> int:
        """Write a row, in place of the row with the same key, and return its number."""
        return self._write(schema.insertion(table, columns), columns).lastrowid or 0

    def _holds(self, table: str, column: str, value: object) -> bool:
        return bool(self._connection.execute(f"SELECT 1 FROM {table} WHERE {column} = ?", (value,)).fetchone())

    def _entries[Kind: Entry](self, table: str, key: str, kind: type[Kind]) -> dict[Any, Kind]:
        """Return the entries of a table by their key, in its order."""
        rows = self._connection.execute(f"SELECT {key}, body FROM {table} ORDER BY {key}")
        return {name: kind.model_validate_json(body) for name, body in rows}


def _columns(key: CellKey) -> dict[str, Any]:
    """Return a key as the columns of its cell, in plain Python numbers: SQLite would keep NumPy's as bytes."""
    digital = json.dumps(sorted(set(key.digital)))
    return {"series_id": key.series, "chip": int(key.chip), "t_s": float(key.t_s), "digital": digital}
