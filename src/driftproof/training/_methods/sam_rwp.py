"""SAM and RWP together: ascend, then add a draw of the device's noise."""

from __future__ import annotations

import copy
from typing import Any, ClassVar

import torch
from torch import Tensor

from driftproof._errors import DriftproofError
from driftproof.training._methods.perturbation import DrawsNoise, measure_noise_periodically
from driftproof.training._methods.sam import RHO, SAM
from driftproof.training._noise import NoiseLike, as_noise
from driftproof.training._passes import Closures, Passes
from driftproof.training._schedules import STRENGTH, Schedule, StrengthLike, as_schedule


class SAMRWP(DrawsNoise, SAM):
    """∇L(w + ε_SAM + s ε): the worst point near the weights, perturbed as the device would.

    Args:
        noise: Noise to draw ε from, as in :class:`driftproof.training.RWP`.
        rho: Length ρ of the ascent, a number or a schedule (default: 0.05).
        strength: Factor s on the noise, a number or a schedule (default: 1). It is independent of ``rho``.
        options: Further options of :class:`SAM`.
    """

    name = "sam-rwp"
    described: ClassVar[tuple[str, ...]] = ("noise_strength",)

    def __init__(
        self, *, noise: NoiseLike, rho: StrengthLike = RHO, strength: StrengthLike = STRENGTH, **options: Any
    ) -> None:
        if as_schedule(rho).largest == 0:
            raise DriftproofError("method sam-rwp: rho is zero throughout; use RWP()")
        super().__init__(rho=rho, **options)
        self.noise, self.noise_strength = as_noise(noise), copy.copy(as_schedule(strength))
        if self.noise_strength.largest == 0:
            raise DriftproofError("method sam-rwp: the strength of its noise is zero throughout; use SAM()")

    def accumulate(self, passes: Passes, closures: Closures) -> Tensor:
        """Make the passes of the ascent, and one at the top with noise."""
        rho, strength = passes.strengths
        passes.measured["noise_strength"] = torch.tensor(strength)
        if not strength:
            return super().accumulate(passes, closures)
        closure, weights = closures[0], passes.weights.parameters
        drawn = self.drawn(passes)
        if rho:
            top = self.ascend(passes, closure)
            if top is None:
                return passes.overflow(closure)
            drawn = {name: value + (top[name] - weights[name].detach()) for name, value in drawn.items()}
        elif passes.policy == "clean":
            passes.measured["clean_loss"] = passes.loss(closure, perturbed=False)
        measure_noise_periodically(passes, drawn)
        return self.gradient_at(passes, closure, drawn)

    def schedules(self) -> list[Schedule]:
        """Return the schedules of the ascent and of the noise."""
        return [self.strength, self.noise_strength]
