"""Each law as its formula, element by element: µS in, µS out.

Tensors are float32, one-dimensional and of any length n; ``r`` is what :mod:`driftproof.presets.laws` says;
``xi`` is standard normal. Nothing here draws: :mod:`driftproof.devices.array` hands in the numbers.
"""

from __future__ import annotations

import math
from bisect import bisect_right

import torch
from torch import Tensor

from driftproof.presets.laws import (
    LogRelaxation,
    OneOverFRead,
    Piece,
    PolynomialInTime,
    PolynomialProgramming,
    PowerDrift,
    SaturatingInTime,
)

# --- functions of r ---


def polynomial(coefficients: tuple[float, ...], x: Tensor) -> Tensor:
    """Σ cᵢ xⁱ, by Horner's rule."""
    total = torch.full_like(x, coefficients[-1])
    for coefficient in reversed(coefficients[:-1]):
        total.mul_(x).add_(coefficient)
    return total


def curve(pieces: tuple[Piece, ...], r: Tensor) -> Tensor:
    """Value of a curve in pieces at r; r = 0 is allowed where the piece is clipped (ln 0 = −∞)."""
    value = _piece(pieces[-1], r)
    for piece in reversed(pieces[:-1]):
        assert piece.below_r is not None
        value = torch.where(r < piece.below_r, _piece(piece, r), value)
    return value


def _piece(piece: Piece, r: Tensor) -> Tensor:
    if piece.polynomial is not None:
        value = polynomial(piece.polynomial, r)
    elif piece.per_ln_r is not None and piece.constant is not None:
        # 0 · ln 0 would be NaN
        value = r.log().mul_(piece.per_ln_r).add_(piece.constant) if piece.per_ln_r else r * 0 + piece.constant
    elif piece.scale is not None and piece.exponent is not None:
        value = r.pow(piece.exponent).mul_(piece.scale) if piece.scale else torch.zeros_like(r)
    else:
        assert piece.at_r is not None
        assert piece.values is not None
        value = _interpolated(piece.at_r, piece.values, r)
    return value.clamp_(piece.min, piece.max) if piece.min is not None or piece.max is not None else value


def _interpolated(places: tuple[float, ...], values: tuple[float, ...], r: Tensor) -> Tensor:
    """Linear between the places, held outside: a sum of ramps."""
    value = torch.full_like(r, values[0])
    for a, b, low, high in zip(places, places[1:], values, values[1:], strict=False):
        value.add_(((r - a) / (b - a)).clamp_(0, 1).mul_(high - low))
    return value


# --- programming ---


def programming_sigma(
    law: PolynomialProgramming | PolynomialInTime, r: Tensor, target_us: Tensor, t_s: float
) -> Tensor:
    """Declared standard deviation in µS at a target and a time, before the conductance is clipped at zero."""
    x = r if law.variable == "r" else target_us
    return polynomial(law.sigma_us if isinstance(law, PolynomialProgramming) else _coefficients_at(law, t_s), x)


def _coefficients_at(law: PolynomialInTime, t_s: float) -> tuple[float, ...]:
    """Polynomial at a time: linear in ln t between the table's times, held before the first and after the last.

    Interpolating the coefficients is interpolating σ: it is linear in them.
    """
    index, share = _place(law.t_s, t_s, logarithmic=True)
    low, high = law.sigma_us[index], law.sigma_us[min(index + 1, len(law.t_s) - 1)]
    width = max(len(low), len(high))
    low, high = (*low, *[0.0] * (width - len(low))), (*high, *[0.0] * (width - len(high)))
    return tuple((1 - share) * a + share * b for a, b in zip(low, high, strict=True))


def _place(times: tuple[float, ...], t_s: float, logarithmic: bool) -> tuple[int, float]:
    """Return the table's column before a time, and the share of the way to the next; held outside."""
    after = bisect_right(times, t_s)
    if after == 0:
        return 0, 0.0
    if after == len(times):
        return len(times) - 1, 0.0
    low, high = times[after - 1], times[after]
    share = math.log(t_s / low) / math.log(high / low) if logarithmic else (t_s - low) / (high - low)
    return after - 1, share


def saturating(law: SaturatingInTime, target_us: Tensor, t_s: float) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of a device's conductance at a time, in µS, before it is clipped at zero.

    The shift's polynomial has terms that cancel to many digits: it is evaluated in float64.
    """
    na_per_us = 1000.0 * law.read_voltage_v
    current = target_us.double().mul_(na_per_us)
    index, share = _place(law.t_s, t_s, logarithmic=False)
    mean, sigma = torch.zeros_like(current), torch.zeros_like(current)
    for column, weight in ((index, 1 - share), (min(index + 1, len(law.t_s) - 1), share)):
        if weight:
            mean.add_(polynomial(law.shift_na[column], current), alpha=weight)
            saturation = current.div(-law.b_na[column]).exp_().neg_().add_(1)
            sigma.add_(saturation, alpha=weight * law.a_na[column])
    mean.add_(current)
    return mean.div_(na_per_us).float(), sigma.div_(na_per_us).float()


# --- change in time ---


def drift_exponent(law: PowerDrift, r_target: Tensor, xi: Tensor) -> Tensor:
    """ν = |mean(r) + sd(r) ξ| of each device, at its *target* conductance; no unit."""
    return curve(law.nu_sd, r_target).mul_(xi).add_(curve(law.nu_mean, r_target)).abs_()


def drift(law: PowerDrift, g_us: Tensor, nu: Tensor, t_s: float) -> Tensor:
    """G(t) = G_prog ((t + t0)/t0)^−ν, in µS."""
    return nu.mul(-math.log((t_s + law.t0_s) / law.t0_s)).exp_().mul_(g_us)


def relaxation(law: LogRelaxation, g_us: Tensor, xi: Tensor, t_s: float) -> Tensor:
    """G(t) = max(0, G_prog + a ln t + (b ln t + c) ξ) in µS; nothing has relaxed at t = 0, and ln t is 0 up to 1 s."""
    if t_s == 0:
        return g_us.clone()
    log_t = math.log(max(t_s, 1.0))
    spread = law.sd_us_per_ln_t * log_t + law.sd_us
    return xi.mul(spread).add_(law.shift_us_per_ln_t * log_t).add_(g_us).clamp_(min=0)


# --- read noise ---


def read_sigma(law: OneOverFRead, g_us: Tensor, r_programmed: Tensor, t_s: float) -> Tensor:
    """σ = G(t) Q √ln((t + t0 + t_read)/(2 t_read)) in µS, Q from the *programmed* conductance."""
    root = math.sqrt(math.log((t_s + law.t0_s + law.t_read_s) / (2 * law.t_read_s)))
    return curve(law.q, r_programmed).mul_(g_us).mul_(root)
