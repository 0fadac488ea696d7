"""The device laws once more, slow and obvious: one device at a time, in float64, straight from the papers."""

from __future__ import annotations

import itertools
import math


def pcm_programmed(r: float, xi: float) -> float:
    sigma = 0.26348 + 1.9650 * r - 1.1731 * r**2
    return max(0.0, 25.0 * r + sigma * xi)


def pcm_nu(r: float, xi: float) -> float:
    log_r = math.log(r) if r > 0 else -math.inf
    mean = min(max(-0.0155 * log_r + 0.0244, 0.049), 0.1)
    sd = min(max(-0.0125 * log_r - 0.0059, 0.008), 0.045)
    return abs(mean + sd * xi)


def pcm_read(g_programmed: float, nu: float, xi: float, t_s: float) -> float:
    g: float = g_programmed * ((t_s + 20.0) / 20.0) ** -nu
    r = g_programmed / 25.0
    q = min(0.0088 / r**0.65, 0.2) if r > 0 else 0.2
    sigma = g * q * math.sqrt(math.log((t_s + 20.0 + 250e-9) / (2 * 250e-9)))
    return max(0.0, g + sigma * xi)


WAN = {
    1.0: (0.348, 16.030, -43.853, 45.393, -16.815),
    86400.0: (0.701, 22.086, -50.773, 47.095, -16.458),
    172800.0: (0.782, 20.274, -43.507, 37.062, -11.934),
}


def wan_sigma(r: float, t_s: float) -> float:
    def at(time: float) -> float:
        return sum(c * r**i for i, c in enumerate(WAN[time]))

    times = sorted(WAN)
    if t_s <= times[0]:
        return at(times[0])
    for low, high in itertools.pairwise(times):
        if t_s <= high:
            share = math.log(t_s / low) / math.log(high / low)
            return at(low) + share * (at(high) - at(low))
    return at(times[-1])


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
