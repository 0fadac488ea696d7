"""SAM and RWP together: ascend, then add a draw of the device's noise."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from driftproof.errors import DriftproofError
from driftproof.training.methods.measured import check_perturbs, measure, note_realised
from driftproof.training.methods.sam import RHO, SAM
from driftproof.training.noise import Noise, NoiseLike, as_noise
from driftproof.training.passes import Closure, Passes
from driftproof.training.schedule_text import as_schedule
from driftproof.training.schedules import STRENGTH, Schedule


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
        rho: float | Schedule | str = RHO,
        strength: float | Schedule | str = STRENGTH,
        **options: Any,
    ) -> None:
        if as_schedule(rho).largest == 0:
            raise DriftproofError("method sam-rwp: rho is zero throughout; use RWP()")
        super().__init__(rho=rho, **options)
        self.noise, self.noise_strength = as_noise(noise), copy.copy(as_schedule(strength))
        self._checked = False
        if self.noise_strength.largest == 0:
            raise DriftproofError("method sam-rwp: the strength of its noise is zero throughout; use SAM()")

    def gradient(self, passes: Passes, closures: Sequence[Closure]) -> Tensor:
        """One pass to ascend, one at the top with noise."""
        rho, strength = passes.levels
        passes.found["noise_strength"] = torch.tensor(strength)
        if not strength:
            return super().gradient(passes, closures)
        closure, weights = closures[0], passes.weights.parameters
        drawn = passes.draw(self.noise, strength)
        if rho:
            top = self.ascend(passes, closure)
            if top is None:
                return passes.overflow(closure)
            drawn = {name: value + (top[name] - weights[name].detach()) for name, value in drawn.items()}
        elif passes.policy == "clean":
            passes.found["clean_loss"] = passes.loss(closure, perturbed=False)
        if not self._checked:
            check_perturbs(passes, self.noise, self.noise_strength.largest, self.name)
            self._checked = True
        note_realised(passes, drawn)
        if passes.diagnose:
            measure(passes, closure, drawn)
        with passes.holding(drawn):
            return passes.backward(closure, perturbed=True)

    def schedules(self) -> list[Schedule]:
        """Return those of the ascent and of the noise."""
        return [self.strength, self.noise_strength]

    def noises(self) -> list[Noise]:
        """Return its noise."""
        return [self.noise]

    def describe(self) -> dict[str, str]:
        """Return the settings as text."""
        return super().describe() | {"noise": str(self.noise), "noise strength": str(self.noise_strength)}

    def _own_state(self) -> dict[str, Any]:
        return super()._own_state() | {"checked": self._checked}

    def _load_own_state(self, state: dict[str, Any]) -> None:
        super()._load_own_state(state)
        self._checked = state["checked"]
