"""The outcome of every sample on every chip, by the rows of a report, and their statistics."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from driftproof._record import DIGITAL, IDEAL_ANALOG, Outcome, Record
from driftproof.statistics import Crossed, crossed

type Row = tuple[str, str, float]
"""A row of a summary: config_id, name of the preset, time in s."""


@dataclass(frozen=True, eq=False)
class Seen:
    """Outcomes of chips on the same samples.

    Attributes:
        chips: Numbers of the chips.
        samples: Numbers of the samples; None if they are all.
        outcomes: One entry per chip and sample, [chips, samples].
    """

    chips: tuple[int, ...]
    samples: npt.NDArray[np.int64] | None
    outcomes: npt.NDArray[Any]

    def on(self, chips: Sequence[int]) -> npt.NDArray[Any]:
        """Return the outcomes of some of the chips, in their order."""
        return self.outcomes[[self.chips.index(chip) for chip in chips]]


class Outcomes:
    """The outcomes of the cells of records in which no layer is kept digital for a trial.

    Answers that are right or wrong take one bit each.
    """

    def __init__(self) -> None:
        self._held: dict[Row, dict[int, Outcome]] = {}
        self._bits: dict[tuple[Row, int], tuple[npt.NDArray[np.uint8], int]] = {}

    def add(self, record: Record) -> None:
        """Add the outcomes of a record. Where two records hold the same cell, the first one stays."""
        shown: dict[str, list[tuple[str, str]]] = {}
        for config_id, preset, series in record.shown():
            shown.setdefault(series, []).append((config_id, preset))
        for key, outcome, _ in record.outcomes():
            if key.digital or outcome.per_sample is None:
                continue
            entries = outcome.per_sample
            for config_id, preset in shown.get(key.series, ()):
                row = (config_id, preset, key.t_s)
                if key.chip in self._held.setdefault(row, {}):
                    continue
                if entries.dtype == np.bool_:
                    self._bits[row, key.chip] = np.packbits(entries), len(entries)
                    outcome = _without_entries(outcome)
                self._held[row][key.chip] = outcome

    def of(self, row: Row) -> Seen | None:
        """Return the outcomes of a row; None if there are none, or if its chips have seen different samples."""
        held = self._held.get(row)
        if not held:
            return None
        first, *others = held.values()
        if any(not same_samples(first.samples, other.samples) for other in others):
            return None
        chips = tuple(sorted(held))
        return Seen(chips, first.samples, np.stack([self._entries(row, chip) for chip in chips]))

    def digital(self, row: Row, seen: Seen) -> npt.NDArray[Any] | None:
        """Return the outcomes of the digital network of a row's configuration on the samples that were seen."""
        whole = self.of((row[0], DIGITAL, 0.0))
        if whole is None:
            return None
        return on_samples(whole, seen.samples)

    def _entries(self, row: Row, chip: int) -> npt.NDArray[Any]:
        if (row, chip) in self._bits:
            bits, count = self._bits[row, chip]
            return np.unpackbits(bits, count=count).astype(np.bool_)
        entries = self._held[row][chip].per_sample
        assert entries is not None
        return entries


def on_samples(whole: Seen, samples: npt.NDArray[np.int64] | None) -> npt.NDArray[Any] | None:
    """Return the outcomes of one chip, [samples], on some of its samples; None if it has not seen all of them."""
    entries: npt.NDArray[Any] = whole.outcomes[0]
    if same_samples(whole.samples, samples):
        return entries
    if whole.samples is None and samples is not None:
        return entries[samples]
    return None


def same_samples(one: npt.NDArray[np.int64] | None, other: npt.NDArray[np.int64] | None) -> bool:
    """Whether two lists of samples, None for all, are the same."""
    if one is None or other is None:
        return one is other
    return bool(np.array_equal(one, other))


def _without_entries(outcome: Outcome) -> Outcome:
    return Outcome(value=outcome.value, total=outcome.total, samples=outcome.samples)


@dataclass(frozen=True, eq=False)
class RowStatistics:
    """The statistics of a row of a summary.

    Attributes:
        value: Those of the metric.
        change: Those of its difference from the digital network on the same samples.
        by_sample: Whether the outcomes of samples are known, so that there are intervals for new samples.
    """

    value: Crossed
    change: Crossed
    by_sample: bool


def row_statistics(values: Iterable[float], digital: float, row: Row, outcomes: Outcomes) -> RowStatistics:
    """Return the statistics of a row.

    Args:
        values: The metric of each chip.
        digital: The metric of the digital network.
        row: The row.
        outcomes: The outcomes of its samples, where they are known.
    """
    measured = np.array(list(values), dtype=np.float64)
    seen = outcomes.of(row) if row[1] not in (DIGITAL, IDEAL_ANALOG) else None
    base = None if seen is None else outcomes.digital(row, seen)
    if seen is None or base is None or len(seen.chips) != len(measured):
        unknown = (1, np.nan, np.nan, 0.0)
        return RowStatistics(Crossed(measured, *unknown), Crossed(measured - digital, *unknown), False)
    return RowStatistics(crossed(seen.outcomes), crossed(seen.outcomes, base), True)
