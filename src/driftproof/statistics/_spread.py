"""The spread of chips without the noise of the samples: standard deviation, band, worst chip, percentiles.

The accuracies of several chips on N samples differ for two reasons: the chips differ, with the variance σ²_chip, and
each chip is measured on few samples, which adds σ²_rest/N. On 2,000 images the second is often the larger. A standard
deviation, band, worst chip or percentile of the measured values therefore shows more spread than the chips have.

The values are corrected by moving them towards their mean until their variance is the estimated σ²_chip. (T. A. Louis,
"Estimating a population of parameter values using Bayes and empirical Bayes methods", J. Am. Stat. Assoc. 79 (1984)
393-398: the values of an ensemble whose spread shall be right are moved less than the best estimate of each.)
"""

from __future__ import annotations

import math

import numpy as np
from scipy.special import ndtri, stdtrit
from scipy.stats import trim_mean

from driftproof._errors import DriftproofError
from driftproof._intervals import CONFIDENCE
from driftproof.statistics._crossed import Crossed, Numbers

LEAST_KURTOSIS = 4.0
"""Kurtosis that the interval of a spread assumes at least; the normal distribution has 3."""


def chip_spread(of: Crossed) -> float:
    """Return the standard deviation over chips without the noise of the samples, at least 0; NaN for one chip.

    The root of an unbiased variance v is too small on average, by about Var(v)/(8 v²) of itself. This is added, but not
    more than an eighth. Measured on simulated chips of PCM and ReRAM (25 chips, 2,000 images), the result is 0.3 to 3 %
    too low on average; the standard deviation of the measured values is up to 34 % too high.
    """
    check_whole(of)
    variance = of.chip_variance
    if not variance > 0:
        return variance
    relative = 2 / (of.chips - 1) * (of.chip_square / variance) ** 2
    return min(math.sqrt(variance) * (1 + min(relative, 1.0) / 8), math.sqrt(of.chip_square))


def spread_interval(of: Crossed, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Return the interval of the standard deviation over all chips, without the noise of the samples.

    It is that of D. G. Bonett (Comput. Stat. Data Anal. 50 (2006) 775-782) for the variance of the measured values,
    which allows for their kurtosis, less the part of the samples. Two things differ from the paper, because chips are
    skewed and a few of them do not show the tail: the kurtosis is at least 4, and at least 3 + 2 γ² where γ is the
    skewness; and the quantile is Student's. It needs at least 5 chips, and is NaN for fewer.
    """
    check_whole(of)
    n, samples_part = of.chips, of.rest_square / of.samples
    if n < 5 or math.isnan(samples_part):
        return math.nan, math.nan
    if not of.chip_square:
        return 0.0, 0.0
    values, away = of.chip_means, of.chip_means - of.mean
    centre = trim_mean(values, 1 / (2 * math.sqrt(n - 4))) if n > 5 else float(np.median(values))
    kurtosis = n * float(((values - centre) ** 4).sum()) / float((away**2).sum()) ** 2
    skewness = of.chip_third / of.chip_square**1.5
    kurtosis = max(kurtosis, LEAST_KURTOSIS, 3 + 2 * skewness**2)
    quantile = float(stdtrit(n - 1, (1 + confidence) / 2))
    c = n / (n - float(ndtri((1 + confidence) / 2)))
    arm = c * quantile * math.sqrt(max(kurtosis - (n - 3) / n, 0.0) / (n - 1))
    low, high = (c * of.chip_square * math.exp(side * arm) - samples_part for side in (-1, 1))
    return math.sqrt(max(low, 0.0)), math.sqrt(max(high, 0.0))


def corrected(of: Crossed) -> Numbers:
    """Return the values of the chips, moved towards their mean so that their spread is that of the chips, [chips].

    Where the outcomes of samples are not known, or there is one chip, they are the measured values.
    """
    check_whole(of)
    if of.chips < 2 or not of.chip_square or math.isnan(of.rest_square):
        return of.chip_means
    return of.mean + (of.chip_means - of.mean) * (chip_spread(of) / math.sqrt(of.chip_square))


def check_whole(of: Crossed) -> None:
    """Raise DriftproofError if chips saw parts of the samples: the values of single chips are then not known."""
    if not of.whole:
        raise DriftproofError(
            f"{of.chips} chips saw {of.passes:,} of {of.chips * of.samples:,} samples: spreads, yields and worst chips "
            "need chips that saw all samples; measure without ci and budget"
        )
