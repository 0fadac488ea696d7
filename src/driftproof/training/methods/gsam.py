"""GSAM: SAM's gradient, less what of the clean gradient stands across it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from driftproof.errors import DriftproofError
from driftproof.training.methods.sam import RHO, SAM
from driftproof.training.schedules import Schedule
from driftproof.training.update import Update
from driftproof.training.weights import wide


class GSAM(SAM):
    """∇L(w + ε) − α g_⊥, g_⊥ the part of the clean gradient that is orthogonal to ∇L(w + ε) (Zhuang et al. 2022).

    It lowers the perturbed loss and, at first order unaffected by that, the gap between it and the loss. The parts are
    those of the whole update's gradients of the analog weights; the others get ∇L(w + ε). Each micro-batch, and each
    process, ascends along its own gradient, which costs one more exchange between processes.

    Args:
        alpha: α; 0.1 to 0.4 are usual.
        rho: of the ascent.
        options: of :class:`SAM`.
    """

    name = "gsam"
    keeps_clean_gradient = True

    def __init__(self, *, alpha: float = 0.2, rho: float | Schedule | str = RHO, **options: Any) -> None:
        super().__init__(rho=rho, **options)
        if alpha < 0:
            raise DriftproofError(f"GSAM: wanted alpha >= 0, got {alpha:g}")
        self.alpha = alpha

    def finish(self, update: Update) -> bool:
        """Take the orthogonal part away."""
        if not update.level:
            return False
        clean, top = update.mean_kept(), update.gradients
        square = dot(top, top)
        along = torch.where(square > 0, dot(clean, top) / square, 0.0)
        for name, g in top.items():
            g.sub_((clean[name] - along.to(g.device) * g) * self.alpha)
        return True

    def describe(self) -> dict[str, str]:
        """Return the settings as text."""
        return super().describe() | {"alpha": f"{self.alpha:g}"}


def dot(a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> Tensor:
    """Return the inner product of two gradients, a scalar."""
    parts = [(wide(a[name]) * wide(b[name])).sum() for name in a]
    return torch.stack([part.to(parts[0].device) for part in parts]).sum() if parts else torch.zeros(())
