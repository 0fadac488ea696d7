"""The output noise of a tile with given random numbers."""

from __future__ import annotations

import torch
from torch import Tensor

from driftproof.periphery import Periphery, Sums
from driftproof.periphery._counts import Counts
from driftproof.periphery._readout import MvmNoise


def add_output_noise(y: Tensor, normals: Tensor, periphery: Periphery) -> Tensor:
    """Return the sums y of a tile with the noise of a periphery, made of standard normal numbers in their shape."""
    none = torch.zeros(0)
    sums = Sums(y, -1, none, lambda x, matrix: x @ matrix.T, none, None, lambda _: normals, lambda _: none, Counts())
    return MvmNoise(periphery.output_noise).apply(sums)
