"""Each law as its formula, element by element: µS in, µS out.

Tensors are float32, one-dimensional and of any length n; ``r`` is what :mod:`driftproof.presets.laws` says;
``xi`` is standard normal. Nothing here draws: :mod:`driftproof.devices.array` hands in the numbers.
"""

from __future__ import annotations

import math
from bisect import bisect_right

import torch
from torch import Tensor

from driftproof.presets.laws import LogClip, OneOverFRead, PolynomialInTime, PolynomialProgramming, PowerDrift


def polynomial(coefficients: tuple[float, ...], r: Tensor) -> Tensor:
    """Σ cᵢ rⁱ, by Horner's rule."""
    total = torch.full_like(r, coefficients[-1])
    for coefficient in reversed(coefficients[:-1]):
        total.mul_(r).add_(coefficient)
    return total


def programming_sigma(law: PolynomialProgramming | PolynomialInTime, r: Tensor, t_s: float) -> Tensor:
    """Declared standard deviation σ(r) or σ(r, t) in µS, before the conductance is clipped at zero."""
    if isinstance(law, PolynomialProgramming):
        return polynomial(law.sigma_us, r)
    return polynomial(_coefficients_at(law, t_s), r)


def _coefficients_at(law: PolynomialInTime, t_s: float) -> tuple[float, ...]:
    """Polynomial at a time: linear in ln t between the table's times, held before the first and after the last.

    Interpolating the coefficients is interpolating σ: it is linear in them.
    """
    times = law.t_s
    after = bisect_right(times, t_s)
    if after == 0:
        return law.sigma_us[0]
    if after == len(times):
        return law.sigma_us[-1]
    low, high = law.sigma_us[after - 1], law.sigma_us[after]
    share = math.log(t_s / times[after - 1]) / math.log(times[after] / times[after - 1])
    width = max(len(low), len(high))
    low, high = (*low, *[0.0] * (width - len(low))), (*high, *[0.0] * (width - len(high)))
    return tuple((1 - share) * a + share * b for a, b in zip(low, high, strict=True))


def _log_clip(law: LogClip, log_r: Tensor) -> Tensor:
    if law.per_ln_r == 0:  # 0 · ln 0 would be NaN
        return torch.full_like(log_r, min(max(law.constant, law.min), law.max))
    return log_r.mul(law.per_ln_r).add_(law.constant).clamp_(law.min, law.max)


def drift_exponent(law: PowerDrift, r_target: Tensor, xi: Tensor) -> Tensor:
    """ν = |mean(r) + sd(r) ξ| of each device, at its *target* conductance; no unit."""
    log_r = r_target.log()  # −∞ at r = 0, which the clip turns into its bound
    return _log_clip(law.nu_sd, log_r).mul_(xi).add_(_log_clip(law.nu_mean, log_r)).abs_()


def drift(law: PowerDrift, g_us: Tensor, nu: Tensor, t_s: float) -> Tensor:
    """G(t) = G_prog ((t + t0)/t0)^−ν, in µS."""
    return nu.mul(-math.log((t_s + law.t0_s) / law.t0_s)).exp_().mul_(g_us)


def read_sigma(law: OneOverFRead, g_us: Tensor, r_programmed: Tensor, t_s: float) -> Tensor:
    """σ = G(t) Q √ln((t + t0 + t_read)/(2 t_read)) in µS, Q from the *programmed* conductance."""
    if law.q_scale == 0:  # 0 · r^−q_exponent would be NaN at r = 0
        return torch.zeros_like(g_us)
    root = math.sqrt(math.log((t_s + law.t0_s + law.t_read_s) / (2 * law.t_read_s)))
    q = r_programmed.pow(-law.q_exponent).mul_(law.q_scale).clamp_(max=law.q_max)
    return q.mul_(g_us).mul_(root)
