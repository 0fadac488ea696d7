"""The likelihood of repeated measurements of devices that were programmed, drift and are read with 1/f noise.

One device, target g_T, with two latent numbers that it keeps for life::

    G_prog = max(0, g_T + σ(r) ξ₁)                r = (g_T − low)/(high − low)
    ν      = |m + s ξ₂|                           m, s: one pair per measured level
    G(t)   = G_prog ((t + t0)/t0)^−ν
    read   = max(0, G(t) (1 + Q √ln((t + t0 + t_read)/(2 t_read)) ξ₃))      ξ₃ new at every time
    Q      = min(scale · (G_prog/high)^exponent, max)

The latent numbers are integrated out on a grid of their own for each device, which :meth:`Grid.adapted` lays over
what the device's readings leave possible. Clipping is no approximation: a device at G_prog = 0 has all its readings at
zero and a probability Φ(−g_T/σ), and a reading of zero counts with Φ(−1/(Q √ln …)).

Shapes: n devices, T readings of each (padded), K × L nodes (programmed conductance × drift exponent). All float64.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

# what one device's likelihood depends on, in this order
SIGMA, NU_MEAN, LN_NU_SD, LN_SCALE, EXPONENT, LN_MAX = range(6)
NODES = 16
REACH = 6.0  # half-width of the grid, in standard deviations of what the readings leave possible
_SILENT_NODES = 96
_HALF_LN_2PI = 0.5 * math.log(2 * math.pi)


@dataclass(frozen=True)
class Readings:
    """Readings of n devices, at most T of each.

    Attributes:
        level: [n], place of the device's target among the levels.
        target_us: [n], target in µS.
        g_us: [n, T], what was read in µS; anything where ``seen`` is false.
        log_a: [n, T], ln((t + t0)/t0).
        root: [n, T], √ln((t + t0 + t_read)/(2 t_read)).
        seen: [n, T], false where a device has fewer than T readings.
        high_us: upper end of the conductance range: r of the read noise is G_prog/high.
    """

    level: Tensor
    target_us: Tensor
    g_us: Tensor
    log_a: Tensor
    root: Tensor
    seen: Tensor
    high_us: float

    def part(self, which: Tensor) -> Readings:
        """Return the readings of some devices."""
        rows = {key: getattr(self, key)[which] for key in ("level", "target_us", "g_us", "log_a", "root", "seen")}
        return replace(self, **rows)

    @property
    def silent(self) -> Tensor:
        """Which devices read zero at every time: [n]."""
        return ~((self.g_us > 0) & self.seen).any(1)


@dataclass(frozen=True)
class Place:
    """Where a device's latent numbers can be: each field [n, 1].

    ν lies around ``nu`` ± ``nu_sd``; given ν, u = ln G_prog lies around ``u`` + ``slope`` (ν − ``nu``) ± ``u_sd``.
    """

    nu: Tensor
    nu_sd: Tensor
    u: Tensor
    u_sd: Tensor
    slope: Tensor


@dataclass(frozen=True)
class Grid:
    """Nodes of a group of devices, and all of the likelihood at them that no parameter changes.

    Attributes:
        drifts: whether ν is integrated; else it is zero.
        silent: whether these devices read zero at every time: then the mass at G_prog = 0 counts too.
        nu, u: latent numbers of the nodes, [n, 1, L] and [n, K, L]; u = ln G_prog.
        fixed: logarithm of weights and of what depends on readings only, [n, K, L].
        offset: (G_prog − g_T)² in µS², [n, K, L].
        misfit: Σ over positive readings of ((read/G(t) − 1)/root)², [n, K, L].
        positive: number of positive readings, [n, 1, 1].
        zero_device, zero_root: device and root of every reading of zero, [Z] and [Z, 1, 1].
    """

    readings: Readings
    drifts: bool
    silent: bool
    nu: Tensor
    u: Tensor
    fixed: Tensor
    offset: Tensor
    misfit: Tensor
    positive: Tensor
    zero_device: Tensor
    zero_root: Tensor

    def terms(self, theta: Tensor) -> Tensor:
        """Logarithm of the integrand at the nodes, [n, K, L].

        Args:
            theta: [n, 6]: σ in µS, m, ln s, ln scale, exponent, ln max of each device.
        """
        sigma, m, ln_s, ln_scale, exponent, ln_max = (theta[:, i, None, None] for i in range(6))
        ln_q = torch.minimum(ln_scale + exponent * (self.u - math.log(self.readings.high_us)), ln_max)
        total = self.fixed - 0.5 * self.offset / sigma.square() - sigma.log()
        if not self.silent:
            total = total - 0.5 * self.misfit * torch.exp(-2 * ln_q) - self.positive * ln_q
        if self.drifts:  # |m + s ξ|: the density at ν has a part from −ν
            scaled = (self.nu - m) * torch.exp(-ln_s)
            fold = torch.nn.functional.softplus(-2 * m * self.nu * torch.exp(-2 * ln_s))
            total = total - 0.5 * scaled.square() - ln_s - _HALF_LN_2PI + fold
        if len(self.zero_device):
            below = torch.special.log_ndtr(-torch.exp(-ln_q[self.zero_device]) / self.zero_root)
            total = total.index_add(0, self.zero_device, below.expand(-1, *total.shape[1:]))
        return total

    def log_likelihood(self, theta: Tensor) -> Tensor:
        """Return the log likelihood of each device's readings, [n]; ``theta`` as in :meth:`terms`."""
        inside = torch.logsumexp(self.terms(theta).flatten(1), 1)
        if not self.silent:
            return inside
        never = torch.special.log_ndtr(-self.readings.target_us / theta[:, SIGMA])
        # as a sum of two: the second derivative of logaddexp is not finite where one is far below the other
        return torch.logsumexp(torch.stack((inside, never)), 0)

    @torch.no_grad()
    def adapted(self, theta: Tensor) -> Grid:
        """Return the grid laid anew over what the readings leave possible under ``theta``."""
        if self.silent:
            return silent_grid(self.readings, theta)
        weight = torch.softmax(self.terms(theta).flatten(1), 1).view_as(self.u)
        nu, u = self.nu.expand_as(self.u), self.u
        mean_nu, mean_u = (weight * nu).sum((1, 2)), (weight * u).sum((1, 2))
        d_nu, d_u = nu - mean_nu[:, None, None], u - mean_u[:, None, None]
        var_nu = (weight * d_nu.square()).sum((1, 2)).clamp(min=1e-14)
        var_u = (weight * d_u.square()).sum((1, 2))
        slope = (weight * d_nu * d_u).sum((1, 2)) / var_nu if self.drifts else torch.zeros_like(mean_u)
        left = (var_u - slope.square() * var_nu).clamp(min=1e-14)
        place = Place(*(x[:, None] for x in (mean_nu, var_nu.sqrt(), mean_u, left.sqrt(), slope)))
        return grid(self.readings, place, self.drifts)


