"""GSAM: the gradient of SAM, less the part of the clean gradient that is orthogonal to it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from driftproof._errors import DriftproofError
from driftproof.training._methods.sam import RHO, SAM
from driftproof.training._schedules import StrengthLike
from driftproof.training._update import Update
from driftproof.training._weights import wide


class GSAM(SAM):
    """∇L(w + ε) − α g_⊥, g_⊥ the part of the clean gradient that is orthogonal to ∇L(w + ε) (Zhuang et al. 2022).

    GSAM lowers the perturbed loss and the gap between it and the clean loss; to first order the second does not change
    the first. The orthogonal part is that of the whole update's gradient of the analog weights; the other weights get
    ∇L(w + ε). Each micro-batch, and each process, ascends along its own gradient, which costs one more exchange between
    processes.

    Args:
        alpha: Factor α on the orthogonal part, at least 0 (default: 0.2). Usual values are 0.1 to 0.4.
        rho: Length ρ of the ascent, a number or a schedule (default: 0.05).
        options: Further options of :class:`SAM`.
    """

    name = "gsam"
    described: ClassVar[tuple[str, ...]] = ("alpha",)
    keeps_clean_gradient = True

    def __init__(self, *, alpha: float = 0.2, rho: StrengthLike = RHO, **options: Any) -> None:
        super().__init__(rho=rho, **options)
        if alpha < 0:
            raise DriftproofError(f"GSAM: wanted alpha >= 0, got {alpha:g}")
        self.alpha = alpha

    def finish(self, update: Update) -> bool:
        """Subtract the orthogonal part."""
        if not update.strength:
            return False
        clean, top = update.mean_kept(), update.gradients
        along = projection(clean, top)
        for name, g in top.items():
            g.sub_((clean[name] - along.to(g.device) * g) * self.alpha)
        return True


def projection(gradient: Mapping[str, Tensor], onto: Mapping[str, Tensor]) -> Tensor:
    """Return the factor c of the part c · ``onto`` of a gradient, a scalar; 0 if ``onto`` is zero."""
    square = _dot(onto, onto)
    return torch.where(square > 0, _dot(gradient, onto) / square, 0.0)


def _dot(a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> Tensor:
    parts = [(wide(a[name]) * wide(b[name])).sum() for name in a]
    return torch.stack([part.to(parts[0].device) for part in parts]).sum() if parts else torch.zeros(())
