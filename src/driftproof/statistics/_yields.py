"""Yield: the share of chips whose own value is on the good side of a threshold."""

from __future__ import annotations

import math
from typing import NamedTuple

from scipy.special import betaincinv, stdtrit

from driftproof._defaults import ON
from driftproof._errors import DriftproofError
from driftproof._intervals import CONFIDENCE
from driftproof.statistics._crossed import Crossed, Numbers, On, check_on
from driftproof.statistics._spread import check_whole, corrected


class Yield(NamedTuple):
    """A share of chips from 0 to 1, and both ends of its interval."""

    share: float
    low: float
    high: float


def chip_yield(of: Crossed, threshold: float, sign: int = 1, on: On = ON, confidence: float = CONFIDENCE) -> Yield:
    """Return the share of all chips whose own mean over samples is at or above a threshold.

    On these samples it is the share of the measured chips, and its interval is that of Clopper and Pearson (Biometrika
    26 (1934) 404-413), which contains the share in at least 95 % of cases.

    On new samples a chip is counted by its value without the noise of the samples
    (:func:`driftproof.statistics.corrected`). All chips have seen the same samples: had these been harder, all chips
    would have been worse together. Half of what the interval may miss is therefore spent on the samples. Clopper and
    Pearson's interval, with the other half, is taken where all values are lower by what the samples may account for,
    and where all are higher. Where the measured values give a wider interval than the corrected ones, theirs is taken.
    The interval errs to the safe side.

    Args:
        of: Outcomes of chips on samples, or their differences from those of the digital network.
        threshold: The threshold, in the unit of the values.
        sign: 1 if higher values are better; -1 if the share at or below the threshold is wanted (default: 1).
        on: ``these`` samples, or ``new`` ones (default).
        confidence: Share of such intervals that contain the yield (default: 0.95).

    Raises:
        DriftproofError: ``sign`` or ``on`` is another value.
    """
    if sign not in (1, -1):
        raise DriftproofError(f"sign={sign!r}; wanted 1 (higher is better) or -1 (lower is better)")
    check_whole(of)
    values, bar = sign * of.chip_means, sign * threshold
    if check_on(on) == "these":
        good = _count(values, bar)
        return Yield(good / of.chips, *clopper_pearson(good, of.chips, confidence))
    alike = sign * corrected(of)
    share = _count(alike, bar) / of.chips
    if math.isnan(of.sample_variance):
        return Yield(share, math.nan, math.nan)
    part = (1 + confidence) / 2  # each of the two sources may miss half as often
    arm = float(stdtrit(of.samples - 1, (1 + part) / 2)) * math.sqrt(of.sample_variance / of.samples)
    fewest = min(_count(v, bar + arm) for v in (values, alike))
    most = max(_count(v, bar - arm) for v in (values, alike))
    low, high = clopper_pearson(fewest, of.chips, part)[0], clopper_pearson(most, of.chips, part)[1]
    return Yield(share, low, high)


def _count(values: Numbers, bar: float) -> int:
    return int((values >= bar).sum())


def clopper_pearson(good: int, count: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Return the interval of a share of which ``good`` of ``count`` are a sample.

    >>> [round(end, 3) for end in clopper_pearson(24, 25)]
    [0.796, 0.999]
    """
    tail = (1 - confidence) / 2
    low = float(betaincinv(good, count - good + 1, tail)) if good else 0.0
    high = float(betaincinv(good + 1, count - good, 1 - tail)) if good < count else 1.0
    return low, high
