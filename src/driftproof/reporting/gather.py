"""Records → one body of evidence: cells, summary, and names that tell the series apart."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace

import pandas as pd

from driftproof.errors import DriftproofError
from driftproof.record import (
    CELL_COLUMNS,
    DIGITAL,
    IDEAL_ANALOG,
    Configuration,
    Conversion,
    PresetEntry,
    Quantity,
    Record,
    Run,
    Subject,
)
from driftproof.reporting.statistics import summarise_cells

Source = Record | str | os.PathLike[str]


@dataclass(frozen=True)
class Account:
    """How the cells of one record came about that share one conversion."""

    subject: Subject
    conversion: Conversion
    configurations: dict[str, Configuration]
    runs: tuple[Run, ...]


@dataclass(frozen=True)
class Evidence:
    """What a report shows.

    Attributes:
        records: how many there are.
        accounts: how their cells came about.
        presets: what they were measured on.
        cells: those with no layer kept digital for one trial.
        summary: over chips.
        names: config_id → a short name, empty if there is only one.
        quantity: what is measured.
        every_cell: ``cells`` and those in which layers are kept digital or causes of error are switched off, as
            ``sensitivity`` measures them.
    """

    records: int
    accounts: tuple[Account, ...]
    presets: dict[str, PresetEntry]
    cells: pd.DataFrame
    summary: pd.DataFrame
    names: dict[str, str]
    quantity: Quantity
    every_cell: pd.DataFrame

    @property
    def mixed_cells(self) -> int:
        """How many cells are in the records and not in ``cells``."""
        return len(self.every_cell) - len(self.cells)

    @property
    def partial_cells(self) -> int:
        """How many of ``cells`` were measured on some of the samples only."""
        whole = {key: account.subject.n_samples for account in self.accounts for key in account.configurations}
        return int((self.cells["n_samples"] < self.cells["config_id"].map(whole)).sum())

    @property
    def measured_presets(self) -> list[str]:
        """The presets that have cells, in order, without the rows that have no devices."""
        return [name for name in dict.fromkeys(self.summary["preset"]) if name not in (DIGITAL, IDEAL_ANALOG)]

    def series(self, key: str, preset: str) -> pd.DataFrame:
        """Return the summary of one configuration and preset by ascending time; maybe empty."""
        return self.summary[(self.summary["config_id"] == key) & (self.summary["preset"] == preset)]

    def chips(self, key: str, preset: str, t_s: float) -> pd.Series:
        """Return the values of all chips of one row of the summary."""
        cells = self.cells
        return cells[(cells["config_id"] == key) & (cells["preset"] == preset) & (cells["t_s"] == t_s)]["value"]

    def digital(self, key: str) -> float:
        """Return the value without analog hardware."""
        return float(self.series(key, DIGITAL)["mean"].iloc[0])


def gather(records: Source | Sequence[Source]) -> Evidence:
    """Return the evidence of one or several records, given open, or by folder or file.

    Raises:
        DriftproofError: no record; nothing in one; two of different metrics, or that contradict each other in a cell or
            a preset.
    """
    sources = [records] if isinstance(records, Record | str | os.PathLike) else list(records)
    if not sources:
        raise DriftproofError("no record to report on; name at least one folder that `driftproof evaluate` wrote")
    accounts: list[Account] = []
    presets: dict[str, PresetEntry] = {}
    tables: list[pd.DataFrame] = []
    with ExitStack() as opened:
        for source in sources:
            record = source if isinstance(source, Record) else opened.enter_context(Record.open(source))
            subject, table = record.subject, record.cells()
            if subject is None or table.empty:
                raise DriftproofError(
                    f"no cells yet in {record.where}; run `driftproof evaluate ... --out` with this folder to fill it"
                )
            for name, entry in record.presets().items():
                held = presets.setdefault(name, entry)
                if (entry.card and not held.card) or (entry.reported and not held.reported):
                    presets[name] = entry
                if held.sha256 != entry.sha256:
                    raise DriftproofError(
                        f"{record.where}: its preset {name!r} has other numbers than in the records before; "
                        "rename one of the two presets or report them apart"
                    )
            accounts += _accounts(record, subject)
            tables.append(table)
    every_cell, quantity = _merge(tables), _quantity(accounts)
    unreported = [name for name, entry in presets.items() if not entry.reported]
    apart = (every_cell["digital"] != "") | every_cell["preset"].isin(unreported)
    cells = every_cell[~apart].reset_index(drop=True)
    where = "the records" if len(tables) > 1 else "the record"
    return Evidence(
        records=len(tables),
        accounts=tuple(accounts),
        presets=_shown(presets, set(cells["preset"])),
        cells=cells,
        summary=summarise_cells(cells, where, quantity),
        names=_names(accounts, set(cells["config_id"])),
        quantity=quantity,
        every_cell=every_cell,
    )


def _accounts(record: Record, subject: Subject) -> list[Account]:
    """Return one account for each conversion of a record: its layers lie on tiles in one way.

    The last one tells of all runs: which of them measured what is not said of a conversion.
    """
    configurations = record.configurations()
    owned = {
        name: {key: item for key, item in configurations.items() if item.conversion == name}
        for name in record.conversions()
    }
    accounts = [
        Account(subject, conversion, owned[name], ())
        for name, conversion in record.conversions().items()
        if owned[name]
    ]
    return [*accounts[:-1], *(replace(account, runs=tuple(record.runs().values())) for account in accounts[-1:])]


def _shown(presets: Mapping[str, PresetEntry], measured: set[str]) -> dict[str, PresetEntry]:
    """Presets with cells, and those that such a one consists of."""
    parts = [presets[name].definition.get("devices") for name in measured & set(presets)]
    wanted = measured.union(*(part.values() for part in parts if isinstance(part, Mapping)))
    return {name: presets[name] for name in sorted(presets) if name in wanted}


def _quantity(accounts: Sequence[Account]) -> Quantity:
    """What all records measure: one figure has one axis."""
    by_numbers = {q.model_copy(update={"words": ""}): q for q in (account.subject.quantity for account in accounts)}
    found = list(by_numbers.values())
    if len(found) > 1:
        names = " and ".join(quantity.label for quantity in found[:2])
        raise DriftproofError(f"these records are of different metrics ({names}); report them apart")
    return found[0]


def _merge(tables: list[pd.DataFrame]) -> pd.DataFrame:
    """One table of cells; the same cell may come in twice (two copies of a folder) if it says the same."""
    key = ["config_id", "preset", "digital", "chip", "t_s", "metric"]
    # Labels and names of network and data are no part of it: the copies may call the same thing otherwise.
    cells = pd.concat(tables, ignore_index=True).drop_duplicates([*key, "value", "n_samples"], ignore_index=True)
    twice = cells[cells.duplicated(key, keep=False)]
    if len(twice):
        first = twice.iloc[0]
        same = twice[(twice[key] == first[key]).all(axis=1)]
        cell = (
            f"preset {first['preset']}, chip {first['chip']}, t_s {first['t_s']:g} of configuration "
            f"{first['config_id']}"
        )
        if same["n_samples"].nunique() > 1:
            counts = " and ".join(f"{count:,}" for count in same["n_samples"])
            raise DriftproofError(
                f"two records hold {cell} on different samples ({counts}); make one record of them with "
                "`driftproof merge` and report that"
            )
        raise DriftproofError(f"two records contradict each other: {cell} has more than one value; report them apart")
    return cells[list(CELL_COLUMNS)]


def _names(accounts: Sequence[Account], used: set[str]) -> dict[str, str]:
    """Name each configuration by the first facts that tell all of them apart."""
    facts: dict[str, dict[str, str]] = {}
    for account in accounts:
        for key, item in account.configurations.items():
            if key in used:
                facts.setdefault(key, _facts(account.subject, account.conversion, item))
    if len(facts) == 1:
        return dict.fromkeys(facts, "")
    chosen: list[str] = []
    for fact in next(iter(facts.values())):
        if _different(facts, [*chosen, fact]) > _different(facts, chosen):
            chosen.append(fact)
    names = {key: ", ".join(values[fact] for fact in chosen) for key, values in facts.items()}
    if len(set(names.values())) < len(names):
        return {key: f"{name} ({key})".strip() for key, name in names.items()}
    return names


def _facts(subject: Subject, conversion: Conversion, item: Configuration) -> dict[str, str]:
    return {
        "label": item.label or subject.model,
        "model": subject.model,
        "data": f"{subject.data} ({subject.n_samples:,} samples)",
        "compensation": f"compensation {item.compensation}",
        "recalibration": str(item.recalibration or "BatchNorm as trained"),
        "backend": f"backend {item.backend}",
        "periphery": f"periphery {item.periphery}",
        "tile": f"tiles {conversion.tile_rows} × {conversion.tile_cols}",
        "scale": f"weights relative to the {conversion.scale}"
        + (f", clipped at {conversion.clip} %" if conversion.clip else ""),
        "layers": f"{sum(layer.analog for layer in conversion.layers)} analog layers",
        "seed": f"seed {item.seed}",
        "device": f"drawn on {item.device}",
        "weights": f"weights {subject.model_hash[:8]}",
    }


def _different(facts: Mapping[str, Mapping[str, str]], chosen: Sequence[str]) -> int:
    return len({tuple(values[fact] for fact in chosen) for values in facts.values()})
