"""Each law as its formula, element by element: µS in, µS out.

Tensors are float32, one-dimensional and of any length n; ``r`` is what :mod:`driftproof.presets.laws` says;
``xi`` is standard normal. Nothing here draws: :mod:`driftproof.devices.normals` does.
"""

from __future__ import annotations

import math
from bisect import bisect_right

import torch
from torch import Tensor

from driftproof.presets.laws import (
    LogConductanceRead,
    LogRelaxation,
    Piece,
    PolynomialInTime,
    PolynomialProgramming,
    PowerDrift,
    Read,
    SaturatingInTime,
    SaturatingRead,
)

DeviceLaw = PolynomialProgramming | PolynomialInTime | SaturatingInTime

# --- functions of r ---


def polynomial(coefficients: tuple[float, ...], x: Tensor) -> Tensor:
    """Σ cᵢ xⁱ, by Horner's rule."""
    if len(coefficients) == 1:
        return torch.full_like(x, coefficients[0])
    total = x.mul(coefficients[-1]).add_(coefficients[-2])
    for coefficient in reversed(coefficients[:-2]):
        total.mul_(x).add_(coefficient)
    return total


def curve(pieces: tuple[Piece, ...], r: Tensor, log_r: Tensor | None = None) -> Tensor:
    """Value of a curve in pieces at r; ``log_r`` is :func:`log` of r, if it is known."""
    if log_r is None and any(piece.at_r is None and piece.polynomial is None for piece in pieces):
        log_r = log(r)
    value = _piece(pieces[-1], r, log_r)
    for piece in reversed(pieces[:-1]):
        assert piece.below_r is not None
        # exact at the weights 0 and 1, and ten times as fast as where
        value.lerp_(_piece(piece, r, log_r), torch.lt(r, piece.below_r, out=torch.empty_like(r)))
    return value


def _piece(piece: Piece, r: Tensor, log_r: Tensor | None) -> Tensor:
    if piece.polynomial is not None:
        value = polynomial(piece.polynomial, r)
    elif piece.per_ln_r is not None and piece.constant is not None:
        assert log_r is not None
        value = log_r.mul(piece.per_ln_r).add_(piece.constant)
    elif piece.scale is not None and piece.exponent is not None:
        assert log_r is not None  # an exponential is twice as fast as a power
        value = log_r.mul(piece.exponent).exp_().mul_(piece.scale) if piece.scale else torch.zeros_like(r)
    else:
        assert piece.at_r is not None
        assert piece.values is not None
        value = _interpolated(piece.at_r, piece.values, r)
    return value.clamp_(piece.min, piece.max) if piece.min is not None or piece.max is not None else value


def log(r: Tensor) -> Tensor:
    """Natural logarithm of r, of 10⁻³⁰ at r = 0: curves are clipped there, and ln 0 takes ten times as long."""
    return r.clamp(min=1e-30).log_()


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


def moments(law: DeviceLaw, target_us: Tensor, fitted_us: tuple[float, float], t_s: float) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation in µS of what a target becomes by a time, before the conductance is clipped at zero.

    Args:
        law: of programming.
        target_us: [n].
        fitted_us: the range for which the law was fitted.
        t_s: time after programming in s.
    """
    if isinstance(law, SaturatingInTime):
        return saturating(law, target_us, t_s)
    low, high = fitted_us
    r = target_us
    if law.variable == "r":
        r = (target_us.sub(low) if low else target_us).mul(1 / (high - low))
    return target_us, programming_sigma(law, r, target_us, t_s)


def steps_until(law: DeviceLaw, t_s: float) -> tuple[float, ...]:
    """Return the times by which a device has taken its steps, if a table's spread grows by increments; else nothing.

    The last one is ``t_s`` itself: a step on the way from one time of the table to the next.
    """
    if isinstance(law, PolynomialProgramming) or law.time_correlation == "common" or t_s <= law.t_s[0]:
        return ()
    end = min(t_s, law.t_s[-1])
    return (*(time for time in law.t_s[1:] if time < end), end) if len(law.t_s) > 1 else ()


def step_sigma(before: Tensor, after: Tensor) -> Tensor:
    """Standard deviation in µS of a step that widens the spread from ``before`` to ``after``."""
    return after.square().sub_(before.square()).clamp_(min=0).sqrt_()


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


def drift_exponent_(law: PowerDrift, r_target: Tensor, xi: Tensor) -> Tensor:
    """ν = |mean(r) + sd(r) ξ| of each device, at its *target* conductance, in place of ξ; no unit."""
    log_r = log(r_target)
    return xi.mul_(curve(law.nu_sd, r_target, log_r)).add_(curve(law.nu_mean, r_target, log_r)).abs_()


def drift(law: PowerDrift, g_us: Tensor, nu: Tensor, t_s: float) -> Tensor:
    """G(t) = G_prog ((t + t0)/t0)^−ν, in µS."""
    if t_s == 0:  # the same numbers: drift compensation asks for them at every programming
        return g_us.clone()
    return nu.mul(-math.log((t_s + law.t0_s) / law.t0_s)).exp_().mul_(g_us)


def relaxation(law: LogRelaxation, g_us: Tensor, xi: Tensor, t_s: float) -> Tensor:
    """G(t) = max(0, G_prog + a ln t + (b ln t + c) ξ) in µS; nothing has relaxed at t = 0, and ln t is 0 up to 1 s."""
    if t_s == 0:
        return g_us.clone()
    log_t = math.log(max(t_s, 1.0))
    spread = law.sd_us_per_ln_t * log_t + law.sd_us
    return xi.mul(spread).add_(law.shift_us_per_ln_t * log_t).add_(g_us).clamp_(min=0)


# --- read noise ---


def read_sigma(law: Read, g_us: Tensor, r_programmed: Tensor, t_s: float) -> Tensor:
    """Standard deviation of the read noise in µS, of devices at G(t) that were programmed to ``r_programmed``."""
    if isinstance(law, SaturatingRead):
        na_per_us = 1000.0 * law.read_voltage_v
        return g_us.mul(-na_per_us / law.b_na).exp_().neg_().add_(1).mul_(law.a_na / na_per_us)
    if isinstance(law, LogConductanceRead):
        root = math.sqrt(max(0.0, math.log((t_s + law.t_read_s) / (2 * law.t_read_s))))
        return g_us.clamp(min=1).log10_().mul_(law.k_us * root)
    root = math.sqrt(math.log((t_s + law.t0_s + law.t_read_s) / (2 * law.t_read_s)))
    return curve(law.q, r_programmed).mul_(g_us).mul_(root)
