"""Standard normal numbers that something around an array keeps for the life of a chip."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from driftproof.devices.keys import generator


@dataclass(frozen=True)
class LayerKey:
    """Which layer of which chip: what its numbers are drawn by.

    Attributes:
        seed: of the evaluation.
        chip: number of the chip.
        layer: canonical name of the layer.
    """

    seed: int
    chip: int
    layer: str

    def fixed(self, purpose: str, count: int, device: torch.device) -> Tensor:
        """Return numbers [count] that are the same whenever they are asked for.

        Args:
            purpose: what they are for and whose, such as ``column-gain|sum0``.
            count: how many; other counts give other numbers.
            device: CPU and CUDA generators give different numbers.

        >>> key, cpu = LayerKey(seed=0, chip=3, layer="fc"), torch.device("cpu")
        >>> torch.equal(key.fixed("gain", 5, cpu), key.fixed("gain", 5, cpu))
        True
        """
        source = generator(self.seed, self.chip, self.layer, purpose, device)
        return torch.empty(count, device=device).normal_(generator=source)
