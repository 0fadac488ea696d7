"""Running statistics of norms measured anew with clean weights, by torch's own means."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Any

import torch
from torch import nn
from torch.optim.swa_utils import update_bn

from driftproof.inputs import Inputs, call

BATCHES = 50


class _Called(nn.Module):
    """A network called with inputs of any kind as one argument."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, inputs: Inputs) -> Any:
        """Call the network."""
        return call(self.network, inputs)


def measure_norms_anew(network: nn.Module, inputs: Iterable[Inputs], batches: int = BATCHES) -> None:
    """Replace the running statistics of BatchNorms by their mean over up to ``batches`` batches of training inputs."""
    from driftproof.training.random_state import random_state_kept

    with random_state_kept(), torch.no_grad():
        update_bn(([part] for part in islice(inputs, batches)), _Called(network))
