"""SONOS, V. Agrawal et al., IEDM 2022 (10.1109/IEDM45625.2022.10019564), fits of CrossSim's SONOS.py.

Currents in nA at 0.1 V, days after programming. Mean shift Σ pᵢ Iⁱ, spread A (1 − e^(−I/B)), read noise the same form.
Held after 5 days, where the data end. One number per device for life.
"""

from __future__ import annotations

import math

from devices.papers.device import Numbers, Reading

DAY_S = 86400.0
A = (19.88665, 25.59102, 28.72753, 31.04318, 33.76214, 34.57909)
B = (176.3115, 186.85544, 193.56834, 198.90332, 204.77023, 207.34309)
# fmt: off
P: tuple[tuple[float, ...], ...] = (
    (0.0,) * 11,
    (1.72684e-01, 5.72552e-02, -6.85715e-04, 3.50271e-06, -9.37682e-09, 1.40575e-11, -1.19803e-14, 5.41293e-18,
     -8.85448e-22, -1.66869e-25, 5.95180e-29),
    (2.50712e-01, 6.62195e-02, -6.83218e-04, 2.99442e-06, -6.78255e-09, 7.70482e-12, -3.04983e-15, -2.15919e-18,
     2.94617e-21, -1.23359e-24, 1.85329e-28),
    (-1.75300e-02, 9.76883e-02, -9.63791e-04, 4.55551e-06, -1.22391e-08, 1.93786e-11, -1.85899e-14, 1.07659e-17,
     -3.58211e-21, 5.96785e-25, -3.30410e-29),
    (4.03338e-02, 1.03111e-01, -1.04740e-03, 4.83961e-06, -1.28132e-08, 1.99484e-11, -1.85139e-14, 1.00008e-17,
     -2.84944e-21, 3.01008e-25, 1.18747e-29),
    (3.19927e-01, 1.06596e-01, -1.04054e-03, 4.50290e-06, -1.10352e-08, 1.56477e-11, -1.27592e-14, 5.45513e-18,
     -7.26841e-22, -2.43893e-25, 7.14608e-29),
)
# fmt: on


def shift_na(i_na: float, day: int) -> float:
    return math.fsum(p * i_na**power for power, p in enumerate(P[day]))


def spread_na(i_na: float, a: float, b: float) -> float:
    return a * (1 - math.exp(-i_na / b))


def between(t_s: float) -> tuple[int, int, float]:
    """The days before and after a time, and the share of the way from one to the other."""
    day = min(t_s / DAY_S, 5.0)
    before = min(int(day), 4)
    return before, before + 1, day - before


def _reading(i_na: float) -> Reading:
    i_na = max(0.0, i_na)
    return Reading(i_na / 100, spread_na(i_na, 12.58037, 215.36557) / 100)


def law(target_us: float, xi: Numbers, t_s: float) -> Reading:
    """As SONOS.py computes it: the spread at the current *after* the mean shift, with A and B linear in t."""
    i_na, (low, high, share) = target_us * 100, between(t_s)
    mean = i_na + (1 - share) * shift_na(i_na, low) + share * shift_na(i_na, high)
    a, b = ((1 - share) * table[low] + share * table[high] for table in (A, B))
    return _reading(mean + max(spread_na(mean, a, b), 0.0) * xi.program)


def law_at_target(target_us: float, xi: Numbers, t_s: float) -> Reading:
    """As driftproof had it at first: ΔI and σ functions of the *target* current, both linear in t."""
    i_na, (low, high, share) = target_us * 100, between(t_s)
    mean = i_na + (1 - share) * shift_na(i_na, low) + share * shift_na(i_na, high)
    sigma = (1 - share) * spread_na(i_na, A[low], B[low]) + share * spread_na(i_na, A[high], B[high])
    return _reading(mean + sigma * xi.program)
