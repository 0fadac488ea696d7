"""Maximum likelihood of the device model by scipy's SLSQP, and the shape of the likelihood around its maximum.

The parameters are, in this order: the coefficients of σ(r); the mean of ν at each level; ln of its standard deviation
at each level; ln scale, exponent and ln max of Q. A parameter that is not fitted has equal bounds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy.linalg import block_diag
from scipy.optimize import LinearConstraint, brentq, minimize
from scipy.stats import chi2
from torch import Tensor

from driftproof._errors import DriftproofError
from driftproof.fitting import _likelihood as lk
from driftproof.fitting._likelihood import Grid, Readings

Floats = npt.NDArray[np.float64]
# a relative read noise of some 900 %: as good as no maximum at all
NO_MAX = math.log(2.0)
LN_SD_RANGE = (math.log(1e-4), math.log(3.0))
LN_SCALE_RANGE = (lk.LEAST_LN_Q, math.log(10.0))
# how far the log likelihood may fall inside a 95 % interval
DROP = float(chi2.ppf(0.95, 1)) / 2
_BLOCK = 1000
_ENOUGH = 0.01  # standard errors: the search ends where new grids move no parameter further than this
_NOTHING = 3e-4  # of log likelihood: kinks of Q among many devices keep parameters moving
_CREEP = 0.3  # of log likelihood: a search that still changes more has not ended
_LEAST_SIGMA = 1e-7  # of the range
_SHRINK = 0.4  # of the reach upwards: between the nodes of a grid a narrower density could be lost
_SURE = 0.01  # of log likelihood: a Newton step that promises more is not taken


@dataclass(frozen=True)
class Layout:
    """The order of the parameters, and their meaning for the devices of each level.

    Attributes:
        levels_us: Targets in µS.
        g_us: Conductance range in µS.
        degree: Degree of the polynomial σ(r).
        drifts: Whether ν is fitted.
        free_exponent: Whether exponent and maximum of Q are fitted; else Q is constant.
    """

    levels_us: tuple[float, ...]
    g_us: tuple[float, float]
    degree: int
    drifts: bool
    free_exponent: bool

    @cached_property
    def r(self) -> Floats:
        """Place of each level in the range, (g_T − low)/(high − low)."""
        return (np.array(self.levels_us) - self.g_us[0]) / (self.g_us[1] - self.g_us[0])

    @cached_property
    def kinds(self) -> tuple[tuple[Floats, float, float], ...]:
        """Kinds of parameters: the derivative of each level's number by them [levels, k], least and largest value."""
        each, one, anything, nothing = np.eye(len(self.r)), np.ones((len(self.r), 1)), (-math.inf, math.inf), (0.0, 0.0)
        return (
            (np.vander(self.r, self.degree + 1, increasing=True), *anything),
            (each, *(anything if self.drifts else nothing)),
            (each, *(LN_SD_RANGE if self.drifts else nothing)),
            (one, *LN_SCALE_RANGE),
            (one, *(anything if self.free_exponent else nothing)),
            (one, -math.inf if self.free_exponent else NO_MAX, NO_MAX),
        )

    @cached_property
    def matrix(self) -> Tensor:
        """Derivative of ``theta`` of each level (see :meth:`Grid.terms`) by the parameters: [levels, 6, parameters]."""
        levels = [block_diag(*(kind[level] for kind, _, _ in self.kinds)) for level in range(len(self.r))]
        return torch.from_numpy(np.stack(levels))

    @cached_property
    def bounds(self) -> Floats:
        """Least and largest value of each parameter, [2, parameters]; they are equal where it is not fitted."""
        return np.array([(low, high) for kind, low, high in self.kinds for _ in kind.T]).T

    @cached_property
    def drift_places(self) -> npt.NDArray[np.intp]:
        """Places of the mean of ν and of ln of its standard deviation, [2, levels]."""
        return self.degree + 1 + np.arange(2 * len(self.r)).reshape(2, -1)


