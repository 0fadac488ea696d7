"""Sharpness-aware minimisation: the gradient at the worst point near the weights; SAM, ASAM, several ascent steps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from driftproof.errors import DriftproofError
from driftproof.training.methods.method import Method
from driftproof.training.methods.rwp import gradient_sharpness
from driftproof.training.norms import NormPolicy
from driftproof.training.passes import Closure, Passes
from driftproof.training.schedules import Schedule
from driftproof.training.weights import norm

ETA = 0.01  # ASAM's stabiliser


class SAM(Method):
    """∇L(w + ε), ε = ρ g/‖g‖ over all analog weights, g = ∇L(w) (Foret et al. 2021).

    ``adaptive`` makes it ASAM (Kwon et al. 2021): ε = ρ T² g/‖T g‖ with T = abs(w) + 0.01, the same for weights
    that are scaled up as for those that are not. A ramp as ``rho`` is the multi-step SAM whose ρ grows during training.

    Digital weights (biases, norms, embeddings) are not perturbed. Each micro-batch, and each process, ascends along its
    own gradient.

    Args:
        rho: ρ, a number or a schedule; 0.05 is usual, 0.5 to 1 for the adaptive one.
        adaptive: whether ε is relative to the weights.
        ascent_steps: how many gradients the ascent takes, each ρ / steps far.
        norms: ``clean`` unless said: the first pass moves the statistics.
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

    def __init__(
        self,
        *,
        rho: float | Schedule | str = 0.05,
        adaptive: bool = False,
        ascent_steps: int = 1,
        norms: NormPolicy = "clean",
        **options: Any,
    ) -> None:
        if adaptive:
            self.name = "asam"
        if ascent_steps < 1:
            raise DriftproofError(f"SAM: wanted at least 1 ascent step, got {ascent_steps}")
        self.adaptive, self.ascent_steps = adaptive, ascent_steps
        super().__init__(strength=rho, norms=norms, **options)

    def gradient(self, passes: Passes, closures: Sequence[Closure]) -> Tensor:
        """One pass to ascend, one at the top."""
        closure = closures[0]
        if not passes.level:
            return passes.backward(closure, perturbed=False)
        clean, top, _ = self.ascend(passes, closure)
        if top is None:  # the gradient overflowed in half precision: the scaler leaves this update out
            return passes.backward(closure, perturbed=True)
        with passes.holding(top):
            loss = passes.backward(closure, perturbed=True)
        passes.found["clean_loss"] = clean
        return loss

    def ascend(self, passes: Passes, closure: Closure) -> tuple[Tensor, dict[str, Tensor] | None, dict[str, Tensor]]:
        """Return the clean loss, the weights at the top and the clean gradient; no weights if the gradient overflowed.

        Raises:
            DriftproofError: a gradient that is not finite in full precision, or zero.
        """
        start = {name: p.detach().clone() for name, p in passes.weights.parameters.items()}
        clean, gradient = passes.gradients(closure)
        now, here = dict(start), gradient
        for step in range(self.ascent_steps):
            if step:
                with passes.holding(now):
                    _, here = passes.gradients(closure, perturbed=True)
            moves = self.direction(here, now)
            size = norm({name: g * (now[name].abs() + ETA) if self.adaptive else g for name, g in here.items()})
            if not bool(torch.isfinite(size)):
                if passes.scaler is None:
                    raise DriftproofError("SAM: the gradient is not finite: nothing was updated")
                return clean, None, gradient
            if not bool(size):
                raise DriftproofError(
                    "SAM: the gradient of all analog weights is zero, so there is no way up; is the loss constant?"
                )
            factor = passes.level / self.ascent_steps / size
            now = now | {name: now[name] + factor * move for name, move in moves.items()}
        if passes.diagnose:
            with passes.holding(now):
                _, there = passes.measure(closure)
            passes.found["gradient_sharpness"] = gradient_sharpness(passes, gradient, there, now)
            passes.found["noise"] = torch.tensor(
                sum(passes.weights.realised(now).values()) / len(now), dtype=torch.float64
            )
        return clean, now, gradient

    def direction(self, gradient: dict[str, Tensor], weights: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the direction of the ascent: the gradient, or T² times the gradient."""
        if not self.adaptive:
            return gradient
        return {name: (weights[name].abs() + ETA).square() * g for name, g in gradient.items()}

    def describe(self) -> dict[str, str]:
        """Return the settings as text."""
        return super().describe() | {"ascent steps": str(self.ascent_steps)}


def ASAM(*, rho: float | Schedule | str = 0.5, **options: Any) -> SAM:
    """Return adaptive SAM, whose perturbation is relative to the weights."""
    return SAM(rho=rho, adaptive=True, **options)


def MultiStepSAM(
    *, rho: float = 0.05, shape: Literal["linear", "quadratic", "cosine"] = "linear", **options: Any
) -> SAM:
    """Return SAM whose ρ grows from 0 during training."""
    from driftproof.training.schedules import ramp

    return SAM(rho=ramp(shape, to=rho), **options)
