"""Three kinds of 95 % interval for a mean, where each is used, and why.

| function | method | used for |
|---|---|---|
| :func:`mean_interval` | Hall's transformation of Student's t | the mean over chips of a metric: reports, verdicts |
| :func:`paired_interval` | Student's t | differences of two configurations on the same chips: sensitivity, causes |
| :func:`bootstrap_interval` | percentiles of a bootstrap | ratios of means over the same chips: experiments |

- A metric over chips is skewed: most chips lose little, some lose much. Student's t ignores the skewness, and its
  interval contains the mean too rarely (in 0.899 instead of 0.95 of cases for 25 chips and a lognormal loss).
  :func:`mean_interval` contains it in 0.945. Its docstring has the whole table, and ``tests/test_intervals.py`` repeats
  a part of it.
- A difference on the same chips does not contain their common variation, and is therefore less skewed. It is nearly
  normal, and for a normal distribution Student's t is exact and the shortest. The means over training seeds in
  experiments have Student's interval too, because a mean over ten chips is nearly normal.
- A ratio of two means, such as the share of a gap that a training closes, has no formula of that quality. The bootstrap
  draws chips, so that numerator and denominator belong to the same chips. For the mean of a few chips its interval is
  too short, because it does not use t and the percentiles of a small sample end at its extremes. The package does not
  use it for means.

All intervals hold for other chips on the same samples. Those that hold for other samples as well are made from the
outcome of every sample (:mod:`driftproof.statistics`). Two more intervals are not intervals of a mean: those of a
device's fitted numbers (:mod:`driftproof.fitting`, from the likelihood), and the bound on the fifth percentile
(:func:`driftproof._reporting.fifth_percentile`, from order statistics).
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from scipy.special import stdtr, stdtrit

from driftproof._errors import DriftproofError

CONFIDENCE = 0.95


def mean_interval(values: npt.ArrayLike, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Return the interval for the mean over all chips, estimated from a few chips. It is NaN for fewer than two.

    Accuracy over chips is skewed: most chips lose little, some lose much. Student's t ignores the skewness, and its
    interval contains the mean too rarely. This is Hall's transformation (P. Hall, "On the removal of skewness by
    transformation", J. R. Statist. Soc. B 54 (1992) 221-228): with T = √n (mean - µ)/s, skewness γ (the unbiased third
    moment over s³) and u = γ/(3√n),

        g(T) = T + u T² + u² T³/3 + u/2 = ((1 + u T)³ - 1)/(3 u) + u/2

    has almost no skewness and increases, so that its inverse at two quantiles of Student's t (n - 1 degrees of freedom;
    the paper takes the normal distribution's) bounds µ. There are two more differences from the paper. The skewness of
    a few values of a skewed distribution is too small on average (of 25 lognormal or gamma values about a quarter), so
    that the true mean would lie at the long tail's side too often: γ is multiplied by 1 + 7.5/n. And g is flat at
    T = -1/u, where one outlier among 25 chips would make an arm four times that of Student's interval. Therefore |u| is
    limited such that both arms end at or before half of -1/u. At 95 % no arm then exceeds 1.8 times Student's. Without
    skewness, and for two values, the result is Student's interval. It contains the mean and needs no resampling.

    Share of intervals that contain µ, and shares in which µ lies below and above them, in per mille, measured with
    40,000 repetitions for accuracy = 100 - 3 X, X normal, gamma or lognormal with mean 1, cut at 10 %
    (``tests/test_intervals.py`` repeats a part):

        X                  Student, n = 10   here, n = 10      Student, n = 25   here, n = 25
        normal, sd 1/3           0.948       0.947 (26, 27)          0.950       0.950 (25, 25)
        gamma, sd 0.5            0.935       0.950 (33, 16)          0.942       0.952 (25, 23)
        gamma, sd 1              0.903       0.945 (43, 11)          0.922       0.950 (28, 22)
        gamma, sd 1.5            0.851       0.924 (69, 7)           0.897       0.948 (35, 16)
        lognormal, sd 0.5        0.921       0.945 (42, 14)          0.937       0.949 (30, 22)
        lognormal, sd 1          0.873       0.931 (62, 8)           0.899       0.945 (40, 16)
        lognormal, sd 1.5        0.823       0.909 (87, 5)           0.863       0.934 (56, 10)

    What is missed lies at the bad end more often than at the good one: with few chips, the interval errs to the
    optimistic side. At n = 25 the median width is 1.00 to 1.28 times Student's.

    Chips whose values are all equal give an interval of width 0.

    Args:
        values: One value for each chip.
        confidence: Share of such intervals that contain the mean over all chips (default: 0.95).

    Raises:
        DriftproofError: The confidence is not between 0 and 1.

    >>> [round(x, 2) for x in mean_interval([89.0, 90.0, 91.0])]
    [87.52, 92.48]
    >>> low, high = mean_interval([80.0, 89.0, 90.0, 90.5, 91.0])  # one bad chip: the long arm points to it
    >>> 88.1 - low > high - 88.1
    True
    """
    x = _checked(values, confidence)
    n = x.size
    if n < 2:
        return math.nan, math.nan
    mean, sd = float(x.mean()), float(x.std(ddof=1))
    # Equal values differ from their mean by rounding; a skewness from rounding would be noise.
    if sd <= 1e-12 * max(abs(mean), 1.0):
        return mean, mean
    third = float(((x - mean) ** 3).sum()) * n / ((n - 1) * (n - 2)) if n > 2 else 0.0
    skewness = whole_skewness(third / sd**3, n)
    return transformed_interval(mean, sd / math.sqrt(n), skewness / math.sqrt(n), n - 1, confidence)


