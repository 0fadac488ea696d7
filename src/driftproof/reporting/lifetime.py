"""How long a mean stays on the good side of a threshold, and times in words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from driftproof.errors import DriftproofError
from driftproof.record import Quantity, quantity_of
from driftproof.times import SECONDS

WORSE_BY = 0.1
"""Share of the digital value that a metric which is no percentage may lose before its default threshold."""


@dataclass(frozen=True)
class Lifetime:
    """When a curve leaves the good side of the threshold: falls below it, where higher is better.

    ``below``: at the first measured time ``t_s`` already; ``crossed``: at ``t_s``, between two measured times;
    ``held``: not up to the last measured time ``t_s``, so the lifetime is at least that.
    """

    kind: Literal["below", "crossed", "held"]
    t_s: float


def default_keep(digital: float, quantity: Quantity | None = None) -> float:
    """Return the threshold that a report uses unless told another.

    Of percentages the nearest whole percent that is at least one point worse than digital, from 0 to 100; of other
    metrics the nearest number of three digits that is at least 10 % of digital worse.

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
    # The inner rounding: 110 % of 100 is 110.00000000000001, which is no reason to go on to 111.
    return float(f"{quantity.sign * math.floor(round(goodness / step, 6)) * step:.3g}")


def lifetime(times_s: Sequence[float], values: Sequence[float], keep: float, sign: int = 1) -> Lifetime:
    """Return when ``values`` first fall below ``keep``, from values at ascending times within validity.

    With ``sign`` -1, lower values are better, and it is when they first rise above.

    Between two times the value is linear in ln t; between 0 and the first later time, where ln t says nothing, it is
    linear in t. A later rise above the threshold does not count.

    Raises:
        DriftproofError: not one value for each time, no times, or times that do not ascend.

    >>> lifetime([1.0, 100.0], [92.0, 88.0], keep=90.0)
    Lifetime(kind='crossed', t_s=10.0)
    """
    if len(times_s) != len(values):
        raise DriftproofError(
            f"lifetime: got {len(times_s)} times and {len(values)} values; wanted one value for each time"
        )
    if not len(times_s):
        raise DriftproofError("lifetime: got no times; wanted at least one, with its value")
    if any(later < earlier for earlier, later in pairwise(times_s)):
        raise DriftproofError(
            f"lifetime: the times {', '.join(f'{t:g}' for t in times_s)} s are not in ascending order; sort them "
            "together with their values"
        )
    for i, (t, value) in enumerate(zip(times_s, values, strict=True)):
        if sign * value >= sign * keep:
            continue
        if i == 0:
            return Lifetime("below", t)
        earlier, higher = times_s[i - 1], values[i - 1]
        share = (higher - keep) / (higher - value)
        if earlier == 0:
            return Lifetime("crossed", share * t)
        return Lifetime("crossed", round(earlier * (t / earlier) ** share, 9))
    return Lifetime("held", times_s[-1])


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
