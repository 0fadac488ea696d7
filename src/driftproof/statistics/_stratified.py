"""Means over chips that each saw a random part of the samples, with the digital network as control variate.

The samples of a finite data set are in strata of N_h samples, by the margin of the digital network. Chip i sees n_ih
random samples of stratum h, without replacement, and dᵢⱼ is its outcome minus that of the digital network on sample j.
The digital network has seen all N samples, so that only the difference has to be estimated:

    xᵢ = Σ_h N_h/N · (mean of dᵢⱼ over the n_ih samples)

It is an unbiased estimate of the chip's own difference on all samples. Chips are independent, and so are their samples:
the mean x̄ over K chips is unbiased, and s²/K, with the variance s² of the xᵢ, estimates its variance without bias,
whatever the allocations are. s² contains what chips differ by and what the samples within a chip add. The latter is

    v = mean over i of Σ_h (N_h/N)² v_h (1/n_ih - 1/N_h)

with the variance v_h within chips and stratum, and the finite population correction 1/N_h. s² below v is an accident:
v is taken in its place. A stratum without a changed answer has no variance 0: every v_h has a prior that counts as a
quarter of a sample with the variance over all strata, where half a changed answer is added to those that were seen.

On new inputs, the variance over samples of a sample's mean over all chips is needed. Two chips that saw the same sample
tell it: E[dᵢⱼ dₖⱼ] is the mean square of the samples' means. Each stratum has a prior of one such pair, at the upper
bound E[d²].
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from driftproof._errors import DriftproofError
from driftproof.statistics._crossed import Crossed, Numbers
from driftproof.statistics._strata import Strata, Whole

PRIOR = 0.25
"""Number of samples that the prior of a stratum's variance counts as."""
HALF_A_FLIP = 0.5
"""Changed answers that are added to those that were seen, for the overall share of changed answers."""


@dataclass(frozen=True, eq=False)
class Tallies:
    """Differences of chips from the digital network, added up by chip and stratum.

    Attributes:
        sizes: Number of samples of each stratum, [strata].
        counts: Number of samples that each chip saw of each stratum, [chips, strata], each at least 1.
        sums: Sums of the differences dᵢⱼ, [chips, strata].
        squares: Sums of their squares, [chips, strata].
        crosses: Sums of the differences times the digital outcome, [chips, strata].
        pairs: Number of ordered pairs of chips that saw the same sample, [strata].
        products: Sums over these pairs of the product of their differences, [strata].
        digital: Digital outcomes of all samples, [samples].
        answers: Whether outcomes are right or wrong (bool), and values percentages.
    """

    sizes: Whole
    counts: Whole
    sums: Numbers
    squares: Numbers
    crosses: Numbers
    pairs: Whole
    products: Numbers
    digital: npt.NDArray[Any]
    answers: bool

    def percentages(self) -> Tallies:
        """Return the same tallies as those of answers, whose values are percentages."""
        return replace(self, answers=True)

    @property
    def weights(self) -> Numbers:
        """Share of the samples that is in each stratum, [strata]."""
        return self.sizes / self.sizes.sum()

    @property
    def variances(self) -> Numbers:
        """Variance of a difference within a chip and a stratum, v_h, with its prior, [strata]."""
        own = self.squares - self.sums**2 / self.counts
        overall = (self.squares.sum() + (HALF_A_FLIP if self.answers else 0.0)) / (self.counts.sum() + 1)
        freedom = (self.counts - 1).sum(axis=0)
        return np.asarray((own.sum(axis=0) + PRIOR * overall) / (freedom + PRIOR))

    def within(self, counts: Whole) -> Numbers:
        """Return the variance that the samples add to a chip's estimate with some counts [..., strata]; [...]."""
        return np.asarray((self.weights**2 * self.variances * (1 / counts - 1 / self.sizes)).sum(axis=-1))


def tallies(strata: Strata, digital: npt.NDArray[Any], chips: Iterable[tuple[int, Whole, npt.NDArray[Any]]]) -> Tallies:
    """Add up the outcomes of chips, each on samples that were drawn for it (:meth:`Strata.drawn`).

    Args:
        strata: The strata.
        digital: Outcomes of the digital network on all samples: right or wrong (bool), or numbers.
        chips: For each chip its number, the numbers of its samples, and its outcomes on them.

    Raises:
        DriftproofError: There is no chip, or a chip saw no sample of a stratum.
    """
    height, total = len(strata.sizes), len(strata.of)
    base = digital.astype(np.float64)
    rows, seen, sums, squares = [], np.zeros(total, np.int64), np.zeros(total), np.zeros(total)
    for chip, samples, outcomes in chips:
        stratum, d = strata.of[samples], outcomes.astype(np.float64) - base[samples]
        rows.append([np.bincount(stratum, w, minlength=height) for w in (None, d, d**2, d * base[samples])])
        if not rows[-1][0].all():
            raise DriftproofError(f"chip {chip} saw no sample of a stratum; wanted at least one of each")
        seen[samples] += 1
        sums[samples] += d
        squares[samples] += d**2
    if not rows:
        raise DriftproofError("no chip has seen a sample of every stratum")
    counts, added, squared, crossed = (np.array(column) for column in zip(*rows, strict=True))
    pairs = np.bincount(strata.of, seen * (seen - 1), minlength=height).astype(np.int64)
    products = np.bincount(strata.of, sums**2 - squares, minlength=height)
    answers = digital.dtype == np.bool_
    return Tallies(strata.sizes, counts, added, squared, crossed, pairs, products, digital, answers)


@dataclass(frozen=True, eq=False)
class Stratified:
    """The statistics of chips that saw parts of the samples: of the metric, and of its difference from digital."""

    value: Crossed
    change: Crossed


def stratified(of: Tallies) -> Stratified:
    """Return the statistics of chips on parts of the samples.

    >>> strata, digital = Strata(np.array([0, 0, 1, 1, 1]), seed=0), np.array([True, False, True, True, True])
    >>> seen = [(i, strata.drawn(i, np.array([2, 1])), np.array([i % 2 == 0, False, True])) for i in range(2)]
    >>> of = stratified(tallies(strata, digital, seen))
    >>> of.change.mean, of.value.mean
    (-10.0, 70.0)
    """
    scale = 100.0 if of.answers else 1.0
    own = of.sums / of.counts @ of.weights
    base = of.digital.astype(np.float64)
    spread = _of_samples(of) - float(own.mean()) ** 2
    covariance = _mean(of, of.crosses) - float(base.mean()) * float(own.mean())
    within = float(of.within(of.counts).mean())
    both = float(base.var()) + spread + 2 * covariance

    def statistics(chip_means: Numbers, sample_variance: float) -> Crossed:
        return Crossed(
            chip_means=scale * chip_means,
            samples=len(base),
            sample_square=scale**2 * max(sample_variance, 0.0),
            rest_square=0.0,
            sample_third=0.0,
            within=scale**2 * within,
            passes=int(of.counts.sum()),
        )

    return Stratified(value=statistics(base.mean() + own, both), change=statistics(own, spread))


def _mean(of: Tallies, sums: Numbers) -> float:
    """Return the mean over all samples and chips of what was added up in each stratum."""
    return float(sums.sum(axis=0) / of.counts.sum(axis=0) @ of.weights)


def _of_samples(of: Tallies) -> float:
    """Return the mean square over samples of a sample's mean difference over all chips."""
    bound = of.squares.sum(axis=0) / of.counts.sum(axis=0)
    return float((of.products + bound) / (of.pairs + 1) @ of.weights)
