"""ARWP: noise that is smaller where the gradient has been large."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from driftproof._errors import DriftproofError
from driftproof.training._methods.rwp import RWP
from driftproof.training._noise import NoiseLike
from driftproof.training._passes import Passes
from driftproof.training._update import Update
from driftproof.training._weights import wide


class AdaptiveRWP(RWP):
    """RWP with each filter's noise divided by √(1 + η v), v = Σ β^age ‖g_f‖² of its past gradients (Li et al. 2024).

    The noise is then of the device's kind, but not of its size: filters on which the loss depends most get less. The
    gradients are those of whole updates, before clipping, so v is the same in all processes.

    Args:
        noise: Noise to draw ε from, as in :class:`RWP`.
        eta: Factor η on the past gradients, above 0 (default: 0.1).
        beta: Share β of the past gradients that each update keeps, in [0, 1) (default: 0.99).
        options: Further options of :class:`RWP`.
    """

    name = "arwp"
    described: ClassVar[tuple[str, ...]] = ("eta", "beta")
    remembered: ClassVar[tuple[str, ...]] = ("squares",)

    def __init__(self, *, noise: NoiseLike, eta: float = 0.1, beta: float = 0.99, **options: Any) -> None:
        super().__init__(noise=noise, **options)
        if eta <= 0 or not 0 <= beta < 1:
            raise DriftproofError(f"ARWP: wanted eta > 0 and 0 <= beta < 1, got {eta:g} and {beta:g}")
        self.eta, self.beta = eta, beta
        self.squares: dict[str, Tensor] = {}

    def finish(self, update: Update) -> bool:
        """Add the gradient's squares to those of the past; the gradient stays."""
        for name, gradient in update.gradients.items():
            matrix = update.weights.mapping.weights[name].layout.matrix(wide(gradient))
            squares, before = matrix.square().sum(dim=1), self.squares.get(name)
            self.squares[name] = squares if before is None else self.beta * before.to(squares.device) + squares
        return False

    def drawn(self, passes: Passes) -> dict[str, Tensor]:
        """Draw perturbed weights, and bring them nearer where gradients have been large."""
        drawn = super().drawn(passes)
        for name in drawn.keys() & self.squares.keys():
            layout, now = passes.weights.mapping.weights[name].layout, passes.weights.parameters[name].detach()
            factor = torch.rsqrt(1 + self.eta * self.squares[name])[:, None]
            error = layout.matrix(drawn[name] - now) * factor.to(now.device)
            drawn[name] = now + layout.weight(error, tuple(now.shape))
        return drawn
