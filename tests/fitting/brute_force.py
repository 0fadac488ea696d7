"""The likelihood once more, slow and obvious: one device, a sum over a dense grid of (G_prog, ν)."""

from __future__ import annotations

import math

import numpy as np
from scipy.stats import norm


def log_likelihood(
    target: float,
    times: list[float],
    readings: list[float],
    *,
    sigma: float,
    m: float,
    s: float,
    scale: float,
    exponent: float,
    q_max: float,
    high: float = 25.0,
    t0: float = 20.0,
    t_read: float = 250e-9,
    drifts: bool = True,
    steps: int = 1600,
) -> float:
    top = target + 9 * sigma
    g = (np.arange(steps) + 0.5) * top / steps  # middles of cells: G_prog above zero
    weight_g = norm.pdf(g, target, sigma) * top / steps
    if drifts:
        nu = (np.arange(steps // 2) + 0.5) * (abs(m) + 9 * s) / (steps // 2)
        weight_nu = (norm.pdf(nu, m, s) + norm.pdf(-nu, m, s)) * (nu[1] - nu[0])
    else:
        nu, weight_nu = np.zeros(1), np.ones(1)
    q = np.minimum(scale * (g / high) ** exponent, q_max)
    total = np.log(weight_g)[:, None] + np.log(weight_nu)[None, :]
    for t, y in zip(times, readings, strict=True):
        mean = g[:, None] * ((t + t0) / t0) ** -nu[None, :]
        sd = mean * (q * math.sqrt(math.log((t + t0 + t_read) / (2 * t_read))))[:, None]
        total = total + (norm.logpdf(y, mean, sd) if y > 0 else norm.logcdf(0, mean, sd))
    largest = total.max()
    found = largest + math.log(np.exp(total - largest).sum())
    if any(y > 0 for y in readings):
        return float(found)
    return float(np.logaddexp(found, norm.logcdf(0, target, sigma)))  # G_prog = 0: every reading is zero