def grid(readings: Readings, place: Place, drifts: bool, nodes: int = NODES, reach: float = REACH) -> Grid:
    """Lay a grid for devices that have at least one reading above zero: Gauss–Legendre nodes in ν and in ln G_prog."""
    x, w = (torch.from_numpy(values) for values in np.polynomial.legendre.leggauss(nodes))
    if drifts:
        low = (place.nu - reach * place.nu_sd).clamp(min=0)
        half = 0.5 * (place.nu + reach * place.nu_sd - low)
        nu, log_w = low + half * (1 + x), half.log() + w.log()  # [n, L]
    else:
        nu, log_w = torch.zeros_like(place.nu), torch.zeros_like(place.nu)
    step = reach * place.u_sd * x  # [n, K]
    middle = place.u + place.slope * (nu - place.nu)  # [n, L]
    u = middle[:, None, :] + step[:, :, None]

    y, seen = readings.g_us, readings.seen
    above = seen & (y > 0)
    # read/G(t) at the middle of each ν, and the factor p of G_prog that fits best there: misfit = S₂ (e^−δ − p)² + rest
    z = torch.where(above, y, 0.0)[:, None, :] * torch.exp(
        nu[:, :, None] * readings.log_a[:, None, :] - middle[:, :, None]
    )
    v = torch.where(above, readings.root.square().reciprocal(), 0.0)[:, None, :]
    s2 = (v * z.square()).sum(2)
    p = s2 / (v * z).sum(2)
    rest = (v * (z / p[:, :, None] - 1).square()).sum(2)
    misfit = s2[:, None, :] * (torch.exp(-step)[:, :, None] - 1 / p[:, None, :]).square() + rest[:, None, :]

    count = above.sum(1).double()
    known = torch.where(above, readings.root.log() + _HALF_LN_2PI, 0.0).sum(1)
    decay = nu * torch.where(above, readings.log_a, 0.0).sum(1)[:, None]
    fixed = (
        (place.u_sd * reach).log()[:, :, None]
        + w.log()[:, None]
        + (log_w + decay)[:, None, :]
        + u * (1 - count[:, None, None])  # dG = G du, and each density of a reading is relative to G(t)
        - known[:, None, None]
        - _HALF_LN_2PI
    )
    device, time = torch.nonzero(seen & (y <= 0), as_tuple=True)
    return Grid(
        readings=readings,
        drifts=drifts,
        silent=False,
        nu=nu[:, None, :],
        u=u,
        fixed=fixed,
        offset=(u.exp() - readings.target_us[:, None, None]).square(),
        misfit=misfit,
        positive=count[:, None, None],
        zero_device=device,
        zero_root=readings.root[device, time][:, None, None],
    )


