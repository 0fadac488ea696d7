"""The likelihood of repeated measurements of devices that were programmed, drift and are read with 1/f noise.

A device with the target g_T has two latent numbers that it keeps for life::

    G_prog = max(0, g_T + σ(r) ξ₁)                r = (g_T − low)/(high − low)
    ν      = |m + s ξ₂|                           m, s: one pair per measured level
    G(t)   = G_prog ((t + t0)/t0)^−ν
    read   = max(0, G(t) (1 + Q √ln((t + t0 + t_read)/(2 t_read)) ξ₃))      ξ₃ is drawn again at every time
    Q      = min(scale · (G_prog/high)^exponent, max)

The latent numbers are integrated out on a separate grid for each device. :meth:`Grid.adapted` lays the grid over the
latent numbers that the device's readings leave possible. Clipping is exact: a device at G_prog = 0 has all its readings
at zero and a probability Φ(−g_T/σ), and a reading of zero counts with Φ(−1/(Q √ln …)).

Shapes: n devices, T readings of each (padded), K × L nodes (programmed conductance × drift exponent). All float64.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

# the parameters of one device's likelihood, in the order of theta's columns
SIGMA, NU_MEAN, LN_NU_SD, LN_SCALE, EXPONENT, LN_MAX = range(6)
NODES = 16
REACH = 6.0  # half-width of the grid, in standard deviations of what the readings leave possible
LEAST_LN_Q = math.log(1e-6)  # grids are no finer, and the digits of a file not much
_SILENT_NODES = 96
_HALF_LN_2PI = 0.5 * math.log(2 * math.pi)


@dataclass(frozen=True)
class Readings:
    """Readings of n devices, at most T of each.

    Attributes:
        level: Index of the device's target among the levels, [n].
        target_us: Target in µS, [n].
        g_us: Readings in µS, [n, T]; NaN where a device has fewer than T readings.
        log_a: ln((t + t0)/t0), [n, T].
        root: √ln((t + t0 + t_read)/(2 t_read)), [n, T].
        high_us: Upper end of the conductance range: r of the read noise is G_prog/high.
    """

    level: Tensor
    target_us: Tensor
    g_us: Tensor
    log_a: Tensor
    root: Tensor
    high_us: float

    def part(self, which: Tensor) -> Readings:
        """Return the readings of some devices."""
        rows: dict[str, Any] = {key: value[which] for key, value in vars(self).items() if isinstance(value, Tensor)}
        return replace(self, **rows)

    @property
    def silent(self) -> Tensor:
        """Whether a device reads zero at every time: [n]."""
        return ~(self.g_us > 0).any(1)


@dataclass(frozen=True)
class Place:
    """The region of a device's latent numbers that its grid covers: each field [n].

    ν lies around ``nu`` ± ``nu_sd``; given ν, u = ln G_prog lies around ``u`` + ``slope`` (ν − ``nu``) ± ``u_sd``.
    """

    nu: Tensor
    nu_sd: Tensor
    u: Tensor
    u_sd: Tensor
    slope: Tensor


@dataclass(frozen=True)
class Grid:
    """Nodes of a group of devices, and the terms of the likelihood at them that depend on no parameter.

    Attributes:
        readings: Readings of the devices. Either all or none of the devices are silent.
        drifts: Whether ν is integrated; else it is zero.
        nu, u: Latent numbers of the nodes, [n, 1, L] and [n, K, L]; u = ln G_prog.
        fixed: Logarithm of the weights and of what depends on readings only, [n, K, L].
        offset: (G_prog − g_T)² in µS², [n, K, L].
        misfit: Σ over positive readings of ((read/G(t) − 1)/root)², [n, K, L].
    """

    readings: Readings
    drifts: bool
    nu: Tensor
    u: Tensor
    fixed: Tensor
    offset: Tensor
    misfit: Tensor

    def terms(self, theta: Tensor) -> Tensor:
        """Logarithm of the integrand at the nodes, [n, K, L].

        Args:
            theta: σ in µS, m, ln s, ln scale, exponent and ln max of each device, [n, 6].
        """
        sigma, m, ln_s, ln_scale, exponent, ln_max = theta.T[:, :, None, None]
        g_us = self.readings.g_us
        ln_q = torch.minimum(ln_scale + exponent * (self.u - math.log(self.readings.high_us)), ln_max)
        ln_q = ln_q.clamp(min=LEAST_LN_Q)
        total: Tensor = self.fixed - 0.5 * self.offset / sigma.square() - sigma.log()
        if (count := (g_us > 0).sum(1)[:, None, None]).any():
            total = total - 0.5 * self.misfit * torch.exp(-2 * ln_q) - count * ln_q
        if self.drifts:  # |m + s ξ|: the density at ν has a part from −ν
            scaled = (self.nu - m) * torch.exp(-ln_s)
            fold = torch.nn.functional.softplus(-2 * m * self.nu * torch.exp(-2 * ln_s))
            total = total - 0.5 * scaled.square() - ln_s - _HALF_LN_2PI + fold
        device, time = torch.nonzero(g_us <= 0, as_tuple=True)
        if len(device):
            root = self.readings.root[device, time][:, None, None]
            below = torch.special.log_ndtr(-torch.exp(-ln_q[device]) / root)
            total = total.index_add(0, device, below.expand(-1, *total.shape[1:]))
        return total

    def log_likelihood(self, theta: Tensor) -> Tensor:
        """Return the log likelihood of each device's readings, [n]; ``theta`` as in :meth:`terms`."""
        inside: Tensor = torch.logsumexp(self.terms(theta).flatten(1), 1)
        if not self.readings.silent.any():
            return inside
        never = torch.special.log_ndtr(-self.readings.target_us / theta[:, SIGMA])
        # as a sum of two: the second derivative of logaddexp is not finite where one is far below the other
        return torch.logsumexp(torch.stack((inside, never)), 0)

    @torch.no_grad()
    def adapted(self, theta: Tensor) -> Grid:
        """Return the grid laid over what the readings leave possible under ``theta``."""
        if self.readings.silent.any():
            return silent_grid(self.readings, theta)
        weight = torch.softmax(self.terms(theta).flatten(1), 1).view_as(self.u)
        mean_nu, mean_u = ((weight * x).sum((1, 2)) for x in (self.nu, self.u))
        d_nu, d_u = self.nu - mean_nu[:, None, None], self.u - mean_u[:, None, None]
        var_nu, both, var_u = ((weight * x).sum((1, 2)) for x in (d_nu.square(), d_nu * d_u, d_u.square()))
        var_nu = var_nu.clamp(min=1e-14)
        slope = both / var_nu
        left = (var_u - slope.square() * var_nu).clamp(min=1e-14)
        return grid(self.readings, Place(mean_nu, var_nu.sqrt(), mean_u, left.sqrt(), slope), self.drifts)


