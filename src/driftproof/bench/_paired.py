"""Paired timings: steps that take turns in one process, medians of their ratios, and intervals of these medians."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from scipy.stats import binom

from driftproof._intervals import CONFIDENCE

type Step = Callable[[], float]
"""Do a piece of work once, and return how many seconds it takes."""


@dataclass(frozen=True)
class Median:
    """A median with its interval.

    Attributes:
        median: Median of the values.
        low: Lower end of the interval, one of the values.
        high: Upper end of the interval, one of the values.
        confidence: Share of such intervals that contain the median of all possible values.
    """

    median: float
    low: float
    high: float
    confidence: float


def timed(work: Callable[[], object]) -> Step:
    """Return a step that does some work and measures its wall time.

    >>> timed(lambda: sum(range(1000)))() > 0
    True
    """

    def step() -> float:
        start = time.perf_counter()
        work()
        return time.perf_counter() - start

    return step


def take_turns(steps: Mapping[str, Step], rounds: int) -> dict[str, list[float]]:
    """Return the seconds of every run of every step. Each round runs every step once, in the order that is given.

    Every step runs once before, uncounted: the first run compiles, measures input ranges and fills caches.

    >>> seconds = iter([9.0, 9.0, 1.0, 2.0, 3.0, 4.0])
    >>> take_turns({"a": lambda: next(seconds), "b": lambda: next(seconds)}, rounds=2)
    {'a': [1.0, 3.0], 'b': [2.0, 4.0]}
    """
    for step in steps.values():
        step()
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(rounds):
        for name, step in steps.items():
            seconds[name].append(step())
    return seconds


def ratio(values: Sequence[float], to: Sequence[float]) -> Median:
    """Return the median of the ratios of runs of the same round.

    >>> ratio([2.0, 40.0, 6.0], to=[1.0, 10.0, 2.0]).median  # the slow second round slows both
    3.0
    """
    return median_of([a / b for a, b in zip(values, to, strict=True)])


def median_of(values: Sequence[float]) -> Median:
    """Return the median of independent values with the shortest symmetric interval of two of them at 95 %.

    The number of values below the median of all possible values is binomial, whatever their distribution. Fewer than
    six values do not reach 95 %: then the interval has the smallest and the largest value, and says its confidence.

    >>> median_of([3.0, 1.0, 2.0, 5.0, 4.0, 7.0, 6.0])
    Median(median=4.0, low=1.0, high=7.0, confidence=0.984375)
    """
    ordered, count = sorted(values), len(values)
    place = max(0, int(binom.ppf((1 - CONFIDENCE) / 2, count, 0.5)) - 1)
    confidence = 1 - 2 * float(binom.cdf(place, count, 0.5))
    return Median(statistics.median(ordered), ordered[place], ordered[count - 1 - place], max(0.0, confidence))
