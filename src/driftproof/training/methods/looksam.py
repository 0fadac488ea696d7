"""LookSAM: SAM at every k-th update only, its direction kept in between."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from driftproof.errors import DriftproofError
from driftproof.training.methods.gsam import dot
from driftproof.training.methods.sam import RHO, SAM
from driftproof.training.passes import Closure, Passes
from driftproof.training.schedules import Schedule
from driftproof.training.update import Update
from driftproof.training.weights import norm, wide


class LookSAM(SAM):
    """SAM at every k-th update; in between g + α ‖g‖/‖g_v‖ g_v (Liu et al. 2022).

    g_v is the part of the last SAM gradient that is orthogonal to the clean one: it changes slowly. Both are of the
    whole update's gradient of the analog weights, the same in all processes.

    Args:
        every: k.
        alpha: α, 0.7 in the paper.
        rho: of the ascent.
        options: of :class:`SAM`.
    """

    name = "looksam"
    keeps_clean_gradient = True

    def __init__(
        self, *, every: int = 5, alpha: float = 0.7, rho: float | Schedule | str = RHO, **options: Any
    ) -> None:
        super().__init__(rho=rho, **options)
        if every < 1 or alpha < 0:
            raise DriftproofError(f"LookSAM: wanted every >= 1 and alpha >= 0, got {every} and {alpha:g}")
        self.every, self.alpha = every, alpha
        self._kept: dict[str, Tensor] = {}

    def gradient(self, passes: Passes, closures: Sequence[Closure]) -> Tensor:
        """SAM's two passes, or one."""
        return super().gradient(passes, closures) if self._ascends(passes.step) else passes.plain(closures[0])

    def finish(self, update: Update) -> bool:
        """Keep what is orthogonal to the clean gradient, or add what was kept."""
        if not update.level:
            return False
        if self._ascends(update.step):
            clean, top = update.mean_kept(), update.gradients
            square = dot(clean, clean)
            along = torch.where(square > 0, dot(top, clean) / square, 0.0)
            self._kept = {name: wide(g) - along.to(g.device) * clean[name] for name, g in top.items()}
            return False
        size, gradients = norm(self._kept), update.gradients
        if not bool(size):
            return False
        factor = self.alpha * norm(gradients) / size.to(norm(gradients).device)
        for name, g in gradients.items():
            if name in self._kept:
                g.add_(factor.to(g.device) * self._kept[name].to(g.device))
        return True

    def _ascends(self, step: int) -> bool:
        return not self._kept or step % self.every == 0

    def describe(self) -> dict[str, str]:
        """Return the settings as text."""
        return super().describe() | {"every": str(self.every), "alpha": f"{self.alpha:g}"}

    def _own_state(self) -> dict[str, Any]:
        return super()._own_state() | {"kept": dict(self._kept)}

    def _load_own_state(self, state: dict[str, Any]) -> None:
        super()._load_own_state(state)
        self._kept = {name: value.clone() for name, value in state["kept"].items()}
