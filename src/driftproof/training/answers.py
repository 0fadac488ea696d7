"""What a network answers on some samples, with whatever weights it holds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from driftproof.data import Data
from driftproof.errors import DriftproofError
from driftproof.inputs import call, to_device
from driftproof.training.norms import in_eval_mode

BATCH_SIZE = 512


def answers(network: nn.Module, data: Data, batch_size: int) -> Iterator[tuple[Any, Tensor]]:
    """Yield (what the network returns, targets) batch by batch, in eval mode, without gradient, on its own device.

    Raises:
        DriftproofError: targets that are no tensor.
    """
    device = next(network.parameters()).device
    for inputs, targets in data.batches(batch_size):
        if not isinstance(targets, Tensor):
            raise DriftproofError(f"data {data.name}: targets came as {type(targets).__name__}; wanted a tensor")
        with torch.no_grad(), in_eval_mode(list(network.modules())):
            returned = call(network, to_device(inputs, device))
        yield returned, targets.to(device)


def are_classes(outputs: Tensor, targets: Tensor) -> bool:
    """Whether outputs are [N, classes] and targets [N] whole numbers: what is right can then be counted."""
    whole = not (targets.is_floating_point() or targets.is_complex() or targets.dtype == torch.bool)
    return outputs.dim() == 2 and targets.shape == outputs.shape[:1] and whole
