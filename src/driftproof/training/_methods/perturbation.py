"""Perturbations of methods: the noise that they draw, and diagnostics of the perturbed weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

from driftproof._errors import DriftproofError
from driftproof.training._methods.method import Method
from driftproof.training._noise import Noise
from driftproof.training._passes import Closure, Passes
from driftproof.training._weights import norm, wide

NOISE_EVERY = 20  # updates between measurements of the noise on the weights
ROUNDING = 1e-6  # a weight divided by its column's maximum, and multiplied again, is off by about 1e-7


class DrawsNoise(Method):
    """A method that draws a noise, its constructor's ``noise``, at the last of its :meth:`schedules`."""

    described: ClassVar[tuple[str, ...]] = ("noise",)
    remembered: ClassVar[tuple[str, ...]] = ("checked",)
    noise: Noise
    checked: bool = False
    """Whether the noise is known to perturb at least one weight."""

    def noises(self) -> list[Noise]:
        """Return the noise."""
        return [self.noise]

    def drawn(self, passes: Passes) -> dict[str, Tensor]:
        """Draw perturbed weights: array name → weights in the parameter's shape.

        Raises:
            DriftproofError: At the first draw, a noise that perturbs no weight even at its largest strength.
        """
        drawn = passes.draw(self.noise, passes.strengths[-1])
        if not self.checked:
            largest = self.schedules()[-1].largest
            realised = passes.weights.realised(passes.draw(self.noise, largest))
            if max(realised.values()) < ROUNDING:
                raise DriftproofError(
                    f"method {self.name}: noise {self.noise} at strength {largest:g} perturbs nothing, as the weights' "
                    "type holds it; take a device with errors, a larger strength, or Plain()"
                )
            self.checked = True
        return drawn


def diagnose(passes: Passes, closure: Closure, perturbed: Mapping[str, Tensor]) -> None:
    """Measure the clean loss, the noise, and the gradient sharpness ‖∇L(w + ε) − ∇L(w)‖ / ‖ε‖, if they are wanted.

    The gradient sharpness says how fast the gradient turns along a perturbation. Both gradients have the same dropout.
    The training itself is not changed: no running statistics and no random state.

    Args:
        passes: Passes of the micro-batch; the results are written to ``passes.measured``.
        closure: Forward pass that returns the loss.
        perturbed: Array name → perturbed weights w + ε, in the parameter's shape.
    """
    if not passes.diagnose:
        return
    clean, here = passes.measure(closure)
    with passes.holding(perturbed):
        _, there = passes.measure(closure)
    weights = passes.weights.parameters
    change = {name: wide(there[name]) - wide(here[name]) for name in here if name in there}
    step = {name: wide(w.to(weights[name].dtype)) - wide(weights[name].detach()) for name, w in perturbed.items()}
    passes.measured |= {"clean_loss": clean, "noise": realised_noise(passes, perturbed)}
    if change:  # it is empty if all analog weights are frozen
        passes.measured["gradient_sharpness"] = norm(change) / norm(step)


def measure_noise_periodically(passes: Passes, perturbed: Mapping[str, Tensor]) -> None:
    """Measure the noise on the weights at every 20th update, because it costs a pass over the weights."""
    if passes.step % NOISE_EVERY == 0:
        passes.measured["noise"] = realised_noise(passes, perturbed)


def realised_noise(passes: Passes, perturbed: Mapping[str, Tensor]) -> Tensor:
    """Return root mean square of the error / maximum of the tile's column, the mean over layers."""
    realised = passes.weights.realised(perturbed)
    return torch.tensor(sum(realised.values()) / len(realised))
