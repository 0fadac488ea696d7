"""A spread that grows by independent steps: ``time_correlation = "increments"``.

σ(t) is known at the times of a table. From each of them to the next, a device takes a step of its own whose variance
is σ(next)² − σ(this)²; by a time on the way it has taken the part of that step whose variance is σ(t)² − σ(this)².
"""

from __future__ import annotations

import math
from collections.abc import Sequence


def moved(before: Sequence[float], now: float, first: float, steps: Sequence[float]) -> float:
    """How far a device is from its mean: σ at the table's times up to t, σ(t), its first number and its steps'."""
    place = before[0] * first
    for number, sigma in enumerate(before):
        after = before[number + 1] if number + 1 < len(before) else now
        if number < len(steps):
            place += math.sqrt(max(after**2 - sigma**2, 0.0)) * steps[number]
    return place
