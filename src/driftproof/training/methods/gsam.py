"""GSAM: SAM's gradient, less what of the clean gradient stands across it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from driftproof.errors import DriftproofError
from driftproof.training.methods.sam import SAM
from driftproof.training.passes import Closure, Passes
from driftproof.training.schedules import Schedule


class GSAM(SAM):
    """∇L(w + ε) − α g_⊥, g_⊥ the part of the clean gradient that is orthogonal to ∇L(w + ε) (Zhuang et al. 2022).

    It lowers the perturbed loss and, at first order unaffected by that, the gap between it and the loss.

    Args:
        alpha: α; 0.1 to 0.4 are usual.
        rho: of the ascent.
        options: of :class:`SAM`.
    """

    name = "gsam"

    def __init__(self, *, alpha: float = 0.2, rho: float | Schedule | str = 0.05, **options: Any) -> None:
        super().__init__(rho=rho, **options)
        if alpha < 0:
            raise DriftproofError(f"GSAM: wanted alpha >= 0, got {alpha:g}")
        self.name, self.alpha = "gsam", alpha

    def gradient(self, passes: Passes, closures: Sequence[Closure]) -> Tensor:
        """SAM's two passes; then take the orthogonal part away."""
        closure = closures[0]
        if not passes.level:
            return passes.backward(closure, perturbed=False)
        clean, top, gradient = self.ascend(passes, closure)
        if top is None:
            return passes.backward(closure, perturbed=True)
        before = {name: g.clone() for name, g in passes.weights.gradients().items()}
        with passes.holding(top):
            loss = passes.backward(closure, perturbed=True)
        passes.found["clean_loss"] = clean
        scale = passes.share
        if passes.scaler is not None:
            scale = scale * passes.scaler.get_scale()
        own = {
            name: (g - before[name] if name in before else g) / scale
            for name, g in passes.weights.gradients().items()
            if name in gradient
        }
        along, square = dot(own, gradient), dot(own, own)
        for name, g in own.items():
            across = gradient[name] - (along / square) * g
            passes.weights.gradients()[name].sub_(across * (self.alpha * scale))
        return loss

    def describe(self) -> dict[str, str]:
        """Return the settings as text."""
        return super().describe() | {"alpha": f"{self.alpha:g}"}


def dot(a: dict[str, Tensor], b: dict[str, Tensor]) -> Tensor:
    """Return the inner product of two gradients."""
    parts = [(a[name].float() * b[name].float()).sum() for name in a if name in b]
    return sum(parts[1:], parts[0])
