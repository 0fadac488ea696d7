"""Records → evidence: cells, summary, and names that tell configurations apart."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from driftproof._errors import DriftproofError
from driftproof._record import (
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
from driftproof._reporting.origin import Origin, origin_of
from driftproof._reporting.outcomes import Outcomes, Row
from driftproof._reporting.statistics import Source as Source
from driftproof._reporting.statistics import SummaryRow, summarise_cells, summary_of
from driftproof.laws._words import condition
from driftproof.statistics import corrected


@dataclass(frozen=True)
class Account:
    """The cells of one record that share a conversion: their subject, layers, configurations and runs."""

    subject: Subject
    conversion: Conversion
    configurations: dict[str, Configuration]
    runs: tuple[Run, ...]


@dataclass(frozen=True)
class Evidence:
    """The contents of a report.

    Attributes:
        records: Number of records.
        accounts: One per record and conversion.
        presets: The presets with cells, by name.
        cells: The cells in which no layer is kept digital for a trial.
        summary: Statistics over the chips and samples of ``cells``.
        rows: (config_id, preset, time in s) → the row of the summary, with its statistics.
        outcomes: The outcomes of all samples, where the records have them.
        names: config_id → a short name, which is empty if there is one configuration only.
        quantity: The quantity that was measured.
        every_cell: ``cells`` and the cells in which layers are kept digital or causes of error are switched off, as
            ``sensitivity`` measures them.
        saturation: Percentage of clipped conversions of each configuration, preset and layer that has some.
        network_measures: What networks measured of themselves, by configuration, preset and time.
    """

    records: int
    accounts: tuple[Account, ...]
    presets: dict[str, PresetEntry]
    cells: pd.DataFrame
    summary: pd.DataFrame
    rows: dict[Row, SummaryRow]
    outcomes: Outcomes
    names: dict[str, str]
    quantity: Quantity
    every_cell: pd.DataFrame
    saturation: pd.DataFrame
    network_measures: pd.DataFrame

    @property
    def origin(self) -> Origin:
        """Words for where the chips come from."""
        return origin_of(self.presets[name].definition for name in self.measured_presets if name in self.presets)

    @property
    def mixed_cells(self) -> int:
        """Number of cells in the records that are not in ``cells``."""
        return len(self.every_cell) - len(self.cells)

    @property
    def partial_cells(self) -> int:
        """Number of ``cells`` that were measured on part of the samples."""
        whole = {key: account.subject.n_samples for account in self.accounts for key in account.configurations}
        return int((self.cells["n_samples"] < self.cells["config_id"].map(whole)).sum())

    @property
    def measured_presets(self) -> list[str]:
        """The presets with cells, in the order in which they were asked for, without the rows that have no devices."""
        return [name for name in dict.fromkeys(self.summary["preset"]) if name not in (DIGITAL, IDEAL_ANALOG)]

    def shown(self, preset: str) -> str:
        """Return the name of a preset as figures show it, with the condition of its results if the name lacks it."""
        text = condition(self.presets[preset].definition) if preset in self.presets else ""
        return f"{preset} ({text})" if text and text.replace(" ", "-") not in preset else preset

    def series(self, key: str, preset: str) -> pd.DataFrame:
        """Return the rows of the summary of a configuration and preset by ascending time; it may be empty."""
        return self.summary[(self.summary["config_id"] == key) & (self.summary["preset"] == preset)]

    def chips(self, key: str, preset: str, t_s: float) -> npt.NDArray[np.float64]:
        """Return the values of all chips of one row, without the noise of the samples where it is known.

        They are not known, and none is returned, where chips saw parts of the samples.
        """
        of = self.rows[key, preset, t_s].statistics.value
        return corrected(of) if of.whole else np.empty(0)

    @property
    def any_stratified(self) -> bool:
        """Whether the chips of a row saw random parts of the samples."""
        return any(not row.whole for row in self.rows.values())

    @property
    def by_sample(self) -> bool:
        """Whether the outcomes of samples are known in all rows with chips."""
        return all(row.statistics.by_sample for row in self.rows.values() if row.chips)

    def digital(self, key: str) -> float:
        """Return the value without analog hardware."""
        return float(self.series(key, DIGITAL)["mean"].iloc[0])


def gather(records: Source | Sequence[Source]) -> Evidence:
    """Return the evidence of one or several records, given as open records, folders or files.

    Raises:
        DriftproofError: there is no record; a record has no cells; two records have different metrics, or contradict
            each other in a cell or a preset.
    """
    sources = [records] if isinstance(records, Record | str | os.PathLike) else list(records)
    if not sources:
        raise DriftproofError("no record to report on; name at least one folder that `driftproof evaluate` wrote")
    accounts: list[Account] = []
    presets: dict[str, PresetEntry] = {}
    order: dict[str, None] = {}
    asked: dict[str, None] = {}
    tables: list[pd.DataFrame] = []
    outcomes = Outcomes()
    clipped: list[pd.DataFrame] = []
    own: list[pd.DataFrame] = []
    with ExitStack() as opened:
        for source in sources:
            record = source if isinstance(source, Record) else opened.enter_context(Record.open(source))
            tables.append(record.cells())
            if record.subject is None or tables[-1].empty:
                raise DriftproofError(
                    f"no cells yet in {record.where}; run `driftproof evaluate ... --out` with this folder to fill it"
                )
            clipped.append(record.saturation())
            own.append(record.network_measures())
            accounts += _accounts(record, record.subject)
            _add_presets(presets, record)
            order |= dict.fromkeys(record.preset_order())
            asked |= dict.fromkeys(record.configuration_order())
            outcomes.add(record)
    every_cell, quantity = _merge(tables, asked), _quantity(accounts)
    unreported = [name for name, entry in presets.items() if not entry.reported]
    apart = (every_cell["digital"] != "") | every_cell["preset"].isin(unreported)
    cells = every_cell[~apart].reset_index(drop=True)
    rows = summarise_cells(cells, "the records" if len(tables) > 1 else "the record", outcomes, order)
    return Evidence(
        records=len(tables),
        accounts=tuple(accounts),
        presets=_shown(presets, set(cells["preset"])),
        cells=cells,
        summary=summary_of(rows, quantity),
        rows={row.key: row for row in rows},
        outcomes=outcomes,
        names=_names(accounts, list(dict.fromkeys(cells["config_id"]))),
        quantity=quantity,
        every_cell=every_cell,
        saturation=_mean_shares(pd.concat(clipped, ignore_index=True)),
        network_measures=pd.concat(own, ignore_index=True).drop_duplicates(ignore_index=True),
    )


def _mean_shares(clipped: pd.DataFrame) -> pd.DataFrame:
    return clipped.groupby(["config_id", "preset", "layer"], sort=False, as_index=False).mean()


def _accounts(record: Record, subject: Subject) -> list[Account]:
    """Return one account for each conversion of a record.

    The last account has all runs, since a record does not hold which conversion a run measured.
    """
    shown: dict[str, dict[str, Configuration]] = defaultdict(dict)
    configurations = record.configurations()
    for key in record.configuration_order():
        shown[configurations[key].conversion][key] = configurations[key]
    conversions = {name: item for name, item in record.conversions().items() if name in shown}
    runs = {list(conversions)[-1]: tuple(record.runs().values())} if conversions else {}
    return [Account(subject, item, shown[name], runs.get(name, ())) for name, item in conversions.items()]


def _add_presets(presets: dict[str, PresetEntry], record: Record) -> None:
    for name, entry in record.presets().items():
        held = presets.setdefault(name, entry)
        if held.sha256 != entry.sha256:
            raise DriftproofError(
                f"{record.where}: its preset {name!r} has other numbers than in the records before; "
                "rename one of the two presets or report them apart"
            )
        presets[name] = held.completed(entry)


def _shown(presets: Mapping[str, PresetEntry], measured: set[str]) -> dict[str, PresetEntry]:
    """Return the presets with cells, and the presets that a mix with cells consists of."""
    parts = [presets[name].definition.get("devices") for name in measured & set(presets)]
    wanted = measured.union(*(part.values() for part in parts if isinstance(part, Mapping)))
    return {name: presets[name] for name in sorted(presets) if name in wanted}


def _quantity(accounts: Sequence[Account]) -> Quantity:
    """Return the quantity that all records measure: a figure has one axis."""
    distinct = {q.model_copy(update={"words": ""}): q for q in (account.subject.quantity for account in accounts)}
    first, *others = distinct.values()
    if others:
        names = f"{first.label} and {others[0].label}"
        raise DriftproofError(f"these records are of different metrics ({names}); report them apart")
    return first


def _merge(tables: list[pd.DataFrame], asked: Iterable[str]) -> pd.DataFrame:
    """Return one table of cells, with the configurations in the order in which they were asked for.

    A cell may be in two tables (two copies of a folder) if it has the same value.
    """
    key = ["config_id", "preset", "digital", "chip", "t_s", "metric"]
    # Not by the labels and the names of network and data, which may differ between copies.
    cells = pd.concat(tables, ignore_index=True).drop_duplicates([*key, "value", "n_samples"], ignore_index=True)
    for _, same in cells[cells.duplicated(key, keep=False)].groupby(key, sort=False):
        first = same.iloc[0]
        cell = f"preset {first['preset']}, chip {first['chip']}, t_s {first['t_s']:g} of configuration"
        if same["n_samples"].nunique() > 1:
            counts = " and ".join(f"{count:,}" for count in same["n_samples"])
            raise DriftproofError(
                f"two records hold {cell} {first['config_id']} on different samples ({counts}); make one record of "
                "them with `driftproof merge` and report that"
            )
        raise DriftproofError(
            f"two records contradict each other: {cell} {first['config_id']} has more than one value; report them apart"
        )
    # In the order of one record: other times or chips of a row that both hold stand among those of the first.
    row = cells.groupby(["config_id", "preset", "digital"], sort=False).ngroup()
    place = cells["config_id"].map({key: place for place, key in enumerate(asked)})
    in_order = cells.assign(place=place, row=row).sort_values(
        ["place", "row", "t_s", "chip"], kind="stable", ignore_index=True
    )
    return in_order.drop(columns=["place", "row"])


def _names(accounts: Sequence[Account], used: Sequence[str]) -> dict[str, str]:
    """Name each configuration by the first facts that tell all of them apart."""
    facts: dict[str, dict[str, str]] = {}
    for key in used:
        account = next(account for account in accounts if key in account.configurations)
        facts[key] = _facts(account.subject, account.conversion, account.configurations[key])
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
    clipped = f", clipped at {conversion.clip} %" if conversion.clip else ""
    layers = sum(layer.analog for layer in conversion.layers)
    return {
        "label": item.label or subject.model,
        "model": subject.model,
        "data": f"{subject.data} ({subject.n_samples:,} samples)",
        "compensation": f"compensation {item.compensation}",
        "recalibration": str(item.recalibration or "BatchNorm as trained"),
        "read-outs": f"read-outs {item.read_outs}" if item.read_outs else "one read-out",
        "backend": f"backend {item.backend}",
        "periphery": f"periphery {item.periphery}",
        "converters": item.around_text,
        "ranges": str(item.ranges or "no measured ranges"),
        "tile": f"tiles {conversion.tile_rows} × {conversion.tile_cols}",
        "scale": f"weights relative to the {conversion.scale}{clipped}",
        "layers": f"{layers} analog layer{'s' if layers != 1 else ''}",
        "seed": f"seed {item.seed}",
        "device": f"drawn on {item.device}",
        "weights": f"weights {subject.model_hash[:8]}",
    }


def _different(facts: Mapping[str, Mapping[str, str]], chosen: Sequence[str]) -> int:
    """Return how many configurations the chosen facts tell apart."""
    return len({tuple(values[fact] for fact in chosen) for values in facts.values()})
