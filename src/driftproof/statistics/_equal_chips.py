"""The interval of a difference on the same chips, also where all chips have the same difference by accident."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from driftproof._intervals import paired_interval
from driftproof.statistics._crossed import crossed

EQUAL = 1e-9
"""Values that differ by less are equal up to rounding."""


def change_interval(values: Sequence[float], outcomes: npt.NDArray[Any] | None) -> tuple[float, float]:
    """Return the 95 % interval of the mean over chips of a change; NaN for one chip.

    It is Student's (:func:`driftproof._intervals.paired_interval`). Few chips on few samples can have equal values
    although they differ in samples. Their spread of 0 is an accident then, and the interval comes from the samples
    (:class:`driftproof.statistics.Crossed`) where they are known.

    Args:
        values: One value per chip.
        outcomes: Their outcomes, [chips, samples]: int8 of which the values are the means in percent, or other numbers
            of which they are the means; None where they are not known.

    >>> changed = np.array([[1, 0, 0, 0], [0, 1, 0, 0]], dtype=np.int8)
    >>> change_interval([25.0, 25.0], None)
    (25.0, 25.0)
    >>> low, high = change_interval([25.0, 25.0], changed)
    >>> low < 25.0 < high
    True
    """
    if outcomes is not None and len(values) > 1 and are_equal(values):
        low, high = crossed(outcomes, percent=outcomes.dtype == np.int8).interval("these")
        if high - low > EQUAL:
            return low, high
    return paired_interval(values)


def are_equal(values: Sequence[float]) -> bool:
    """Whether all values are the same, up to rounding."""
    return max(values) - min(values) < EQUAL
