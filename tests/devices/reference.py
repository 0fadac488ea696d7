"""What a clipped law comes to, by summing. (The laws themselves, one device at a time, are in ``papers``.)"""

from __future__ import annotations

import math


def clipped_normal(mean: float, sd: float) -> tuple[float, float, float]:
    """Mean, standard deviation and fourth central moment of max(0, X), X normal, by summing over a fine grid."""
    if sd == 0:
        return max(mean, 0.0), 0.0, 0.0
    steps = 40_001
    points = [-9 + 18 * i / (steps - 1) for i in range(steps)]
    density = [math.exp(-z * z / 2) for z in points]
    total = sum(density)
    values = [max(0.0, mean + sd * z) for z in points]
    first = sum(p * v for p, v in zip(density, values, strict=True)) / total
    second = sum(p * (v - first) ** 2 for p, v in zip(density, values, strict=True)) / total
    fourth = sum(p * (v - first) ** 4 for p, v in zip(density, values, strict=True)) / total
    return first, math.sqrt(second), fourth
