"""Sharpness-aware minimisation: the gradient at the worst point near the weights."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
from torch import Tensor

from driftproof._errors import DriftproofError
from driftproof.training._methods.method import Method
from driftproof.training._methods.perturbation import diagnose
from driftproof.training._norms import DEFAULT_POLICY, NormPolicy
from driftproof.training._passes import Closure, Closures, Passes
from driftproof.training._schedules import StrengthLike
from driftproof.training._weights import norm

RHO = 0.05
ADAPTIVE = "asam"  # the name of a SAM whose ascent is relative to the weights
ETA = 0.01
"""ASAM's stabiliser η, as published."""


class SAM(Method):
    """∇L(w + ε), ε = ρ g/‖g‖ over all analog weights, g = ∇L(w) (Foret et al. 2021).

    Digital weights (biases, norms, embeddings) are not perturbed. Each micro-batch, and each process, ascends along its
    own gradient.

    Args:
        rho: Length ρ of the ascent, a number or a schedule (default: 0.05). An adaptive ascent usually has 0.5 to 1.
        adaptive: Whether the ascent is relative to the weights, as in :class:`ASAM` (default: False).
            ``SAM(adaptive=True)`` is ``ASAM`` with the default ρ of ``SAM``; both can load each other's state.
        eta: Number η that an adaptive ascent adds to the size of each weight, so that weights at zero move, too
            (default: 0.01). With 0 they do not, as in the paper's theory.
        ascent_steps: Number of ascent steps (default: 1). Each computes a gradient and moves the weights by ρ / steps.
        norms: Which pass updates the running statistics of norms (default: ``"clean"``, the first pass).
        options: Further options of :class:`Method`.

    >>> from torch import nn
    >>> net = nn.Linear(4, 2)
    >>> optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    >>> method, x = SAM(rho=0.05), torch.ones(8, 4)
    >>> loss = method.step(lambda: net(x).square().mean(), net, optimizer)
    >>> method.last.loss > method.last.more["clean_loss"]
    True
    """

    name = "sam"
    fixed = ("strength",)
    described: ClassVar[tuple[str, ...]] = ("ascent_steps", "adaptive")
    remembered: ClassVar[tuple[str, ...]] = ("ascended",)
    keeps_clean_gradient = False
    """Whether :meth:`finish` needs the clean gradient of the update."""
    ascended = False
    """Whether a gradient has been above zero."""

    def __init__(
        self,
        *,
        rho: StrengthLike = RHO,
        adaptive: bool = False,
        eta: float = ETA,
        ascent_steps: int = 1,
        norms: NormPolicy = DEFAULT_POLICY,
        **options: Any,
    ) -> None:
        if adaptive and self.name == SAM.name:
            self.name = ADAPTIVE
        if ascent_steps < 1:
            raise DriftproofError(f"method {self.name}: wanted at least 1 ascent step, got {ascent_steps}")
        if not (isinstance(eta, int | float) and math.isfinite(eta) and eta >= 0):
            raise DriftproofError(f"method {self.name}: eta {eta!r}: wanted a number of at least 0")
        if eta != ETA and not adaptive:
            raise DriftproofError(f"method {self.name}: eta is that of an adaptive ascent; use ASAM, or adaptive=True")
        self.adaptive, self.eta, self.ascent_steps = adaptive, eta, ascent_steps
        super().__init__(strength=rho, norms=norms, **options)

    def describe(self) -> dict[str, str]:
        """Return the settings as text, for a log; η if it is not the published one."""
        return super().describe() | ({"eta": f"{self.eta:g}"} if self.adaptive and self.eta != ETA else {})

    def accumulate(self, passes: Passes, closures: Closures) -> Tensor:
        """Make one pass for each ascent step, and one at the top."""
        closure = closures[0]
        if not passes.strength:
            return passes.plain(closure)
        top = self.ascend(passes, closure)
        return passes.overflow(closure) if top is None else self.gradient_at(passes, closure, top)

    def gradient_at(self, passes: Passes, closure: Closure, perturbed: dict[str, Tensor]) -> Tensor:
        """Add the gradient at perturbed weights to ``.grad``; return the loss."""
        diagnose(passes, closure, perturbed)
        with passes.holding(perturbed):
            return passes.backward(closure, perturbed=True)

    def ascend(self, passes: Passes, closure: Closure) -> dict[str, Tensor] | None:
        """Return the weights at the top; None if a gradient overflowed in half precision.

        Raises:
            DriftproofError: A gradient that is not finite in full precision, or that is zero from the start.
        """
        now = {name: p.detach().clone() for name, p in passes.weights.parameters.items()}
        for step in range(self.ascent_steps):
            if step:
                with passes.holding(now):
                    _, here = passes.gradients(closure, perturbed=True, moves_norms=False)
            else:
                passes.measured["clean_loss"], here = passes.gradients(closure)
                if self.keeps_clean_gradient:
                    passes.keep(here)
            moves = self.direction(here, now)
            size = norm({name: g * (now[name].abs() + self.eta) if self.adaptive else g for name, g in here.items()})
            if not bool(torch.isfinite(size)):
                if passes.scaler is None:
                    raise DriftproofError(
                        f"method {self.name}: the gradient to ascend along is {float(size)}: nothing was updated. "
                        "Lower the learning rate or rho, or ramp it"
                    )
                return None
            if not bool(size):
                if not self.ascended:
                    raise DriftproofError(
                        f"method {self.name}: the gradient of all analog weights is zero, so there is no way up; are "
                        "they frozen (then take RWP), or is the loss constant?"
                    )
                return now  # a batch that is learnt to the last digit: nothing is left to ascend along
            self.ascended = True
            factor = passes.strength / self.ascent_steps / size
            now = now | {name: now[name] + factor.to(move.device) * move for name, move in moves.items()}
        return now

    def direction(self, gradient: dict[str, Tensor], weights: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the direction of the ascent: the gradient, or T² times the gradient."""
        if not self.adaptive:
            return gradient
        return {name: (weights[name].abs() + self.eta).square() * g for name, g in gradient.items()}
