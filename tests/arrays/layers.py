"""Layers of every layout, with the inputs that they take; every one is cut into several tiles by :data:`TILE`."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from driftproof._mapping import TileSize

TILE = TileSize(10, 4)


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


LAYERS: dict[str, tuple[Callable[[], nn.Module], Tensor]] = {
    "linear": (lambda: nn.Linear(23, 11), numbers(5, 23)),
    "linear of sequences": (lambda: nn.Linear(23, 11), numbers(5, 3, 23)),
    "conv": (lambda: nn.Conv2d(3, 6, 3, padding=1), numbers(5, 3, 6, 5)),
    "strided": (lambda: nn.Conv2d(3, 6, 3, stride=2, padding=1, dilation=(1, 2)), numbers(5, 3, 8, 9)),
    "even kernel, same": (lambda: nn.Conv2d(2, 5, 2, padding="same"), numbers(5, 2, 5, 4)),
    "grouped": (lambda: nn.Conv2d(6, 9, 3, padding=1, groups=3), numbers(5, 6, 5, 4)),
    "depthwise": (lambda: nn.Conv2d(6, 6, 3, groups=6), numbers(5, 6, 5, 4)),
    "conv1d": (lambda: nn.Conv1d(4, 6, 4, stride=3), numbers(5, 4, 12)),
    "conv3d": (lambda: nn.Conv3d(2, 5, 2), numbers(5, 2, 3, 4, 3)),
    "transposed": (lambda: nn.ConvTranspose2d(4, 6, 3, stride=2, padding=1), numbers(5, 4, 4, 3)),
    "transposed, grouped": (
        lambda: nn.ConvTranspose2d(4, 6, 3, stride=2, output_padding=1, groups=2),
        numbers(5, 4, 4, 3),
    ),
}


def layer_of(name: str) -> tuple[nn.Module, Tensor]:
    """Return a layer with the same weights every time, and its inputs."""
    torch.manual_seed(3)
    make, x = LAYERS[name]
    return make().eval(), x
