"""ARWP: noise that is smaller where the gradient has been large."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from driftproof.errors import DriftproofError
from driftproof.training.methods.rwp import RWP
from driftproof.training.noise import NoiseLike
from driftproof.training.passes import Passes
from driftproof.training.update import Update
from driftproof.training.weights import wide


class AdaptiveRWP(RWP):
    """The noise of each filter divided by √(1 + η v), v = Σ β^age ‖g_f‖² of its past gradients (Li et al. 2024).

    The device's own noise is then matched in kind, not in size: filters that the loss depends on most get less. The
    gradients are those of whole updates, before clipping, so that v is the same in all processes.

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

    def finish(self, update: Update) -> bool:
        """Take note of the gradient."""
        for name, gradient in update.gradients.items():
            matrix = update.weights.mapping.weights[name].layout.matrix(wide(gradient))
            squares, kept = matrix.square().sum(dim=1), self._squares.get(name)
            self._squares[name] = squares if kept is None else self.beta * kept.to(squares.device) + squares
        return False

    def perturbed(self, passes: Passes) -> dict[str, Tensor]:
        """Draw perturbed weights, and bring them nearer where gradients have been large."""
        drawn = super().perturbed(passes)
        for name, value in drawn.items():
            if name in self._squares:
                layout, now = passes.weights.mapping.weights[name].layout, passes.weights.parameters[name].detach()
                factor = torch.rsqrt(1 + self.eta * self._squares[name])[:, None]
                error = layout.matrix(value - now) * factor.to(value.device)
                drawn[name] = now + layout.weight(error, tuple(now.shape))
        return drawn

    def describe(self) -> dict[str, str]:
        """Return the settings as text."""
        return super().describe() | {"eta": f"{self.eta:g}", "beta": f"{self.beta:g}"}

    def _own_state(self) -> dict[str, Any]:
        return super()._own_state() | {"squares": dict(self._squares)}

    def _load_own_state(self, state: dict[str, Any]) -> None:
        super()._load_own_state(state)
        self._squares = {name: value.clone() for name, value in state["squares"].items()}
