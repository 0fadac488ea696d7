"""ARWP: noise that is smaller where the gradient has been large."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from driftproof.errors import DriftproofError
from driftproof.training.methods.rwp import RWP
from driftproof.training.noise import NoiseLike
from driftproof.training.passes import Closure, Passes


class AdaptiveRWP(RWP):
    """The noise of each filter divided by √(1 + η v), v = Σ β^age ‖g_f‖² of its past gradients (Li et al. 2024).

    The device's own noise is then matched in kind, not in size: filters that the loss depends on most get less.

    Args:
        noise: as of :class:`RWP`.
        eta: η.
        beta: β, how much of the past gradients is kept at each update.
        options: of :class:`RWP`.
    """

    name = "arwp"

    def __init__(self, *, noise: NoiseLike, eta: float = 0.1, beta: float = 0.99, **options: Any) -> None:
        super().__init__(noise=noise, **options)
        if eta <= 0 or not 0 <= beta < 1:
            raise DriftproofError(f"ARWP: wanted eta > 0 and 0 <= beta < 1, got {eta:g} and {beta:g}")
        self.eta, self.beta = eta, beta
        self._squares: dict[str, Tensor] = {}

    def gradient(self, passes: Passes, closures: Sequence[Closure]) -> Tensor:
        """One pass at perturbed weights; then take note of its gradient."""
        before = {name: p.grad.clone() if p.grad is not None else None for name, p in _parameters(passes)}
        loss = super().gradient(passes, closures)
        for name, parameter in _parameters(passes):
            if parameter.grad is None:
                continue
            old = before[name]
            own = (parameter.grad if old is None else parameter.grad - old) / passes.share
            if passes.scaler is not None:
                own = own / passes.scaler.get_scale()
            squares = passes.weights.mapping.weights[name].layout.matrix(own.float()).square().sum(dim=1)
            if bool(torch.isfinite(squares).all()):
                kept = self._squares.get(name)
                # micro-batches of one update share its decay
                self._squares[name] = (
                    squares * passes.share
                    if kept is None
                    else kept.mul_(self.beta**passes.share).add_(squares, alpha=passes.share)
                )
        return loss

    def perturbed(self, passes: Passes) -> dict[str, Tensor]:
        """Draw perturbed weights, and bring them nearer where gradients have been large."""
        drawn = super().perturbed(passes)
        for name, value in drawn.items():
            if name in self._squares:
                layout, now = passes.weights.mapping.weights[name].layout, passes.weights.parameters[name].detach()
                factor = torch.rsqrt(1 + self.eta * self._squares[name])[:, None]
                error = layout.matrix(value - now) * factor
                drawn[name] = now + layout.weight(error, tuple(now.shape))
        return drawn

    def describe(self) -> dict[str, str]:
        """Return the settings as text."""
        return super().describe() | {"eta": f"{self.eta:g}", "beta": f"{self.beta:g}"}

    def _own_state(self) -> dict[str, Any]:
        return {"squares": dict(self._squares)}

    def _load_own_state(self, state: dict[str, Any]) -> None:
        self._squares = {name: value.clone() for name, value in state["squares"].items()}


def _parameters(passes: Passes) -> list[tuple[str, torch.nn.Parameter]]:
    return list(passes.weights.parameters.items())
