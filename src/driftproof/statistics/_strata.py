"""Strata of the samples of a data set, and the samples of each stratum that a chip sees, in a keyed random order."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from driftproof._errors import DriftproofError

MOST = 12
"""Largest number of strata of one kind of samples."""
FIRST_SIZE = 10
"""A kind of n samples has about (n / FIRST_SIZE)^(1/3) strata. Those of the samples in most doubt are the smallest."""

Numbers = npt.NDArray[np.float64]
Whole = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Strata:
    """The stratum of every sample, and the orders in which chips see samples.

    Every chip has a random order of the samples of each stratum. It sees the first of them, so that seeing more samples
    later adds to those that it has seen. The order depends on the seed and on the number of the chip: the same chip
    number sees the same samples on every device and at every time, so that comparisons stay paired.

    Attributes:
        of: Number of the stratum of each sample, from 0, [samples].
        seed: Seed of the orders.

    >>> strata = Strata(np.array([0, 0, 0, 1, 1]), seed=0)
    >>> drawn = strata.drawn(3, np.array([2, 1]))
    >>> len(drawn), strata.counted(3, drawn).tolist()
    (3, [2, 1])
    """

    of: Whole
    seed: int

    def __post_init__(self) -> None:
        """Check that every stratum has a sample."""
        if self.of.ndim != 1 or not len(self.of) or self.of.min() < 0 or not self.sizes.all():
            raise DriftproofError(f"strata: wanted numbers from 0, each with a sample, got {self.of}")

    @cached_property
    def sizes(self) -> Whole:
        """Number of samples of each stratum, [strata]."""
        return np.bincount(self.of)

    @property
    def ends(self) -> Whole:
        """Where each stratum ends in an order, [strata]."""
        return np.cumsum(self.sizes)

    def order(self, chip: int) -> Whole:
        """Return the samples stratum after stratum, those of a stratum in the chip's random order, [samples]."""
        # raw numbers of a bit generator are the same in all versions of NumPy
        keys = np.random.PCG64(np.random.SeedSequence((self.seed, chip))).random_raw(len(self.of))
        return np.lexsort((keys, self.of))

    def drawn(self, chip: int, counts: Whole) -> Whole:
        """Return the samples that a chip sees, ascending: the first ``counts`` [strata] of its order."""
        if len(counts) != len(self.sizes) or (counts > self.sizes).any() or (counts < 0).any():
            raise DriftproofError(f"counts {counts} of strata of {self.sizes} samples")
        place = np.arange(len(self.of)) - np.repeat(self.ends - self.sizes, self.sizes)
        return np.sort(self.order(chip)[place < np.repeat(counts, self.sizes)])

    def counted(self, chip: int, samples: Whole | None) -> Whole:
        """Return how many samples at the start of a chip's order of each stratum are among some samples, [strata].

        ``None`` are all samples. Whatever else was measured of the chip, these are a random subset of the stratum.
        """
        if samples is None:
            return self.sizes
        seen = np.zeros(len(self.of), dtype=np.bool_)
        seen[samples] = True
        parts = np.split(seen[self.order(chip)], self.ends[:-1])
        return np.array([len(part) if part.all() else int(part.argmin()) for part in parts])


def strata_by(doubt: npt.ArrayLike, kind: npt.ArrayLike | None = None, *, seed: int = 0) -> Strata:
    """Return strata of samples by how far they are from doubt.

    Samples of one kind are sorted. Their strata end at the shares (1/H)², (2/H)², … of them, so that those in most
    doubt, which chips answer otherwise most often, are in small strata.

    Args:
        doubt: A number for each sample, such as the margin of the digital network: the smaller, the more in doubt.
        kind: The kind of each sample, such as whether the digital answer is right (default: one kind).
        seed: Seed of the orders in which chips see the samples of a stratum.

    Raises:
        DriftproofError: A number is NaN, or there is not one kind per number.

    >>> strata_by(np.arange(80.0)).sizes.tolist()
    [20, 60]
    """
    x = np.asarray(doubt, dtype=np.float64)
    kinds = np.zeros(len(x), dtype=np.int64) if kind is None else np.asarray(kind)
    if x.ndim != 1 or not x.size or x.shape != kinds.shape or np.isnan(x).any():
        raise DriftproofError(f"strata: wanted one number and one kind per sample, got {x.shape} and {kinds.shape}")
    of, first = np.zeros(len(x), dtype=np.int64), 0
    for one in np.unique(kinds):
        members = np.flatnonzero(kinds == one)
        members = members[np.argsort(x[members], kind="stable")]
        number = int(np.clip(round((len(members) / FIRST_SIZE) ** (1 / 3)), 1, MOST))
        ends = np.round(len(members) * (np.arange(1, number + 1) / number) ** 2).astype(np.int64)
        of[members] = first + np.searchsorted(ends, np.arange(len(members)), side="right")
        first += number
    return Strata(of, seed)
