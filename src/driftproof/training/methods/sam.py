"""Sharpness-aware minimisation: the gradient at the worst point near the weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from driftproof.errors import DriftproofError
from driftproof.training.methods.measured import measure
from driftproof.training.methods.method import Method
from driftproof.training.norms import DEFAULT_POLICY, NormPolicy
from driftproof.training.passes import Closure, Passes
from driftproof.training.schedules import Schedule
from driftproof.training.weights import norm

RHO = 0.05
ADAPTIVE = "asam"  # the name of a SAM whose ascent is relative to the weights
ETA = 0.01  # ASAM's stabiliser


class SAM(Method):
    """∇L(w + ε), ε = ρ g/‖g‖ over all analog weights, g = ∇L(w) (Foret et al. 2021).

    Digital weights (biases, norms, embeddings) are not perturbed. Each micro-batch, and each process, ascends along its
    own gradient.

    Args:
        rho: ρ, a number or a schedule; 0.05 is usual, 0.5 to 1 for an adaptive ascent.
        adaptive: whether ε is relative to the weights, as in :class:`ASAM`. ``SAM(adaptive=True)`` is ``ASAM`` with the
            default ρ of ``SAM``: each goes on from the other's state.
        ascent_steps: how many gradients the ascent takes, each ρ / steps far.
        norms: ``clean`` by default: the first pass moves the statistics.
        options: of :class:`Method`.

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
    keeps_clean_gradient = False
    """Whether the end of the update wants the clean gradient."""

    def __init__(
        self,
        *,
        rho: float | Schedule | str = RHO,
        adaptive: bool = False,
        ascent_steps: int = 1,
        norms: NormPolicy = DEFAULT_POLICY,
        **options: Any,
    ) -> None:
        if adaptive and self.name == SAM.name:
            self.name = ADAPTIVE
        if ascent_steps < 1:
            raise DriftproofError(f"method {self.name}: wanted at least 1 ascent step, got {ascent_steps}")
        self.adaptive, self.ascent_steps, self._ascended = adaptive, ascent_steps, False
        super().__init__(strength=rho, norms=norms, **options)

    def gradient(self, passes: Passes, closures: Sequence[Closure]) -> Tensor:
        """One pass to ascend, one at the top."""
        closure = closures[0]
        if not passes.level:
            return passes.plain(closure)
        top = self.ascend(passes, closure)
        if top is None:
            return passes.overflow(closure)
        if passes.diagnose:
            measure(passes, closure, top)
        with passes.holding(top):
            return passes.backward(closure, perturbed=True)

    def ascend(self, passes: Passes, closure: Closure) -> dict[str, Tensor] | None:
        """Return the weights at the top; None if a gradient overflowed in half precision.

        Raises:
            DriftproofError: a gradient that is not finite in full precision; one that is zero from the start.
        """
        now = {name: p.detach().clone() for name, p in passes.weights.parameters.items()}
        for step in range(self.ascent_steps):
            if step:
                with passes.holding(now):
                    _, here = passes.gradients(closure, perturbed=True, moves_norms=False)
            else:
                passes.found["clean_loss"], here = passes.gradients(closure)
                if self.keeps_clean_gradient:
                    passes.keep(here)
            moves = self.direction(here, now)
            size = norm({name: g * (now[name].abs() + ETA) if self.adaptive else g for name, g in here.items()})
            if not bool(torch.isfinite(size)):
                if passes.scaler is None:
                    raise DriftproofError(
                        f"method {self.name}: the gradient to ascend along is {float(size)}: nothing was updated. "
                        "Lower the learning rate or rho, or ramp it"
                    )
                return None
            if not bool(size):
                if not self._ascended:
                    raise DriftproofError(
                        f"method {self.name}: the gradient of all analog weights is zero, so there is no way up; are "
                        "they frozen (then take RWP), or is the loss constant?"
                    )
                return now  # a batch that is learnt to the last digit
            self._ascended = True
            factor = passes.level / self.ascent_steps / size
            now = now | {name: now[name] + factor.to(move.device) * move for name, move in moves.items()}
        return now

    def direction(self, gradient: dict[str, Tensor], weights: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the direction of the ascent: the gradient, or T² times the gradient."""
        if not self.adaptive:
            return gradient
        return {name: (weights[name].abs() + ETA).square() * g for name, g in gradient.items()}

    def describe(self) -> dict[str, str]:
        """Return the settings as text."""
        return super().describe() | {"ascent steps": str(self.ascent_steps), "adaptive": str(self.adaptive)}

    def _own_state(self) -> dict[str, Any]:
        return {"ascended": self._ascended}

    def _load_own_state(self, state: dict[str, Any]) -> None:
        self._ascended = state["ascended"]
