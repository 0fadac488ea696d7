"""PCM, S. R. Nandakumar et al., ICECS 2019 (10.1109/ICECS46596.2019.8964852), as aihwkit's PCMLikeNoiseModel has it.

r = G / 25 µS; the drift exponent goes by the target, the read noise by the conductance as programmed.
"""

from __future__ import annotations

import math

from devices.papers.device import Numbers, Reading, Spectrum

T0_S, T_READ_S = 20.0, 250e-9
SPECTRUM = Spectrum(T0_S, T_READ_S)


def programmed_us(r: float, xi: float) -> float:
    sigma = 0.26348 + 1.9650 * r - 1.1731 * r**2
    return max(0.0, 25.0 * r + sigma * xi)


def exponent(r: float, xi: float) -> float:
    log_r = math.log(r) if r > 0 else -math.inf
    mean = min(max(-0.0155 * log_r + 0.0244, 0.049), 0.1)
    sd = min(max(-0.0125 * log_r - 0.0059, 0.008), 0.045)
    return abs(mean + sd * xi)


def drifted_us(g_programmed: float, nu: float, t_s: float) -> float:
    g: float = g_programmed * ((t_s + T0_S) / T0_S) ** -nu
    return g


def read_share(r: float) -> float:
    return min(0.0088 / r**0.65, 0.2) if r > 0 else 0.2


def one_over_f(t_s: float, t0_s: float = T0_S, t_read_s: float = T_READ_S) -> float:
    return math.sqrt(math.log((t_s + t0_s + t_read_s) / (2 * t_read_s)))


def law(target_us: float, xi: Numbers, t_s: float) -> Reading:
    g_programmed = programmed_us(target_us / 25.0, xi.program)
    g = drifted_us(g_programmed, exponent(target_us / 25.0, xi.drift), t_s)
    return Reading(g, g * read_share(g_programmed / 25.0) * one_over_f(t_s))
