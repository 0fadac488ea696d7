"""ReRAM of the NeuRRAM chip, W. Wan et al., Nature 2022 (10.1038/s41586-022-04992-8).

aihwkit's polynomials of r = target / 40 µS at 1 s, 1 day and 2 days. Between them σ is linear in ln t, outside it is
held, and each device keeps one number for life.
"""

from __future__ import annotations

import itertools
import math

from devices.papers.device import Numbers, Reading

TABLE = {
    1.0: (0.348, 16.030, -43.853, 45.393, -16.815),
    86400.0: (0.701, 22.086, -50.773, 47.095, -16.458),
    172800.0: (0.782, 20.274, -43.507, 37.062, -11.934),
}


def sigma_us(r: float, t_s: float) -> float:
    def at(time: float) -> float:
        return sum(c * r**i for i, c in enumerate(TABLE[time]))

    times = sorted(TABLE)
    if t_s <= times[0]:
        return at(times[0])
    for low, high in itertools.pairwise(times):
        if t_s <= high:
            share = math.log(t_s / low) / math.log(high / low)
            return at(low) + share * (at(high) - at(low))
    return at(times[-1])


def law(target_us: float, xi: Numbers, t_s: float) -> Reading:
    return Reading(max(0.0, target_us + sigma_us(target_us / 40.0, t_s) * xi.program))
