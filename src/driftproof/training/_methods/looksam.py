"""LookSAM: SAM at every k-th update only; the updates between them reuse its direction."""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor

from driftproof._errors import DriftproofError
from driftproof.training._methods.gsam import projection
from driftproof.training._methods.sam import RHO, SAM
from driftproof.training._passes import Closures, Passes
from driftproof.training._schedules import StrengthLike
from driftproof.training._update import Update
from driftproof.training._weights import norm, wide


class LookSAM(SAM):
    """SAM at every k-th update; in between g + α ‖g‖/‖g_v‖ g_v (Liu et al. 2022).

    g_v is the part of the last SAM gradient that is orthogonal to the clean gradient: it changes slowly. Both are of
    the whole update's gradient of the analog weights, the same in all processes.

    Args:
        every: Period k of the SAM updates, at least 1 (default: 5).
        alpha: Factor α on the reused direction, at least 0 (default: 0.7, as in the paper).
        rho: Length ρ of the ascent, a number or a schedule (default: 0.05).
        options: Further options of :class:`SAM`.
    """

    name = "looksam"
    described: ClassVar[tuple[str, ...]] = ("every", "alpha")
    remembered: ClassVar[tuple[str, ...]] = ("kept",)
    keeps_clean_gradient = True

    def __init__(self, *, every: int = 5, alpha: float = 0.7, rho: StrengthLike = RHO, **options: Any) -> None:
        super().__init__(rho=rho, **options)
        if every < 1 or alpha < 0:
            raise DriftproofError(f"LookSAM: wanted every >= 1 and alpha >= 0, got {every} and {alpha:g}")
        self.every, self.alpha = every, alpha
        self.kept: dict[str, Tensor] = {}

    def accumulate(self, passes: Passes, closures: Closures) -> Tensor:
        """Make the passes of SAM at every k-th update, and one clean pass at the others."""
        return super().accumulate(passes, closures) if self._ascends(passes.step) else passes.plain(closures[0])

    def finish(self, update: Update) -> bool:
        """Keep the part that is orthogonal to the clean gradient, or add the part that was kept."""
        if not update.strength:
            return False
        gradients = update.gradients
        if self._ascends(update.step):
            clean = update.mean_kept()
            along = projection(gradients, clean)
            self.kept = {name: wide(g) - along.to(g.device) * clean[name] for name, g in gradients.items()}
            return False
        kept_size, size = norm(self.kept), norm(gradients)
        if not bool(kept_size):
            return False
        factor = self.alpha * size / kept_size.to(size.device)
        for name in gradients.keys() & self.kept.keys():
            g = gradients[name]
            g.add_(factor.to(g.device) * self.kept[name].to(g.device))
        return True

    def _ascends(self, step: int) -> bool:
        return not self.kept or step % self.every == 0