def silent_grid(readings: Readings, theta: Tensor) -> Grid:
    """Lay a grid for devices that read zero at every time: over ln G_prog only, for nothing tells of their drift."""
    x, w = (torch.from_numpy(values) for values in np.polynomial.legendre.leggauss(_SILENT_NODES))
    top = (readings.target_us + 8 * theta[:, SIGMA]).log()[:, None]
    low = torch.minimum(top - 14, torch.full_like(top, math.log(1e-5 * readings.high_us)))
    half = 0.5 * (top - low)
    u = (low + half * (1 + x))[:, :, None]
    device, time = torch.nonzero(readings.seen, as_tuple=True)
    return Grid(
        readings=readings,
        drifts=False,
        silent=True,
        nu=torch.zeros(len(u), 1, 1, dtype=torch.float64),
        u=u,
        fixed=(half.log() + w.log())[:, :, None] + u - _HALF_LN_2PI,
        offset=(u.exp() - readings.target_us[:, None, None]).square(),
        misfit=torch.zeros_like(u),
        positive=torch.zeros(len(u), 1, 1, dtype=torch.float64),
        zero_device=device,
        zero_root=readings.root[device, time][:, None, None],
    )


def first_place(readings: Readings, theta: Tensor, drifts: bool) -> Place:
    """Guess where the latent numbers are, from the readings' logarithms as if their errors were normal and small."""
    above = readings.seen & (readings.g_us > 0)
    y = torch.where(above, readings.g_us, 0.0)
    ln_y = torch.where(above, torch.maximum(y, 0.05 * y.amax(1, keepdim=True)), 1.0).log()
    sigma, m, ln_s, ln_scale, exponent, ln_max = (theta[:, i] for i in range(6))
    guess = torch.maximum(readings.target_us, 0.5 * sigma)
    ln_q = torch.minimum(ln_scale + exponent * (guess / readings.high_us).log(), ln_max)
    v = torch.where(above, (torch.exp(ln_q)[:, None] * readings.root).square().reciprocal(), 0.0)
    relative = sigma / guess
    prior = torch.where(relative < 0.3, relative, 1.0).square().reciprocal()
    # the 2 × 2 normal equations of ln y = u − ν ln a, with the two priors
    a, b = v.sum(1) + prior, -(v * readings.log_a).sum(1)
    right_u = (v * ln_y).sum(1) + prior * guess.log()
    if not drifts:
        zero = torch.zeros_like(a)
        return Place(*(t[:, None] for t in (zero, zero + 1, right_u / a, a.rsqrt(), zero)))
    c = (v * readings.log_a.square()).sum(1) + torch.exp(-2 * ln_s)
    right_nu = -(v * ln_y * readings.log_a).sum(1) + torch.exp(-2 * ln_s) * m.abs()
    determinant = a * c - b * b
    nu, u = (a * right_nu - b * right_u) / determinant, (c * right_u - b * right_nu) / determinant
    nu_sd = (a / determinant).sqrt()
    return Place(
        *(t[:, None] for t in (nu.clamp(min=0), nu_sd, u - (b / a) * (nu.clamp(min=0) - nu), a.rsqrt(), -b / a))
    )
