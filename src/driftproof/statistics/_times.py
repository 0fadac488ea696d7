"""The interval of a lifetime: between which measured times a curve leaves the good side of a threshold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from driftproof._errors import DriftproofError


class Span(NamedTuple):
    """The interval of a lifetime in s.

    Attributes:
        from_s: The last measured time up to which the curve is on the good side for certain; None if it is not so at
            the first measured time.
        to_s: The first measured time at which it is on the bad side for certain; None if it is not so at any.
    """

    from_s: float | None
    to_s: float | None


def lifetime_span(times_s: Sequence[float], lows: Sequence[float], highs: Sequence[float], threshold: float) -> Span:
    """Return the interval of the time at which a falling curve passes a threshold.

    The curve is known at the measured times only, by an interval at each. It may pass the threshold anywhere between
    the last time at which its interval lies above and the first time at which its interval lies below. So the interval
    contains the uncertainty of the values as well as the gaps between the times. It is right for a curve that does not
    rise again: at the true lifetime it is one interval that has to hold, not all of them together.

    Args:
        times_s: Measured times in ascending order.
        lows: The lower ends of the intervals, as many as times.
        highs: Their upper ends.
        threshold: The threshold; values at or above are good.

    Raises:
        DriftproofError: There are no times, or not as many ends.

    >>> lifetime_span([1, 3600, 86400], [90.2, 89.1, 87.0], [91.0, 90.3, 88.0], 90)
    Span(from_s=1, to_s=86400)
    """
    if not times_s or not len(times_s) == len(lows) == len(highs):
        raise DriftproofError(f"lifetime: {len(times_s)} times came with {len(lows)} and {len(highs)} ends")
    good = [low >= threshold for low in lows]
    first_doubt = good.index(False) if False in good else len(good)
    bad = next((t for t, high in zip(times_s, highs, strict=True) if high < threshold), None)
    return Span(times_s[first_doubt - 1] if first_doubt else None, bad)