@dataclass
class Search:
    """The best parameters so far, the grids around them, and the shape of the likelihood there.

    Attributes:
        layout: Order of the parameters.
        bounds: Least and largest value of each parameter, [2, parameters].
        parameters: Values of the parameters.
        grids: One grid per block of devices.
        value: Log likelihood at the parameters.
        hessian: Second derivatives of the log likelihood there.
    """

    layout: Layout
    bounds: Floats
    parameters: Tensor
    grids: list[Grid]
    value: float = -math.inf
    hessian: Tensor = field(default_factory=lambda: torch.zeros(0))

    def adapt(self) -> None:
        """Lay the grids again around the parameters."""
        local = self.layout.matrix @ self.parameters
        self.grids = [grid.adapted(local[grid.readings.level]) for grid in self.grids]

    def derivatives(self, parameters: Tensor, second: bool = False) -> tuple[float, Tensor, Tensor]:
        """Return the log likelihood on the present grids, its gradient and (if ``second``) its Hessian."""
        matrix = self.layout.matrix
        local = (matrix @ parameters).requires_grad_()
        value, first, curvature = 0.0, torch.zeros_like(local), torch.zeros(*local.shape, 6, dtype=torch.float64)
        for grid in self.grids:
            total = grid.log_likelihood(local[grid.readings.level]).sum()
            (slope,) = torch.autograd.grad(total, local, create_graph=second)
            value, first = value + float(total.detach()), first + slope.detach()
            if second:  # the levels are independent, so a sum over them keeps their rows apart
                rows = [
                    torch.autograd.grad(x, local, retain_graph=True, materialize_grads=True)[0] for x in slope.sum(0)
                ]
                curvature += torch.stack(rows, 1)
        gradient = torch.einsum("lip,li->p", matrix, first)
        return value, gradient, torch.einsum("lip,lij,ljq->pq", matrix, curvature, matrix)

    def climb(self) -> None:
        """Go to the maximum by SLSQP on grids that are laid again around its end.

        Raises:
            DriftproofError: If the search does not converge.
        """
        hessian = self.derivatives(self.parameters, second=True)[2]
        unit = hessian.diagonal().abs().nan_to_num(1.0).clamp(min=1.0).rsqrt().numpy()
        reach = np.full(len(unit), np.inf)  # of one search: grids do not hold for logarithms that are far away
        reach[self.layout.drift_places[1, 0] :] = 1.0
        sigma = self.layout.matrix[:, lk.SIGMA].numpy() * unit
        positive = LinearConstraint(sigma, _LEAST_SIGMA * self.layout.g_us[1])
        how: Any = {"jac": True, "method": "SLSQP", "constraints": positive, "options": {"ftol": 1e-5, "maxiter": 200}}

        def loss(scaled: Floats) -> tuple[float, Floats]:
            value, gradient, _ = self.derivatives(torch.from_numpy(scaled * unit))
            return -value, -gradient.numpy() * unit

        for _ in range(60):
            self.adapt()
            start, before = self.parameters.numpy(), self.value
            box = np.clip((start - _SHRINK * reach, start + reach), *self.bounds[:, None]) / unit
            end = minimize(loss, start / unit, bounds=box.T, **how)
            self.parameters, self.value = torch.from_numpy(np.clip(end.x * unit, *self.bounds)), -float(end.fun)
            moved, change = np.abs(end.x - start / unit).max(), abs(self.value - before)
            if not (change >= _NOTHING and (moved >= _ENOUGH or change >= _CREEP)):  # also where they are not finite
                break
        self.adapt()
        self.value, gradient, self.hessian = self.derivatives(self.parameters, second=True)
        # where the readings hardly determine a parameter, its large standard error shows it
        if not (change < _CREEP and bool(self.hessian.isfinite().all())):
            raise DriftproofError(
                "the fit found no maximum of the likelihood: these measurements do not determine the model; "
                "look at them, fit fewer parameters (--degree 1, --drift none), or measure more devices and times"
            )
        step = self.covariance @ gradient
        gain = 0.5 * float(gradient @ step)
        if gain < _SURE:  # the curvature leads closer than SLSQP does, but not where it is flat
            self.parameters = torch.clamp(self.parameters + step, *torch.from_numpy(self.bounds))
            self.value += gain

    @property
    def fixed(self) -> Tensor:
        """Whether a parameter lies at an end of its range: [parameters]."""
        low, high = torch.from_numpy(self.bounds)
        return torch.logical_or(self.parameters <= low, self.parameters >= high)

    @property
    def covariance(self) -> Tensor:
        """Covariance of the parameters: very large where the likelihood is flat, 0 for those that are fixed.

        It is that of the other parameters for a given ln max, at which the likelihood has a kink.
        """
        return self._covariance(len(self.parameters) - 1)

    def _covariance(self, *held: int) -> Tensor:
        """Return the covariance of the parameters where some are held."""
        free = ~self.fixed
        free[list(held)] = False
        places = torch.nonzero(free)[:, 0]
        information = -self.hessian[places][:, places]
        scale = information.diagonal().abs().clamp(min=1e-12).rsqrt()
        values, vectors = torch.linalg.eigh(scale[:, None] * information * scale)
        root = scale[:, None] * vectors * values.clamp(min=1e-9).rsqrt()
        covariance = torch.zeros_like(self.hessian)
        covariance[places[:, None], places] = root @ root.T
        return covariance

    @property
    def errors(self) -> Floats:
        """Standard error of each parameter: very large where the likelihood is flat, 0 at an end of its range."""
        return np.asarray(self.covariance.diagonal().sqrt().numpy())

    def profile(self, place: int, least: float, most: float, step: float) -> tuple[float | None, float | None]:
        """Return exp of the ends of the 95 % interval of a logarithm by its profile, None where the profile has no end.

        The log likelihood falls by :data:`DROP` at an end, searched in steps from the best value to ``least`` and to
        ``most``.
        """
        best, ends = float(self.parameters[place]), []
        for last in (least, most):
            ways = [*np.arange(best, last, math.copysign(step, last - best)), last]
            pair = next((pair for pair in pairwise(ways) if self.drop_at(place, pair[1]) > DROP), None)
            # the root of a profile is near to linear, as a profile is near to a parabola
            root = pair and brentq(lambda x: max(self.drop_at(place, x), 0.0) ** 0.5 - DROP**0.5, *pair, xtol=5e-3)
            ends.append(None if root is None else math.exp(root))
        return ends[0], ends[1]

    def drop_at(self, place: int, value: float) -> float:
        """Return how far the log likelihood falls where one parameter has another value and the others follow.

        They follow by one Newton step.
        """
        there = replace(self, parameters=self.parameters.clone())
        there.parameters[place] = value
        if place != -1:  # ln max moves so few devices that the grids hold
            there.grids = first_grids([grid.readings for grid in self.grids], self.layout, there.parameters)
        fallen, gradient, _ = there.derivatives(there.parameters)
        return self.value - fallen - 0.5 * float(gradient @ self._covariance(place, -1) @ gradient)


def start_search(readings: Readings, layout: Layout, parameters: Tensor) -> Search:
    """Return a search that has not moved yet, with grids that fit its parameters."""
    kinds = (torch.nonzero(of_kind)[:, 0] for of_kind in (readings.silent, ~readings.silent))
    blocks = [readings.part(which) for kind in kinds for which in torch.split(kind, _BLOCK) if len(which)]
    return Search(layout, layout.bounds.copy(), parameters, first_grids(blocks, layout, parameters))


def first_grids(blocks: Sequence[Readings], layout: Layout, parameters: Tensor) -> list[Grid]:
    """Return grids that fit parameters, one per block of devices."""
    local = layout.matrix @ parameters
    return [lk.first_grid(block, local[block.level], layout.drifts) for block in blocks]
