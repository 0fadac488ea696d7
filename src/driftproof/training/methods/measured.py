"""What is measured of a perturbation: diagnostics that cost passes, and that it perturbs at all."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from driftproof.errors import DriftproofError
from driftproof.training.noise import Noise
from driftproof.training.passes import Closure, Passes
from driftproof.training.weights import norm, wide

REALISED_EVERY = 20  # updates between measurements of the noise that is put on
ROUNDING = 1e-6  # a weight over its column's maximum and back is off by some 1e-7 on an ideal device


def measure(passes: Passes, closure: Closure, moved: Mapping[str, Tensor]) -> None:
    """Find the clean loss, the realised noise, and the gradient sharpness ‖∇L(w + ε) − ∇L(w)‖ / ‖ε‖.

    How fast the gradient turns along a perturbation, both gradients with the same dropout. Nothing of the training
    moves.

    Args:
        passes: of the micro-batch; what is found is noted there.
        closure: the loss.
        moved: perturbed weights.
    """
    clean, here = passes.measure(closure)
    with passes.holding(moved):
        _, there = passes.measure(closure)
    weights = passes.weights.parameters
    change = {name: wide(there[name]) - wide(here[name]) for name in here if name in there}
    step = {name: wide(moved[name].to(weights[name].dtype)) - wide(weights[name].detach()) for name in moved}
    passes.found["clean_loss"], passes.found["noise"] = clean, realised_noise(passes, moved)
    if change:  # none if all analog weights are frozen
        passes.found["gradient_sharpness"] = norm(change) / norm(step)


def note_realised(passes: Passes, moved: Mapping[str, Tensor]) -> None:
    """Measure the noise that is put on, at the first update and every 20 updates: it costs a pass over the weights."""
    if passes.step % REALISED_EVERY == 0:
        passes.found["noise"] = realised_noise(passes, moved)


def realised_noise(passes: Passes, moved: Mapping[str, Tensor]) -> Tensor:
    """Return the layers' mean of root mean square of the error / maximum of its tile's column."""
    realised = passes.weights.realised(moved)
    return torch.tensor(sum(realised.values()) / len(realised))


def check_perturbs(passes: Passes, noise: Noise, strength: float, method: str) -> None:
    """Raise DriftproofError if a noise at the largest strength that it will have perturbs no weight at all."""
    realised = passes.weights.realised(passes.draw(noise, strength))
    if max(realised.values()) < ROUNDING:
        raise DriftproofError(
            f"method {method}: noise {noise} at strength {strength:g} perturbs nothing, as the weights' type holds it; "
            "take a device with errors, a larger strength, or Plain()"
        )
