"""PCM of the HERMES chip, M. Le Gallo et al., Nature Electronics 2023 (10.1038/s41928-023-01010-1).

As in aihwkit's HermesNoiseModel: curves in two branches, where aihwkit's ``<`` and ``>=`` divide them. "Two devices" is
the law of both of one polarity together; the mean exponent is the same.
"""

from __future__ import annotations

import math

from devices.papers.device import Numbers, Reading, Spectrum

T_READ_S = 512e-9
TWO_DEVICES, ONE_DEVICE = Spectrum(300.0, T_READ_S), Spectrum(200.0, T_READ_S)


def _clip(x: float, low: float, high: float) -> float:
    return min(max(x, low), high)


def _log(r: float) -> float:
    return math.log(r) if r > 0 else -math.inf


def _exponent_mean(r: float) -> float:
    if r < 0.0945:
        return _clip(-0.0387 * _log(r) - 0.0182, 0.0720, 0.13)
    return -0.0436 * r**2 - 0.0126 * r + 0.0736


def two_devices(target_us: float, xi: Numbers, t_s: float) -> Reading:
    r = target_us / 20.7
    sigma = 0.16603222 + 4.71806468 * r - 8.48101252 * r**2 + 4.68961419 * r**3
    sd = (
        _clip(-0.0117 * _log(r) - 0.0057, 0.0091, 0.04) if r < 0.3055 else -0.0118 * r**2 + 0.0093 * r + 0.0073
    )  # of the exponent
    programmed = max(0.0, target_us + sigma * xi.program)
    r_read = programmed / 20.7
    if r_read < 0.16:
        q = _clip(-0.0117 * _log(r_read) - 0.0069, 0.015, 0.04)
    else:
        q = 0.0069 * r_read**3 - 0.0280 * r_read**2 + 0.0211 * r_read + 0.0123
    return _at(t_s, 300.0, programmed, abs(_exponent_mean(r) + sd * xi.drift), q)


def one_device(target_us: float, xi: Numbers, t_s: float) -> Reading:
    r = target_us / 10.35
    sigma = 0.15781817 + 2.32443916 * r - 2.16310839 * r**2 + 0.68841818 * r**3
    sd = (
        _clip(-0.0120 * _log(r) - 0.0023, 0.0124, 0.04) if r < 0.3039 else -0.0165 * r**2 + 0.0116 * r + 0.0104
    )  # of the exponent
    programmed = max(0.0, target_us + sigma * xi.program)
    r_read = programmed / 10.35
    if r_read < 0.1591:
        q = _clip(-0.0078 * _log(r_read) + 0.0038, 0.0179, 0.04)
    else:
        q = 0.0664 * r_read**3 - 0.1352 * r_read**2 + 0.0768 * r_read + 0.0088
    return _at(t_s, 200.0, programmed, abs(_exponent_mean(r) + sd * xi.drift), q)


def _at(t_s: float, t0_s: float, programmed: float, nu: float, q: float) -> Reading:
    g = programmed * ((t_s + t0_s) / t0_s) ** -nu
    return Reading(g, g * q * math.sqrt(math.log((t_s + t0_s + T_READ_S) / (2 * T_READ_S))))
