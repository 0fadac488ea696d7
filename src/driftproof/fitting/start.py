"""Where the search begins: moments and straight lines, device by device."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from driftproof.fitting.estimate import Layout
from driftproof.fitting.likelihood import Readings


def first_parameters(readings: Readings, layout: Layout) -> Tensor:
    """Return rough parameters in the order of :class:`Layout`.

    Drift exponents are the slopes of ln g against ln((t + t0)/t0) of each device, the read noise what is left of them.
    """
    level, above = readings.level.numpy(), (readings.seen & (readings.g_us > 0)).numpy()
    log_a, root = readings.log_a.numpy(), readings.root.numpy()
    log_y = np.where(above, np.log(np.where(above, readings.g_us.numpy(), 1.0)), 0.0)
    count = above.sum(1)
    safe = np.maximum(count, 1)
    mean_x, mean_y = (log_a * above).sum(1) / safe, log_y.sum(1) / safe
    dx, dy = (log_a - mean_x[:, None]) * above, (log_y - mean_y[:, None]) * above
    width = (dx**2).sum(1)
    lines = layout.drifts & (count >= 2) & (width > 0)
    slope = np.where(lines, (dx * dy).sum(1) / np.where(lines, width, 1.0), 0.0)
    left = ((dy - slope[:, None] * dx) * above / root) ** 2
    freedom = count - 1 - lines
    at_zero = np.where(count > 0, mean_y - slope * mean_x, -np.inf)

    means, spreads, noises, sigmas = [], [], [], []
    for place in range(len(layout.r)):
        own = level == place
        some = own & (freedom > 0)
        q2 = float(left[some].sum() / freedom[some].sum()) if some.any() else 4e-4
        q = math.sqrt(min(max(q2, 1e-10), 0.04))
        noises.append(q)
        measured = own & lines
        middle = float(np.median(-slope[measured])) if measured.any() else 0.05
        error = (
            q * float(np.median(root[own][:, 0] / np.sqrt(np.maximum(width[own], 1e-12)))) if measured.any() else 0.0
        )
        robust = 1.4826 * float(np.median(np.abs(-slope[measured] - middle))) if measured.any() else 0.02
        means.append(min(max(middle, 0.002), 0.5))
        spreads.append(min(max(math.sqrt(max(robust**2 - error**2, 0.0)), 0.15 * robust, 0.002), 0.3))
        target = float(readings.target_us[own][0])
        programmed = np.exp(np.minimum(at_zero[own], math.log(10 * readings.high_us)))
        # quantiles that are σ for a normal, and the second one also where half of the devices are clipped at zero
        off = max(
            float(np.quantile(np.abs(programmed - target), 0.683)), float(np.quantile(programmed - target, 0.841))
        )
        sigmas.append(max(off, 1e-3 * readings.high_us))
    r = np.array(layout.r)
    # relative errors count alike, and a level spread is safer than a polynomial that goes below zero between levels
    weight = 1 / np.array(sigmas)
    coefficients = (
        np.polynomial.polynomial.polyfit(r, sigmas, layout.degree, w=weight) if layout.degree else [np.mean(sigmas)]
    )
    if np.polynomial.polynomial.polyval(r, np.asarray(coefficients)).min() < 0.3 * min(sigmas):
        coefficients = np.array([float(np.mean(sigmas)), *[0.0] * layout.degree])
    found = [*coefficients]
    if layout.drifts:
        found += [*means, *np.log(spreads)]
    positive = r_of(readings, layout) > 0
    ln_r, ln_q = np.log(r_of(readings, layout)[positive]), np.log(np.array(noises)[positive])
    if layout.free_exponent:
        exponent = float(np.clip(np.polyfit(ln_r, ln_q, 1)[0], -1.5, 0.5))
        found += [float(np.mean(ln_q - exponent * ln_r)), exponent]
    else:
        found += [float(np.mean(ln_q))]
    return torch.tensor(found, dtype=torch.float64)


def r_of(readings: Readings, layout: Layout) -> np.ndarray:
    """Return g_T/high of each level, the r of drift and read noise: [levels]."""
    first = [int(torch.nonzero(readings.level == place)[0, 0]) for place in range(len(layout.r))]
    return np.array(readings.target_us[first].numpy() / readings.high_us)
