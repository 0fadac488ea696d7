"""How long a mean stays on the good side of a threshold, and times in words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from driftproof._errors import DriftproofError
from driftproof._record import Quantity, quantity_of
from driftproof.statistics import lifetime_span
from driftproof.statistics._times import Span
from driftproof.times import SECONDS, format_time

WORSE_BY = 0.1
"""Share of the digital value that a metric without percentages may lose until its default threshold."""


@dataclass(frozen=True)
class Lifetime:
    """When a curve leaves the good side of a threshold. Where higher is better, it falls below the threshold.

    ``below``: the curve is on the bad side at the first measured time ``t_s`` already. ``crossed``: it crosses the
    threshold at ``t_s``, between two measured times. ``held``: it is on the good side up to the last measured time
    ``t_s``, so the lifetime is at least that.
    """

    kind: Literal["below", "crossed", "held"]
    t_s: float


def default_keep(digital: float, quantity: Quantity | None = None) -> float:
    """Return the default threshold of a report.

    For percentages it is the nearest whole percent that is at least one point worse than digital, from 0 to 100. For
    other metrics it is the nearest number of three digits that is worse than digital by at least 10 % of digital.

    >>> default_keep(91.73), default_keep(91.0)
    (90.0, 90.0)
    >>> default_keep(20.93, quantity_of("perplexity"))
    23.1
    """
    quantity = quantity or quantity_of("accuracy")
    low, high = quantity.ends
    if quantity.percent:
        return min(max(quantity.sign * float(math.floor(quantity.sign * digital - 1)), low), high)
    goodness = quantity.sign * digital - WORSE_BY * abs(digital)
    if goodness == 0:
        return 0.0
    step = 10.0 ** (math.floor(math.log10(abs(goodness))) - 2)
    # The inner rounding keeps 110 % of 100, which is 110.00000000000001, from becoming 111.
    return float(f"{quantity.sign * math.floor(round(goodness / step, 6)) * step:.3g}")


def lifetime(times_s: Sequence[float], values: Sequence[float], keep: float, sign: int = 1) -> Lifetime:
    """Return when ``values`` first fall below ``keep``.

    Between two times the value is linear in ln t; between 0 and the next time it is linear in t. A later rise above the
    threshold does not count.

    Args:
        times_s: Times in s, ascending, within the range of validity.
        values: One value for each time.
        keep: The threshold.
        sign: 1 if higher values are better; -1 if lower values are better, and the threshold is crossed upwards.

    Raises:
        DriftproofError: there are no times, not as many values as times, or times that do not ascend.

    >>> lifetime([1.0, 100.0], [92.0, 88.0], keep=90.0)
    Lifetime(kind='crossed', t_s=10.0)
    """
    if len(times_s) != len(values):
        raise DriftproofError(
            f"lifetime: {len(times_s)} times and {len(values)} values; wanted one value for each time"
        )
    if not len(times_s):
        raise DriftproofError("lifetime: got no times; wanted at least one, with its value")
    if any(later < earlier for earlier, later in pairwise(times_s)):
        raise DriftproofError(
            f"lifetime: the times {', '.join(f'{t:g}' for t in times_s)} s are not in ascending order; sort them "
            "together with their values"
        )
    i = next((i for i, value in enumerate(values) if sign * value < sign * keep), None)
    if i is None:
        return Lifetime("held", times_s[-1])
    if i == 0:
        return Lifetime("below", times_s[0])
    before, t = times_s[i - 1], times_s[i]
    share = (values[i - 1] - keep) / (values[i - 1] - values[i])
    return Lifetime("crossed", round(before * (t / before) ** share, 9) if before else share * t)


def in_words(t_s: float) -> str:
    """Return a time to two digits in words.

    >>> [in_words(t) for t in (0, 0.5, 1, 59.9, 5400, 10_000, 40.3 * 86400, 365 * 86400, 1e9)]
    ['0 seconds', '0.5 seconds', '1 second', '1 minute', '1.5 hours', '2.8 hours', '40 days', '1 year', '32 years']
    """
    names = {"s": "second", "min": "minute", "h": "hour", "d": "day", "y": "year"}
    text, name, rounded_s = "", "", 0.0
    for unit, seconds in SECONDS.items():
        rounded = float(f"{t_s / seconds:.2g}")
        # 59.6 s rounds to 60 s, which is a minute, and 364 d to one year.
        if unit == "s" or rounded >= 1 or rounded_s >= seconds:
            rounded_s = max(1.0, rounded) * seconds if text else rounded
            text, name = f"{rounded_s / seconds:g}", names[unit]
    return f"{text} {name}" if text == "1" else f"{text} {name}s"


def lifetime_between(times_s: Sequence[float], ends: Sequence[tuple[float, float]], keep: float, sign: int = 1) -> Span:
    """Return the interval of a lifetime from the intervals of the values, whichever direction is better.

    >>> lifetime_between([1, 60], [(20.1, 20.9), (22.8, 23.9)], keep=22, sign=-1)
    Span(from_s=1, to_s=60)
    """
    if sign < 0:
        ends = [(-high, -low) for low, high in ends]
    lows, highs = zip(*ends, strict=True)
    return lifetime_span(times_s, lows, highs, sign * keep)


def span_in_words(span: Span, times_s: Sequence[float]) -> str:
    """Return the interval of a lifetime. Its ends are measured times, since between them nothing was measured.

    >>> span_in_words(Span(60, 86400), [1, 60, 86400]), span_in_words(Span(None, None), [1, 60])
    ('95 % interval 1 min to 1 d', '95 % interval below 1 s to above 1 min')
    """
    first, last = format_time(times_s[0]), format_time(times_s[-1])
    start = f"below {first}" if span.from_s is None else format_time(span.from_s)
    if span.from_s == times_s[-1]:
        return f"at least {last}"
    if span.to_s == times_s[0]:
        return f"below {first}"
    return f"95 % interval {start} to {f'above {last}' if span.to_s is None else format_time(span.to_s)}"
