"""Maximum likelihood of the device model: Newton's method, and intervals from the curvature at the maximum.

The parameters are, in this order: the coefficients of σ(r); the mean of ν at each level; ln of its spread at each
level; ln scale and exponent of Q. The maximum of Q, where the likelihood has a kink, is profiled apart.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from driftproof.errors import DriftproofError
from driftproof.fitting import likelihood as lk
from driftproof.fitting.likelihood import Grid, Readings

# a relative read noise of some 900 %: as good as no maximum at all
NO_MAX = math.log(2.0)
LN_SD_RANGE = (math.log(1e-4), math.log(3.0))
LN_SCALE_RANGE = (math.log(1e-6), math.log(10.0))
# half of the 95 % point of χ² with one degree of freedom: how far the log likelihood may fall inside an interval
DROP = 1.920729
_BLOCK = 1000
_ENOUGH = 1e-4  # Newton stops where it can gain no more log likelihood than this: 0.014 standard errors


@dataclass(frozen=True)
class Layout:
    """Which parameters there are, and what they mean for the devices of each level.

    Attributes:
        r: each level's place in the range, (g_T − low)/(high − low).
        degree: of the polynomial σ(r).
        drifts: whether ν is fitted.
        free_exponent: whether the exponent of Q is fitted; else it is 0.
    """

    r: tuple[float, ...]
    degree: int
    drifts: bool
    free_exponent: bool

    @property
    def sizes(self) -> tuple[int, int, int, int, int]:
        """Numbers of coefficients, means, spreads, scales and exponents."""
        levels = len(self.r) if self.drifts else 0
        return self.degree + 1, levels, levels, 1, int(self.free_exponent)

    @property
    def starts(self) -> tuple[int, ...]:
        """Where each kind begins in the vector of parameters; the last entry is its length."""
        return tuple(int(start) for start in np.cumsum((0, *self.sizes)))

    def matrix(self) -> Tensor:
        """Return the derivative of the six local numbers of each level by the parameters: [levels, 6, parameters]."""
        sigma, mean, sd, scale, exponent, length = self.starts
        matrix = torch.zeros(len(self.r), 6, length, dtype=torch.float64)
        for level, r in enumerate(self.r):
            for power in range(self.degree + 1):
                matrix[level, lk.SIGMA, sigma + power] = r**power
            if self.drifts:
                matrix[level, lk.NU_MEAN, mean + level] = 1
                matrix[level, lk.LN_NU_SD, sd + level] = 1
            matrix[level, lk.LN_SCALE, scale] = 1
            if self.free_exponent:
                matrix[level, lk.EXPONENT, exponent] = 1
        return matrix

    def local(self, parameters: Tensor, ln_max: float) -> Tensor:
        """Return σ, m, ln s, ln scale, exponent and ln max of each level: [levels, 6]."""
        local = self.matrix() @ parameters
        local[:, lk.LN_MAX] = ln_max
        return local

    def bounds(self) -> tuple[Tensor, Tensor]:
        """Return the least and the largest value of each parameter."""
        low, high = torch.full((2, self.starts[-1]), math.inf, dtype=torch.float64)
        low = -low
        _, _, sd, scale, exponent, _ = self.starts
        low[sd:scale], high[sd:scale] = LN_SD_RANGE
        low[scale:exponent], high[scale:exponent] = LN_SCALE_RANGE
        return low, high


@dataclass
class Search:
    """The maximum so far: parameters, grids around them, and what the likelihood says there."""

    readings: Readings
    layout: Layout
    parameters: Tensor
    ln_max: float
    grids: list[Grid] = field(default_factory=list)
    information: Tensor = field(default_factory=lambda: torch.zeros(0))
    fixed: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.bool))
    value: float = -math.inf

    def lay(self) -> None:
        """Lay the first grids, and lay them anew until they fit."""
        readings = self.readings
        theta = self.layout.local(self.parameters, self.ln_max)[readings.level]
        silent = readings.silent
        loud = torch.nonzero(~silent)[:, 0]
        for start in range(0, len(loud), _BLOCK):
            which = loud[start : start + _BLOCK]
            part, own = readings.part(which), theta[which]
            grid = lk.grid(part, lk.first_place(part, own, self.layout.drifts), self.layout.drifts, reach=10.0)
            self.grids.append(grid.adapted(own).adapted(own))
        if silent.any():
            self.grids.append(lk.silent_grid(readings.part(silent), theta[silent]))

    def adapt(self) -> None:
        """Lay the grids anew around the parameters."""
        local = self.layout.local(self.parameters, self.ln_max)
        self.grids = [grid.adapted(local[grid.readings.level]) for grid in self.grids]

    @torch.no_grad()
    def value_at(self, parameters: Tensor) -> float:
        """Log likelihood on the present grids; −∞ where a spread is not positive."""
        local = self.layout.local(parameters, self.ln_max)
        if bool((local[:, lk.SIGMA] <= 0).any()):
            return -math.inf
        total = sum(float(grid.log_likelihood(local[grid.readings.level]).sum()) for grid in self.grids)
        return total if math.isfinite(total) else -math.inf

    def derivatives(
        self, ln_max: float, second: bool = True, among: Sequence[Grid] | None = None
    ) -> tuple[float, Tensor, Tensor]:
        """Log likelihood, its gradient and (unless ``second`` is false) its Hessian on the present grids."""
        local = self.layout.local(self.parameters, ln_max)
        matrix, levels = self.layout.matrix(), len(self.layout.r)
        value = 0.0
        first = torch.zeros(levels, 6, dtype=torch.float64)
        curvature = torch.zeros(levels, 6, 6, dtype=torch.float64)
        for grid in self.grids if among is None else among:
            level = grid.readings.level
            theta = local[level].requires_grad_()
            each = grid.log_likelihood(theta)
            (slope,) = torch.autograd.grad(each.sum(), theta, create_graph=second)
            value += float(each.detach().sum())
            first.index_add_(0, level, slope.detach())
            if second:
                rows = [
                    torch.autograd.grad(slope[:, i].sum(), theta, retain_graph=True, materialize_grads=True)[0]
                    for i in range(lk.LN_MAX)
                ]
                rows.append(torch.zeros_like(rows[0]))
                curvature.index_add_(0, level, torch.stack(rows, 1))
        gradient = torch.einsum("lip,li->p", matrix, first)
        return value, gradient, torch.einsum("lip,lij,ljq->pq", matrix, curvature, matrix)

    def climb(self, steps: int = 60) -> None:
        """Go to the maximum by damped Newton steps, the maximum of Q held."""
        low, high = self.layout.bounds()
        values: list[float] = []
        for _ in range(steps):
            self.adapt()
            self.value, gradient, hessian = self.derivatives(self.ln_max)
            if not bool(gradient.isfinite().all() and hessian.isfinite().all()):
                break
            self.information = -hessian
            at_end = (self.parameters <= low) & (gradient < 0) | (self.parameters >= high) & (gradient > 0)
            self.fixed = at_end
            step = torch.zeros_like(gradient)
            step[~at_end] = newton_step(self.information[~at_end][:, ~at_end], gradient[~at_end])
            gain = float(gradient @ step) / 2
            values.append(self.value)
            # where the kink of Q lies among many devices the gain is never quite nothing
            stuck = len(values) > 3 and values[-1] - values[-4] < 30 * _ENOUGH
            if gain < _ENOUGH or stuck:
                return
            step = self._shortened(step)
            for _ in range(25):
                there = torch.clamp(self.parameters + step, low, high)
                if self.value_at(there) > self.value:
                    self.parameters = there
                    break
                step = step / 3
            else:
                if gain < 0.01:  # what is left is the grids' own error
                    return
                break
        raise DriftproofError(
            "the fit found no maximum of the likelihood: these measurements do not determine the model; "
            "look at them, fit fewer parameters (--degree 1, --drift none), or measure more devices and times"
        )

    def _shortened(self, step: Tensor) -> Tensor:
        """Return the step, shortened where the quadratic picture cannot hold that far."""
        _, mean, sd, _, exponent, _ = self.layout.starts
        longest = torch.ones_like(step)
        longest[mean:sd] = 0.1
        longest[exponent:] = 0.5
        longest[:mean] = math.inf
        share = float((longest / step.abs().clamp(min=1e-300)).min().clamp(max=1))
        sigma = self.layout.local(self.parameters, 0.0)[:, lk.SIGMA]
        change = self.layout.local(step, 0.0)[:, lk.SIGMA]
        largest = float((change.abs() / sigma).max())
        return step * min(share, 0.6 / max(largest, 0.6))


def newton_step(information: Tensor, gradient: Tensor) -> Tensor:
    """Solve information · step = gradient; where the information is not positive it is made so."""
    scale = information.diagonal().abs().clamp(min=1e-12).rsqrt()
    values, vectors = torch.linalg.eigh(scale[:, None] * information * scale)
    step: Tensor = scale * (vectors @ ((vectors.T @ (scale * gradient)) / values.abs().clamp(min=1e-6)))
    return step


def profile(search: Search, values: Sequence[float]) -> list[float]:
    """Log likelihood, relative to the search's own, where ln max of Q has each of the values and the others follow.

    The others follow by one Newton step: max moves few devices, so the picture that the step takes is nearly exact.
    """
    free = ~search.fixed
    information = search.information[free][:, free]
    found = []
    for value in values:
        # only devices that one of the two maxima can reach
        local = search.layout.local(search.parameters, 0.0)
        lowest = min(value, search.ln_max)
        touched = []
        for grid in search.grids:
            theta = local[grid.readings.level]
            top = theta[:, lk.LN_SCALE] + theta[:, lk.EXPONENT] * (
                grid.u.amin((1, 2)) - math.log(grid.readings.high_us)
            )
            which = top > lowest
            if bool(which.any()):
                touched.append(_part(grid, which))
        if not touched:
            found.append(0.0)
            continue
        here, slope, _ = search.derivatives(search.ln_max, second=False, among=touched)
        there, other, _ = search.derivatives(value, second=False, among=touched)
        change = (other - slope)[free]
        found.append(there - here + 0.5 * float(change @ newton_step(information, change)))
    return found


def _part(grid: Grid, which: Tensor) -> Grid:
    """Return the grid of some of its devices."""
    place = torch.cumsum(which, 0) - 1
    kept = which[grid.zero_device]
    return Grid(
        readings=grid.readings.part(which),
        drifts=grid.drifts,
        silent=grid.silent,
        nu=grid.nu[which],
        u=grid.u[which],
        fixed=grid.fixed[which],
        offset=grid.offset[which],
        misfit=grid.misfit[which],
        positive=grid.positive[which],
        zero_device=place[grid.zero_device[kept]],
        zero_root=grid.zero_root[kept],
    )


def crossing(x: np.ndarray, y: np.ndarray, best: int, up: bool) -> float | None:
    """Return where a profile falls by :data:`DROP` below its best on one side, or None if it does not."""
    order = range(best, len(x) - 1) if up else range(best, 0, -1)
    level = y[best] - DROP
    for i in order:
        j = i + 1 if up else i - 1
        if y[j] <= level:
            return float(x[i] + (x[j] - x[i]) * (y[i] - level) / (y[i] - y[j]))
    return None
