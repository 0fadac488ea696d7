"""Networks that are saved and loaded again: their state is one that no constructor gives them."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

PCM = "pcm-nandakumar-2019"
IMAGES = torch.randn(3, 1, 8, 8, generator=torch.Generator().manual_seed(0))


def images(stride: int = 1, act: type[nn.Module] = nn.ReLU, classes: int = 10, **norm: Any) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, stride=stride, padding=stride // 2),
        nn.BatchNorm2d(4, **norm),
        act(),
        nn.Flatten(),
        nn.Linear(144 if stride == 1 else 64, classes),
    )


class Quantised(nn.Conv1d):
    """Makes another weight of its own at every call, of another shape."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        step = self.weight.abs().max() / 3
        return F.linear(x, ((self.weight / step).round() * step).flatten(1), self.bias)


class Language(nn.Module):
    """A tied table, attention, a recurrent layer, a layer used twice, a grouped convolution, a digital tied pair."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(11, 8)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.memory = nn.LSTM(8, 8, batch_first=True)
        self.inner = nn.Linear(8, 8)
        self.again = self.inner
        self.coarse = Quantised(8, 8, 1)
        self.groups = nn.Conv1d(8, 8, 3, padding=1, groups=2)
        self.norm, self.other_norm = nn.LayerNorm(8), nn.LayerNorm(8)
        self.other_norm.weight = self.norm.weight
        self.head = nn.Linear(8, 11, bias=False)
        self.head.weight = self.table.weight
        self.register_buffer("places", torch.randn(8), persistent=False)
        self.register_buffer("gain", torch.rand(1))

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        x = self.table(tokens) + self.places
        x = self.norm(x + self.attention(x, x, x, need_weights=False)[0])
        x = self.other_norm(x + self.memory(x)[0])
        x = self.coarse(x)
        x = self.again(F.gelu(self.inner(x))) * self.gain
        outputs: torch.Tensor = self.head(self.groups(x.transpose(1, 2)).transpose(1, 2))
        return outputs


TOKENS = torch.arange(14).reshape(2, 7) % 11


def trained(network: nn.Module) -> nn.Module:
    """Give a network state that no constructor gives it."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for value in (*network.parameters(), *network.buffers()):
            if value.is_floating_point():
                value.copy_(torch.rand(value.shape, generator=generator) - (0.0 if "Norm" in str(network) else 0.5))
    return network.eval()
