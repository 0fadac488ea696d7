"""A number on each of several chips: its mean, and the interval that chips leave."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from driftproof.errors import DriftproofError
from driftproof.intervals import paired_interval


@dataclass(frozen=True)
class PerChip:
    """One value per chip, in the order of the chips, so that differences of two are paired.

    >>> before, after = PerChip((86.0, 88.0, 81.0)), PerChip((88.0, 89.5, 84.0))
    >>> round(after.mean, 2), [round(end, 2) for end in (after - before).interval]
    (87.17, [0.27, 4.06])
    """

    values: tuple[float, ...]

    def __post_init__(self) -> None:
        """Refuse an empty one."""
        if not self.values:
            raise DriftproofError("values per chip: wanted at least one chip, got none")

    @classmethod
    def of(cls, values: Iterable[float]) -> PerChip:
        """Return any numbers, such as a column of an array."""
        return cls(tuple(float(value) for value in values))

    def __len__(self) -> int:
        return len(self.values)

    def __sub__(self, other: PerChip) -> PerChip:
        """Chip by chip; the chips must be the same ones.

        Raises:
            DriftproofError: there are not as many chips on both sides.
        """
        if len(self) != len(other):
            raise DriftproofError(
                f"values on {len(self)} and on {len(other)} chips cannot be subtracted: a difference is paired, chip "
                "by chip; measure both on the same chips"
            )
        return PerChip(tuple(a - b for a, b in zip(self.values, other.values, strict=True)))

    def times(self, factor: float) -> PerChip:
        """Return every value times a number."""
        return PerChip(tuple(factor * value for value in self.values))

    @property
    def mean(self) -> float:
        """Over the chips."""
        return float(np.mean(self.values))

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval for the mean of all chips (:func:`driftproof.intervals.paired_interval`); NaN for one chip."""
        return paired_interval(self.values)

    def within(self, ends: tuple[float, float]) -> tuple[float, float]:
        """Return the interval, cut at the ends of the range in which values can be: their mean is there too.

        >>> PerChip((100.0, 98.0)).within((0.0, 100.0))[1]
        100.0
        """
        low, high = self.interval
        return (low, high) if math.isnan(low) else (max(low, ends[0]), min(high, ends[1]))

    def columns(self, name: str, ends: tuple[float, float] = (-math.inf, math.inf)) -> dict[str, float]:
        """Return mean and interval as columns of a table, under a name.

        >>> PerChip((1.0, 1.0)).columns("drop")
        {'drop': 1.0, 'drop_ci95_low': 1.0, 'drop_ci95_high': 1.0}
        """
        low, high = self.within(ends)
        return {name: self.mean, f"{name}_ci95_low": low, f"{name}_ci95_high": high}