def whole_skewness(skewness: float, count: int) -> float:
    """Return a skewness that makes up for what that of a few values is too small: see :func:`mean_interval`."""
    return skewness * (1 + 7.5 / count)


def transformed_interval(
    mean: float, error: float, skewness: float, freedom: float, confidence: float = CONFIDENCE
) -> tuple[float, float]:
    """Return Hall's interval of an estimate whose standard error and skewness are known: see :func:`mean_interval`.

    Args:
        mean: The estimate.
        error: Its standard error.
        skewness: Skewness of the estimate's distribution; 0 gives Student's interval.
        freedom: Degrees of freedom of the standard error.
        confidence: Share of such intervals that contain the estimated value (default: 0.95).
    """
    quantile = float(stdtrit(freedom, (1 + confidence) / 2))
    u = _slope(skewness, quantile)
    return mean - error * _inverse(quantile, u), mean - error * _inverse(-quantile, u)


def p_value(difference: float, error: float, skewness: float, freedom: float) -> float:
    """Return the two-sided p-value of the hypothesis that the true difference is 0.

    It is below 0.05 where 0 is outside of the 95 % interval of :func:`transformed_interval`.

    >>> transformed_interval(1.0, 0.5, 0.3, 24)[0] > 0, round(p_value(1.0, 0.5, 0.3, 24), 3)
    (True, 0.021)
    """
    return min(1.0, 2 * min(tails(difference, error, skewness, freedom)))


def tails(difference: float, error: float, skewness: float, freedom: float) -> tuple[float, float]:
    """Return the probabilities, if the true value is 0, of an estimate at or above, and at or below, this one."""
    if not error:
        return (1.0 if difference <= 0 else 0.0, 1.0 if difference >= 0 else 0.0)
    u = _slope(skewness, float(stdtrit(freedom, (1 + CONFIDENCE) / 2)))
    t = difference / error
    g = t + u * t**2 + u**2 * t**3 / 3 + u / 2
    return float(stdtr(freedom, -g)), float(stdtr(freedom, g))


def _slope(skewness: float, quantile: float) -> float:
    """Return u of :func:`mean_interval`, limited such that 1 + u T is at least 1/2 at g(T) = ±quantile."""
    limit = math.sqrt(quantile**2 + 7 / 12) - quantile
    return min(max(skewness / 3, -limit), limit)


def paired_interval(differences: npt.ArrayLike, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Return Student's t interval for the mean over all chips of a difference. It is NaN for fewer than two chips.

    The interval is mean ± t(n - 1) s/√n. Values that are not differences are skewed: use :func:`mean_interval`.

    Args:
        differences: One difference for each chip: the value of one configuration minus the value of the other.
        confidence: Share of such intervals that contain the mean over all chips (default: 0.95).

    Raises:
        DriftproofError: The confidence is not between 0 and 1.

    >>> [round(x, 2) for x in paired_interval([2.0, 1.5, 3.0])]
    [0.27, 4.06]
    """
    x = _checked(differences, confidence)
    if x.size < 2:
        return math.nan, math.nan
    mean = float(np.mean(x))
    arm = float(stdtrit(x.size - 1, (1 + confidence) / 2)) * float(np.std(x, ddof=1)) / math.sqrt(x.size)
    return mean - arm, mean + arm


def bootstrap_draws(chips: int, random: np.random.Generator, repetitions: int = 10_000) -> npt.NDArray[np.int64]:
    """Return the numbers of the chips that a bootstrap draws with replacement, [repetitions, chips].

    Args:
        chips: Number of chips.
        random: Source of the random numbers.
        repetitions: Number of repetitions.

    Raises:
        DriftproofError: There is no chip or no repetition.
    """
    if chips < 1 or repetitions < 1:
        raise DriftproofError(
            f"bootstrap: wanted at least one chip and one repetition, got {chips} chips, {repetitions} repetitions"
        )
    return random.integers(chips, size=(repetitions, chips))


def bootstrap_interval(estimates: npt.ArrayLike, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Return the percentile interval of a bootstrap.

    Args:
        estimates: The statistic for each repetition of :func:`bootstrap_draws`.
        confidence: Share of the repetitions that lie inside the interval (default: 0.95).

    Raises:
        DriftproofError: The confidence is not between 0 and 1, or there are no estimates.

    >>> gain, gap = np.array([1.0, 2.0, 1.5, 2.5]), np.array([4.0, 5.0, 4.5, 5.5])
    >>> drawn = bootstrap_draws(4, np.random.default_rng(0))
    >>> low, high = bootstrap_interval(gain[drawn].mean(axis=1) / gap[drawn].mean(axis=1))
    >>> bool(low < 7 / 19 < high)
    True
    """
    x = _checked(estimates, confidence)
    if not x.size:
        raise DriftproofError("bootstrap: wanted the estimates of its repetitions, got none")
    low, high = np.quantile(x, (1 - (1 + confidence) / 2, (1 + confidence) / 2))
    return float(low), float(high)


def _checked(values: npt.ArrayLike, confidence: float) -> npt.NDArray[np.float64]:
    """Return the values as an array. Raise DriftproofError for a confidence that is not between 0 and 1."""
    if not 0 < confidence < 1:
        raise DriftproofError(f"confidence {confidence:g}: wanted a number between 0 and 1, such as 0.95")
    return np.asarray(values, dtype=np.float64)


def _inverse(y: float, u: float) -> float:
    """Return T with g(T) = y. Without skewness g is the identity."""
    return y if abs(u) < 1e-7 else (math.cbrt(1 + 3 * u * (y - u / 2)) - 1) / u