def grid(readings: Readings, place: Place, drifts: bool, nodes: int = NODES, reach: float = REACH) -> Grid:
    """Lay a grid of Gauss–Legendre nodes in ν and in ln G_prog."""
    x, w = (torch.from_numpy(values) for values in np.polynomial.legendre.leggauss(nodes))
    if drifts:
        low = (place.nu - reach * place.nu_sd).clamp(min=0)
        half = 0.5 * (place.nu + reach * place.nu_sd - low)[:, None]
        nu, log_w = low[:, None] + half * (1 + x), half.log() + w.log()  # [n, L]
    else:
        nu = log_w = torch.zeros_like(place.nu)[:, None]
    step = reach * place.u_sd[:, None] * x  # [n, K]
    middle = place.u[:, None] + place.slope[:, None] * (nu - place.nu[:, None])  # [n, L]
    u = middle[:, None, :] + step[:, :, None]

    above = readings.g_us > 0
    # read/G(t) at the middle of each ν, and the factor p of G_prog that fits best: misfit = S₂ (e^−δ − 1/p)² + rest
    z = torch.where(above, readings.g_us, 0.0)[:, None, :] * torch.exp(
        nu[:, :, None] * readings.log_a[:, None, :] - middle[:, :, None]
    )
    v = torch.where(above, readings.root.square().reciprocal(), 0.0)[:, None, :]
    s2 = (v * z.square()).sum(2)
    p = (s2 / (v * z).sum(2)).nan_to_num(1.0)  # a silent device has no misfit
    rest = (v * (z / p[:, :, None] - 1).square()).sum(2)
    misfit = s2[:, None, :] * (torch.exp(-step)[:, :, None] - 1 / p[:, None, :]).square() + rest[:, None, :]

    known = torch.where(above, readings.root.log() + _HALF_LN_2PI, 0.0).sum(1)
    decay = nu * torch.where(above, readings.log_a, 0.0).sum(1)[:, None]
    of_u = (place.u_sd * reach).log()[:, None] + w.log()
    # dG = G du, and each density of a reading is relative to G(t)
    fixed = of_u[:, :, None] + (log_w + decay - known[:, None] - _HALF_LN_2PI)[:, None, :]
    fixed = fixed + u * (1 - above.sum(1)[:, None, None])
    offset = (u.exp() - readings.target_us[:, None, None]).square()
    return Grid(readings, drifts, nu[:, None, :], u, fixed, offset, misfit)


