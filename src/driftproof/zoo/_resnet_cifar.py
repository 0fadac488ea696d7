"""The residual networks for CIFAR of He et al. 2016 (doi:10.1109/CVPR.2016.90, section 4.2).

Three stages of 16, 32 and 64 channels have n blocks of two 3 × 3 convolutions each, 6 n + 2 layers together. Shortcuts
are the paper's option A, which has no weights: where the image size halves, they take every second pixel and add zero
channels. Parameters are named conv1, bn1, layer{1,2,3}.{i}.{conv1,bn1,conv2,bn2}, linear.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

CLASSES = 10  # of CIFAR-10


class SubsampledShortcut(nn.Module):
    """Option A: [N, C, H, W] → [N, C', ceil(H/2), ceil(W/2)], with half of the C' - C zero channels on each side."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.before = (channels_out - channels_in) // 2
        self.after = channels_out - channels_in - self.before

    def forward(self, x: Tensor) -> Tensor:
        """Return every second pixel of ``x`` between zero channels."""
        return F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.before, self.after))


class BasicBlock(nn.Module):
    """Two 3 × 3 convolutions with BatchNorm and a shortcut."""

    def __init__(self, channels_in: int, channels_out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels_out)
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels_out)
        self.relu = nn.ReLU()
        self.shortcut = nn.Identity() if stride == 1 else SubsampledShortcut(channels_in, channels_out)

    def forward(self, x: Tensor) -> Tensor:
        """Return relu(bn2(conv2(relu(bn1(conv1(x))))) + shortcut(x))."""
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y)) + self.shortcut(x)
        return self.relu(y)  # type: ignore[no-any-return]


class ResNetCifar(nn.Module):
    """A CIFAR ResNet with 6 × ``blocks`` + 2 layers: images [N, 3, H, W] to logits [N, ``classes``]."""

    def __init__(self, blocks: int, classes: int = CLASSES) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.relu = nn.ReLU()
        self.layer1 = residual_stage(16, 16, blocks, stride=1)
        self.layer2 = residual_stage(16, 32, blocks, stride=2)
        self.layer3 = residual_stage(32, 64, blocks, stride=2)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.linear = nn.Linear(64, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(module.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits [N, classes] of images [N, 3, H, W]."""
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.linear(torch.flatten(self.pool(x), 1))  # type: ignore[no-any-return]


def residual_stage(channels_in: int, channels_out: int, blocks: int, stride: int) -> nn.Sequential:
    """Return ``blocks`` blocks, the first of which changes the number of channels and the image size."""
    first = BasicBlock(channels_in, channels_out, stride)
    return nn.Sequential(first, *(BasicBlock(channels_out, channels_out, 1) for _ in range(blocks - 1)))


def resnet20(classes: int = CLASSES) -> ResNetCifar:
    """Return an untrained ResNet-20 for CIFAR.

    >>> sum(p.numel() for p in resnet20().parameters())
    269722
    """
    return ResNetCifar(3, classes)


def resnet32(classes: int = CLASSES) -> ResNetCifar:
    """Return an untrained ResNet-32 for CIFAR, 464,154 parameters."""
    return ResNetCifar(5, classes)


def resnet44(classes: int = CLASSES) -> ResNetCifar:
    """Return an untrained ResNet-44 for CIFAR, 658,586 parameters."""
    return ResNetCifar(7, classes)


def resnet56(classes: int = CLASSES) -> ResNetCifar:
    """Return an untrained ResNet-56 for CIFAR, 853,018 parameters."""
    return ResNetCifar(9, classes)
