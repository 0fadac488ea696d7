"""A number on each of several chips, with its mean and the 95 % interval of the mean."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from driftproof._errors import DriftproofError
from driftproof.statistics._equal_chips import are_equal, change_interval


@dataclass(frozen=True)
class PerChip:
    """One value per chip, in the order of the chips, so that differences of two are paired.

    Attributes:
        values: The values.
        outcomes: Outcome of every chip and sample, [chips, samples]: whole numbers of which the values are the means in
            percent, or numbers of which they are the means; None where they are not known.

    >>> before, after = PerChip((86.0, 88.0, 81.0)), PerChip((88.0, 89.5, 84.0))
    >>> round(after.mean, 2), [round(end, 2) for end in (after - before).interval]
    (87.17, [0.27, 4.06])
    """

    values: tuple[float, ...]
    outcomes: npt.NDArray[Any] | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        """Raise DriftproofError if there is no value."""
        if not self.values:
            raise DriftproofError("values per chip: wanted at least one chip, got none")

    @classmethod
    def of(cls, values: Iterable[float]) -> PerChip:
        """Return the values of any numbers, such as a column of an array."""
        return cls(tuple(float(value) for value in values))

    def __len__(self) -> int:
        return len(self.values)

    def __sub__(self, other: PerChip) -> PerChip:
        """Return the differences on the same chips, chip by chip.

        Raises:
            DriftproofError: The numbers of chips differ.
        """
        if len(self) != len(other):
            raise DriftproofError(
                f"values on {len(self)} and on {len(other)} chips cannot be subtracted: a difference is paired, chip "
                "by chip; measure both on the same chips"
            )
        values = tuple(a - b for a, b in zip(self.values, other.values, strict=True))
        known = self.outcomes is not None and other.outcomes is not None
        return PerChip(values, self.outcomes - other.outcomes if known else None)  # type: ignore[operator]

    def times(self, factor: int) -> PerChip:
        """Return every value multiplied by 1 or -1."""
        assert factor in (1, -1)
        outcomes = None if self.outcomes is None else factor * self.outcomes
        return PerChip(tuple(factor * value for value in self.values), outcomes)

    @property
    def mean(self) -> float:
        """The mean over the chips."""
        return float(np.mean(self.values))

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of the mean over chips (:func:`driftproof.statistics._equal_chips.change_interval`)."""
        return change_interval(self.values, self.outcomes)

    @property
    def are_equal(self) -> bool:
        """Whether all chips have the same value."""
        return are_equal(self.values)

    def within(self, ends: tuple[float, float]) -> tuple[float, float]:
        """Return the interval, cut at the ends of the range of possible values.

        >>> PerChip((100.0, 98.0)).within((0.0, 100.0))[1]
        100.0
        """
        low, high = self.interval
        return (low, high) if math.isnan(low) else (max(low, ends[0]), min(high, ends[1]))

    def columns(self, name: str, ends: tuple[float, float] = (-math.inf, math.inf)) -> dict[str, float]:
        """Return the mean and the interval as columns of a table, named after ``name``.

        >>> PerChip((1.0, 1.0)).columns("drop")
        {'drop': 1.0, 'drop_ci95_low': 1.0, 'drop_ci95_high': 1.0}
        """
        low, high = self.within(ends)
        return {name: self.mean, f"{name}_ci95_low": low, f"{name}_ci95_high": high}
