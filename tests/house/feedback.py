"""Networks that read their arrays from both sides: a two-layer Hopfield network, dense and convolutional."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

STEPS = 8


class Dense(nn.Module):
    """States relax from zero: h ← clamp(W1 x + W2ᵀ o), o ← W2 h; inputs [N, 1, 8, 8]."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(64, 24), nn.Linear(24, 10)

    def forward(self, x: Tensor) -> Tensor:
        driven = self.first(x.flatten(1))
        o = x.new_zeros(len(x), 10)
        for _ in range(STEPS):
            h = (driven + F.linear(o, self.second.weight.t())).clamp(0, 1)
            o = self.second(h)
        return o


class Convolutional(nn.Module):
    """The same with a convolution between the states: its feedback is the transposed convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(1, 6, 3, padding=1), nn.Conv2d(6, 8, 3, stride=2, padding=1)
        self.last = nn.Linear(8 * 16, 10)

    def forward(self, x: Tensor) -> Tensor:
        driven = self.first(x)
        s = x.new_zeros(len(x), 8, 4, 4)
        o = x.new_zeros(len(x), 10)
        for _ in range(STEPS):
            back = F.conv_transpose2d(s, self.second.weight, stride=2, padding=1, output_padding=1)
            h = (driven + back).clamp(0, 1)
            s = (self.second(h) + (o @ self.last.weight).view_as(s)).clamp(0, 1)
            o = self.last(s.flatten(1))
        return o


def network(kind: type[nn.Module]) -> nn.Module:
    """Return a network whose states move and settle, with the same weights every time."""
    torch.manual_seed(5)
    made = kind().eval()
    for parameter in made.parameters():
        if parameter.dim() > 1:
            parameter.data *= 1.5
    return made
