"""The pigeonhole bootstrap: chips and samples drawn with replacement, each by itself.

A. B. Owen, "The pigeonhole bootstrap", Annals of Applied Statistics 1 (2007) 386-411. It is the slow reference for
:meth:`driftproof.statistics.Crossed.interval`: it needs no formula for the variance of a statistic. The
variance of its means is larger than the true one by about 2 σ²_rest/(K N), a small part of it where there are many
chips and samples.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from driftproof._errors import DriftproofError
from driftproof._intervals import CONFIDENCE, bootstrap_interval

REPETITIONS = 2000


def pigeonhole(
    outcomes: npt.NDArray[Any],
    statistic: Callable[[npt.NDArray[Any]], float] = np.mean,
    *,
    seed: int = 0,
    repetitions: int = REPETITIONS,
) -> npt.NDArray[np.float64]:
    """Return a statistic of ``repetitions`` draws of chips and samples with replacement.

    Args:
        outcomes: One entry per chip and sample, [chips, samples].
        statistic: Function of drawn outcomes, [chips, samples] (default: the mean).
        seed: Seed of the draws (default: 0).
        repetitions: Number of draws (default: 2000).

    Raises:
        DriftproofError: There are no outcomes or no repetitions.
    """
    y = np.asarray(outcomes)
    if y.ndim != 2 or not y.size or repetitions < 1:
        raise DriftproofError(
            f"pigeonhole bootstrap: wanted outcomes [chips, samples] and at least one repetition, got "
            f"{list(y.shape)} and {repetitions}"
        )
    random = np.random.default_rng(seed)
    chips, samples = y.shape
    estimates = np.empty(repetitions)
    for repetition in range(repetitions):
        drawn = y[random.integers(chips, size=chips)][:, random.integers(samples, size=samples)]
        estimates[repetition] = statistic(drawn)
    return estimates


def pigeonhole_interval(
    outcomes: npt.NDArray[Any],
    statistic: Callable[[npt.NDArray[Any]], float] = np.mean,
    *,
    seed: int = 0,
    repetitions: int = REPETITIONS,
    confidence: float = CONFIDENCE,
) -> tuple[float, float]:
    """Return the percentile interval of :func:`pigeonhole`, for new chips and new samples.

    >>> outcomes = np.random.default_rng(0).random((20, 300)) < 0.9
    >>> low, high = pigeonhole_interval(outcomes, repetitions=200)
    >>> 0.85 < low < outcomes.mean() < high < 0.95
    True
    """
    return bootstrap_interval(pigeonhole(outcomes, statistic, seed=seed, repetitions=repetitions), confidence)
