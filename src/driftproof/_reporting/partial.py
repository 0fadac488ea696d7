"""Rows of a summary whose chips saw random parts of the samples: their statistics, from strata."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from driftproof._errors import warn
from driftproof._record import DrawnSamples, PerSample, Samples
from driftproof.statistics import Crossed, stratified, tallies
from driftproof.statistics._strata import Whole
from driftproof.statistics._stratified import Stratified

type Chip = tuple[Samples | None, PerSample]
"""The samples that a chip saw, None for all, and its entries on them."""


@dataclass(frozen=True, eq=False)
class Partial:
    """Chips that each saw the first samples of its order of every stratum, and maybe others.

    Attributes:
        drawn: How their samples were drawn.
        chips: The chips by number.
    """

    drawn: DrawnSamples
    chips: Mapping[int, Chip]

    def counts(self) -> dict[int, Whole]:
        """Return how many samples of its order each chip saw, [strata], without chips that missed a stratum."""
        counts = {chip: self.drawn.samples.counted(chip, samples) for chip, (samples, _) in self.chips.items()}
        kept = {chip: row for chip, row in counts.items() if row.all()}
        if kept and len(kept) < len(counts):
            warn(f"{len(counts) - len(kept)} chips that saw no random sample of a stratum are left out of a mean")
        return kept

    def statistics(self, digital: PerSample) -> Stratified | None:
        """Return the statistics of the chips; None if none of them can be used."""
        counts = self.counts()
        if not counts:
            return None
        rows = ((chip, *self._on(chip, row)) for chip, row in counts.items())
        return stratified(tallies(self.drawn.samples, digital, rows))

    def difference(self, other: Partial, total: int) -> Crossed | None:
        """Return the statistics of these chips minus those of the same numbers, on the samples that both saw."""
        mine, theirs = self.counts(), other.counts()
        chips = sorted(mine.keys() & theirs.keys())
        if not chips:
            return None
        rows = self._differences(other, {chip: np.minimum(mine[chip], theirs[chip]) for chip in chips})
        answers = next(iter(self.chips.values()))[1].dtype == np.bool_
        # nothing is known of samples that neither saw: the control variate is 0
        of = tallies(self.drawn.samples, np.zeros(total), rows)
        return stratified(of.percentages() if answers else of).change

    def _differences(self, other: Partial, counts: Mapping[int, Whole]) -> Iterator[tuple[int, Whole, PerSample]]:
        for chip, row in counts.items():
            (samples, one), (_, two) = self._on(chip, row), other._on(chip, row)
            yield chip, samples, one.astype(np.float64) - two.astype(np.float64)

    def _on(self, chip: int, counts: Whole) -> tuple[Whole, npt.NDArray[np.generic]]:
        """Return the first samples of a chip's order, and its entries on them."""
        samples, entries = self.chips[chip]
        drawn = self.drawn.samples.drawn(chip, counts)
        return drawn, entries[drawn if samples is None else np.searchsorted(samples, drawn)]
