"""p-values of several comparisons, adjusted so that they hold together."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from driftproof._errors import DriftproofError


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values adjusted for their number (S. Holm, Scand. J. Stat. 6 (1979) 65-70).

    Where all hypotheses are true, the least of the adjusted p-values is below 0.05 in at most 5 % of cases, however the
    comparisons depend on each other. NaN stays NaN and does not count.

    Raises:
        DriftproofError: A value is not between 0 and 1.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    p = np.asarray(p_values, dtype=np.float64)
    known = np.flatnonzero(~np.isnan(p))
    if ((p[known] < 0) | (p[known] > 1)).any():
        raise DriftproofError(f"p-values: wanted numbers from 0 to 1, got {list(p_values)}")
    adjusted, largest = [math.nan] * len(p), 0.0
    for rank, place in enumerate(known[np.argsort(p[known], kind="stable")]):
        largest = max(largest, min(1.0, (len(known) - rank) * float(p[place])))
        adjusted[place] = largest
    return adjusted