def silent_grid(readings: Readings, theta: Tensor) -> Grid:
    """Lay a grid for devices that read zero at every time: over ln G_prog only, for their drift cannot be seen."""
    top = (readings.target_us + 8 * theta[:, SIGMA]).log()
    low = (top - 14).clamp(max=math.log(1e-5 * readings.high_us))
    zero = torch.zeros_like(top)
    place = Place(zero, zero, 0.5 * (low + top), 0.5 * (top - low), zero)
    return grid(readings, place, drifts=False, nodes=_SILENT_NODES, reach=1.0)


def first_grid(readings: Readings, theta: Tensor, drifts: bool) -> Grid:
    """Lay the first grid, and lay it again until it fits. Either all or none of the devices are silent."""
    if readings.silent.any():
        return silent_grid(readings, theta)
    return grid(readings, first_place(readings, theta, drifts), drifts, reach=10.0).adapted(theta).adapted(theta)


def first_place(readings: Readings, theta: Tensor, drifts: bool) -> Place:
    """Guess where the latent numbers are, from the readings' logarithms as if their errors were normal and small."""
    above, log_a = readings.g_us > 0, readings.log_a
    y = torch.where(above, readings.g_us, 0.0)
    ln_y = torch.where(above, torch.maximum(y, 0.05 * y.amax(1, keepdim=True)), 1.0).log()
    sigma, m, ln_s, ln_scale, exponent, ln_max = theta.T
    guess = torch.maximum(readings.target_us, 0.5 * sigma)
    ln_q = torch.minimum(ln_scale + exponent * (guess / readings.high_us).log(), ln_max)
    v = torch.where(above, (torch.exp(ln_q)[:, None] * readings.root).square().reciprocal(), 0.0)
    # the normal equations of ln y = u − ν ln a, with a prior for u and one for ν
    sd_u = torch.where(sigma < 0.3 * guess, sigma / guess, 1.0)
    prior = torch.stack((sd_u, torch.exp(ln_s) if drifts else 1e-6 * sd_u), 1).square().reciprocal()
    x = torch.stack((torch.ones_like(log_a), -log_a), 2)
    information = torch.einsum("nti,nt,ntj->nij", x, v, x) + torch.diag_embed(prior)
    known = torch.einsum("nti,nt->ni", x, v * ln_y) + prior * torch.stack((guess.log(), m.abs()), 1)
    u, nu = torch.linalg.solve(information, known).T
    of_u, slope = information[:, 0, 0], -information[:, 0, 1] / information[:, 0, 0]
    inside = nu.clamp(min=0)
    nu_sd = torch.linalg.inv(information)[:, 1, 1].sqrt()
    return Place(inside, nu_sd, u + slope * (inside - nu), of_u.rsqrt(), slope)
