"""A small residual network for the digits data, with trained weights: the network of the demo."""

from __future__ import annotations

import copy
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor, nn

from driftproof.zoo._resnet_cifar import CLASSES, residual_stage
from driftproof.zoo._weights import load_weights

WEIGHTS = Path(__file__).parent / "digits_resnet.safetensors"


class DigitsResNet(nn.Module):
    """A convolution and two stages of two residual blocks, of 8 and 16 channels, with BatchNorm; 10 layers.

    Inputs are [N, 1, 8, 8], outputs [N, 10] logits.
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 8, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(8)
        self.relu = nn.ReLU()
        self.layer1 = residual_stage(8, 8, 2, stride=1)
        self.layer2 = residual_stage(8, 16, 2, stride=2)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.linear = nn.Linear(16, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits [N, 10] of images [N, 1, 8, 8]."""
        x = self.layer2(self.layer1(self.relu(self.bn1(self.conv1(x)))))
        return self.linear(torch.flatten(self.pool(x), 1))  # type: ignore[no-any-return]


def digits_resnet() -> DigitsResNet:
    """Return the untrained network, 10,818 parameters.

    ``load_model("digits-resnet")`` is the same network with the weights that driftproof ships.

    >>> digits_resnet()(torch.zeros(2, 1, 8, 8)).shape
    torch.Size([2, 10])
    """
    return DigitsResNet()


def trained_digits_resnet() -> DigitsResNet:
    """Return the network with the weights that driftproof ships, in eval mode; every call returns a new copy.

    ``experiments/demo/weights.py`` made them. They are kept in a file because the same training gives other weights on
    another processor or with another number of threads.
    """
    return copy.deepcopy(_shipped())


@lru_cache(maxsize=1)
def _shipped() -> DigitsResNet:
    model = digits_resnet()
    load_weights(model, WEIGHTS)
    return model.eval()
