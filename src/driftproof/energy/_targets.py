"""The targets of a batch, from the closure that computes its loss."""

from __future__ import annotations

import torch
from torch import Tensor

from driftproof._errors import DriftproofError
from driftproof._hopfield import Recording
from driftproof.training._passes import Closure, checked

TOLERANCE = 1e-3
"""Largest relative difference by rounding between a loss and the squared error."""


def targets_of(closure: Closure, recording: Recording, method: str) -> tuple[Tensor, Tensor]:
    """Call the closure, whose network call is the free phase; return the loss, and the targets [N, classes].

    The gradient of the mean over N samples of ½ ‖o − y‖² by the output o is (o − y) / N, which gives y.

    Args:
        closure: Forward pass that returns the loss.
        recording: Recording of the network that the closure calls.
        method: Name of the method, for messages.

    Raises:
        DriftproofError: The closure does not call the network, or its loss is another one.
    """
    with torch.enable_grad():
        loss = checked(closure(), perturbed=False)
    if recording.output is None:
        raise DriftproofError("the closure did not call the Hopfield network that step() was given")
    (gradient,) = torch.autograd.grad(loss, recording.output, allow_unused=True)
    output = recording.output.detach()
    if gradient is None:
        gradient = torch.zeros_like(output)
    error = gradient * len(output)
    expected = error.square().sum() / (2 * len(output))
    loss = loss.detach()
    if not bool((loss - expected).abs() <= TOLERANCE * expected.clamp(min=TOLERANCE)):
        raise DriftproofError(
            f"method {method} minimises the squared error ½ ‖o − y‖², averaged over the batch; the closure's loss is "
            f"{float(loss):.6g}, and its gradient is that of a squared error of {float(expected):.6g}. Use "
            "loss='squared-error', without distillation"
        )
    return loss, output - error
