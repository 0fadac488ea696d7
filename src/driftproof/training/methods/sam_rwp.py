"""SAM and RWP together: ascend, then add a draw of the device's noise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from driftproof.training.methods.sam import SAM
from driftproof.training.noise import NoiseLike, as_noise
from driftproof.training.passes import Closure, Passes
from driftproof.training.schedules import Schedule, as_schedule


class SAMRWP(SAM):
    """∇L(w + ε_SAM + s ε): the worst point near the weights, perturbed as the device would.

    Args:
        noise: as of :class:`driftproof.training.RWP`.
        rho: of the ascent.
        strength: s of the noise, a number or a schedule of its own.
        options: of :class:`SAM`.
    """

    name = "sam-rwp"

    def __init__(
        self,
        *,
        noise: NoiseLike,
        rho: float | Schedule | str = 0.05,
        strength: float | Schedule | str = 1.0,
        **options: Any,
    ) -> None:
        super().__init__(rho=rho, **options)
        self.name = "sam-rwp"
        self.noise, self.noise_strength = as_noise(noise), as_schedule(strength)

    def gradient(self, passes: Passes, closures: Sequence[Closure]) -> Tensor:
        """One pass to ascend, one at the top with noise."""
        strength = self.noise_strength.level(passes.step, self.total, self.seed)
        if not strength:
            return super().gradient(passes, closures)
        closure, top = closures[0], None
        if passes.level:
            clean, top, _ = self.ascend(passes, closure)
            passes.found["clean_loss"] = clean
        passes.level = passes.level or strength  # for the norms: this pass is a perturbed one
        now = {name: p.detach().clone() for name, p in passes.weights.parameters.items()}
        drawn = passes.draw(self.noise, strength)
        if top is not None:
            drawn = {name: value + (top[name] - now[name]) for name, value in drawn.items()}
        passes.found["noise"] = torch.tensor(sum(passes.weights.realised(drawn).values()) / len(drawn))
        with passes.holding(drawn):
            return passes.backward(closure, perturbed=True)

    def describe(self) -> dict[str, str]:
        """Return the settings as text."""
        return super().describe() | {"noise": str(self.noise), "noise strength": str(self.noise_strength)}

    def _own_state(self) -> dict[str, Any]:
        return {"noise_strength": self.noise_strength.state_dict()}

    def _load_own_state(self, state: dict[str, Any]) -> None:
        self.noise_strength.load_state_dict(state["noise_strength"])
