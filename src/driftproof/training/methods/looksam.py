"""LookSAM: SAM at every k-th update only, its direction kept in between."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from driftproof.errors import DriftproofError
from driftproof.training.methods.gsam import dot
from driftproof.training.methods.sam import SAM
from driftproof.training.passes import Closure, Passes
from driftproof.training.schedules import Schedule
from driftproof.training.weights import norm


class LookSAM(SAM):
    """SAM at every k-th update; in between g + α ‖g‖/‖g_v‖ g_v (Liu et al. 2022).

    g_v is the part of the last SAM gradient that is orthogonal to the clean one: it changes slowly.

    Args:
        every: k.
        alpha: α, 0.7 in the paper.
        rho: of the ascent.
        options: of :class:`SAM`.
    """

    name = "looksam"

    def __init__(
        self, *, every: int = 5, alpha: float = 0.7, rho: float | Schedule | str = 0.05, **options: Any
    ) -> None:
        super().__init__(rho=rho, **options)
        if every < 1 or alpha < 0:
            raise DriftproofError(f"LookSAM: wanted every >= 1 and alpha >= 0, got {every} and {alpha:g}")
        self.name, self.every, self.alpha = "looksam", every, alpha
        self._kept: dict[str, Tensor] = {}

    def gradient(self, passes: Passes, closures: Sequence[Closure]) -> Tensor:
        """SAM's two passes, or one."""
        closure = closures[0]
        if not passes.level:
            return passes.backward(closure, perturbed=False)
        before = {name: g.clone() for name, g in passes.weights.gradients().items()}
        scale = passes.share
        if passes.scaler is not None:
            scale = scale * passes.scaler.get_scale()

        def own() -> dict[str, Tensor]:
            found = passes.weights.gradients().items()
            return {name: (g - before[name] if name in before else g) / scale for name, g in found}

        if self._kept and passes.step % self.every:
            loss = passes.backward(closure, perturbed=False)
            here = own()
            size = norm(self._kept)
            if bool(size):
                factor = self.alpha * norm(here) / size
                for name, g in passes.weights.gradients().items():
                    if name in self._kept:
                        g.add_(self._kept[name].to(g.dtype) * (factor * scale))
            return loss
        clean, top, gradient = self.ascend(passes, closure)
        if top is None:
            return passes.backward(closure, perturbed=True)
        with passes.holding(top):
            loss = passes.backward(closure, perturbed=True)
        passes.found["clean_loss"] = clean
        there = {name: g for name, g in own().items() if name in gradient}
        along = dot(there, gradient) / dot(gradient, gradient)
        self._kept = {name: g - along * gradient[name] for name, g in there.items()}
        return loss

    def describe(self) -> dict[str, str]:
        """Return the settings as text."""
        return super().describe() | {"every": str(self.every), "alpha": f"{self.alpha:g}"}

    def _own_state(self) -> dict[str, Any]:
        return {"kept": dict(self._kept)}

    def _load_own_state(self, state: dict[str, Any]) -> None:
        self._kept = {name: value.clone() for name, value in state["kept"].items()}
