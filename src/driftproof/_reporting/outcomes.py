"""The outcome of every sample on every chip, by the rows of a report, and their statistics."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from driftproof._errors import warn
from driftproof._record import DIGITAL, IDEAL_ANALOG, DrawnSamples, Outcome, Record
from driftproof._reporting.partial import Partial
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
    """The outcomes of the cells of records, and apart from them those in which layers are kept digital for a trial.

    Answers that are right or wrong take one bit each.
    """

    def __init__(self) -> None:
        self._held: dict[Row, dict[int, Outcome]] = {}
        self._drawn: dict[tuple[Row, int], DrawnSamples | None] = {}
        self._known: DrawnSamples | None = None
        self._bits: dict[tuple[Row, int], tuple[npt.NDArray[np.uint8], int]] = {}
        self._mixed: dict[tuple[Row, frozenset[str], int], tuple[npt.NDArray[np.uint8], int]] = {}

    def add(self, record: Record) -> None:
        """Add the outcomes of a record. Where two records hold the same cell, the first one stays."""
        shown: dict[str, list[tuple[str, str]]] = {}
        drawn = {number: run.drawn for number, run in record.runs().items()}
        self._known = next((each for each in (self._known, *drawn.values()) if each is not None), None)
        for config_id, preset, series in record.shown():
            shown.setdefault(series, []).append((config_id, preset))
        for key, outcome, run in record.outcomes():
            entries = outcome.per_sample
            if entries is None:
                continue
            if key.digital:
                if outcome.samples is None and entries.dtype == np.bool_:
                    for config_id, preset in shown.get(key.series, ()):
                        cell = (
                            (config_id, preset, key.t_s),
                            frozenset(name or "(root)" for name in key.digital),
                            key.chip,
                        )
                        self._mixed.setdefault(cell, (np.packbits(entries), len(entries)))
                continue
            for config_id, preset in shown.get(key.series, ()):
                row = (config_id, preset, key.t_s)
                if key.chip in self._held.setdefault(row, {}):
                    continue
                self._drawn[row, key.chip] = drawn[run]
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
        if self.partial(row) is not None:
            return None
        chips = tuple(sorted(held))
        return Seen(chips, first.samples, np.stack([self._entries(row, chip) for chip in chips]))

    def mixed(self, row: Row, digital: frozenset[str], chips: Sequence[int]) -> npt.NDArray[np.int8] | None:
        """Return right (1) and wrong (0) answers of chips with some layers digital, [chips, samples]; None if unknown.

        Args:
            row: The row of the device that the other layers have.
            digital: Names of the digital layers; none for the whole chip.
            chips: Numbers of the chips.
        """
        if not digital:
            seen = self.of(row)
            if seen is None or seen.samples is not None or not set(chips) <= set(seen.chips):
                return None
            return seen.on(chips).astype(np.int8) if seen.outcomes.dtype == np.bool_ else None
        found = [self._mixed[cell] for chip in chips if (cell := (row, digital, chip)) in self._mixed]
        if len(found) < len(chips):
            return None
        return np.stack([np.unpackbits(bits, count=count).astype(np.int8) for bits, count in found])

    def partial(self, row: Row) -> Partial | None:
        """Return the chips of a row that saw random parts of the samples; None if all saw the same samples.

        Records of one subject have the same strata, but for the rounding of the machines that measured the digital
        network. Chips with other strata than the first partial cell are left out, with a warning.
        """
        held = self._held.get(row, {})
        parts = [chip for chip, outcome in held.items() if outcome.samples is not None]
        drawn = next((of for chip in parts if (of := self._drawn[row, chip]) is not None), None)
        if drawn is None:
            first = next(iter(held.values())) if parts else None
            alike = first is None or all(same_samples(first.samples, other.samples) for other in held.values())
            drawn = None if alike else self._known
        if drawn is None:
            return None
        others = [chip for chip in parts if self._drawn[row, chip] not in (drawn, None)]
        if others:
            warn(f"{len(others)} chips of {row[1]} whose samples come from other strata are left out of a mean")
        chips = {chip: (held[chip].samples, self._entries(row, chip)) for chip in sorted(held) if chip not in others}
        return Partial(drawn, chips)

    def as_partial(self, row: Row, like: Row) -> Partial | None:
        """Return the chips of a row that saw all samples, with the strata of a row whose chips saw parts."""
        other, held = self.partial(like), self._held.get(row)
        if other is None or not held or any(outcome.samples is not None for outcome in held.values()):
            return None
        return Partial(other.drawn, {chip: (None, self._entries(row, chip)) for chip in sorted(held)})

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
    partial, whole = outcomes.partial(row), outcomes.of((row[0], DIGITAL, 0.0))
    if partial is not None and whole is not None and whole.samples is None:
        of = partial.statistics(whole.outcomes[0])
        if of is not None:
            return RowStatistics(of.value, of.change, True)
    measured = np.array(list(values), dtype=np.float64)
    seen = outcomes.of(row) if row[1] not in (DIGITAL, IDEAL_ANALOG) else None
    base = None if seen is None else outcomes.digital(row, seen)
    if seen is None or base is None or len(seen.chips) != len(measured):
        unknown = (1, np.nan, np.nan, 0.0)
        return RowStatistics(Crossed(measured, *unknown), Crossed(measured - digital, *unknown), False)
    return RowStatistics(crossed(seen.outcomes), crossed(seen.outcomes, base), True)
