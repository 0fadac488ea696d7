"""The outputs of a network on samples, with the weights that it holds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from driftproof._errors import DriftproofError
from driftproof._inputs import call, in_eval_mode, to_device
from driftproof.data import Data

BATCH_SIZE = 512


def answers(network: nn.Module, data: Data, batch_size: int) -> Iterator[tuple[Any, Tensor]]:
    """Yield (outputs of the network, targets) batch by batch, in eval mode, without gradient, on its torch device.

    Raises:
        DriftproofError: the targets are not a tensor.
    """
    torch_device = next(network.parameters()).device
    for inputs, targets in data.batches(batch_size):
        if not isinstance(targets, Tensor):
            raise DriftproofError(f"data {data.name}: targets came as {type(targets).__name__}; wanted a tensor")
        with torch.no_grad(), in_eval_mode(network.modules()):
            returned = call(network, to_device(inputs, torch_device))
        yield returned, targets.to(torch_device)


def are_classes(outputs: Tensor, targets: Tensor) -> bool:
    """Whether outputs are [N, classes] and targets [N] whole numbers, so that right answers can be counted."""
    whole = not (targets.is_floating_point() or targets.is_complex() or targets.dtype == torch.bool)
    return outputs.dim() == 2 and targets.shape == outputs.shape[:1] and whole
