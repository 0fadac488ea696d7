"""A small network for the digits data, with trained weights and the training that made them."""

from __future__ import annotations

import copy
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor, nn

from driftproof._defaults import SEED
from driftproof.data import digits
from driftproof.zoo._weights import load_weights

EPOCHS = 25
BATCH_SIZE = 50
PEAK_RATE = 0.01
WEIGHTS = Path(__file__).parent / "digits_cnn.safetensors"


class DigitsCNN(nn.Module):
    """Two convolutions with BatchNorm (the first with bias), a max-pool and two linear layers.

    Inputs are [N, 1, 8, 8], outputs [N, 10] logits.
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 16, 3, padding=1)
        self.bn1 = nn.BatchNorm2d(16)
        self.conv2 = nn.Conv2d(16, 32, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(32)
        self.relu = nn.ReLU()
        self.pool = nn.MaxPool2d(2)
        self.fc1 = nn.Linear(32 * 4 * 4, 64)
        self.fc2 = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits [N, 10] of images [N, 1, 8, 8]."""
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.pool(self.relu(self.bn2(self.conv2(x))))
        return self.fc2(self.relu(self.fc1(x.flatten(1))))  # type: ignore[no-any-return]


def digits_cnn() -> DigitsCNN:
    """Return the untrained network, 38,346 parameters.

    >>> digits_cnn()(torch.zeros(2, 1, 8, 8)).shape
    torch.Size([2, 10])
    """
    return DigitsCNN()


def trained_digits_cnn() -> DigitsCNN:
    """Return the network with the weights that driftproof ships, in eval mode. Its test accuracy is above 99 %.

    The weights come from ``train_digits_cnn(seed=0)``. They are kept in a file because the same training gives other
    weights on another processor or with another number of threads. Every call returns a new copy.
    """
    return copy.deepcopy(_shipped())


@lru_cache(maxsize=1)
def _shipped() -> DigitsCNN:
    model = digits_cnn()
    load_weights(model, WEIGHTS)
    return model.eval()


def train_digits_cnn(seed: int = SEED) -> DigitsCNN:
    """Return the network after a training of a few seconds on the training split of the digits, in eval mode.

    The same seed gives the same network on one machine. The caller's random state is neither used nor changed.

    Args:
        seed: Seed of the initial weights and of the order of the samples.
    """
    data = digits("train")
    images, labels = data.inputs, data.targets
    assert isinstance(images, Tensor)
    # The training does not depend on modes of the caller: no_grad, inference mode, another default device.
    with torch.random.fork_rng(devices=[]), torch.inference_mode(False), torch.enable_grad(), torch.device("cpu"):
        # Not torch.manual_seed, which also seeds the GPUs; fork_rng(devices=[]) does not restore their state.
        torch.default_generator.manual_seed(seed)
        model = digits_cnn()
        optimizer = torch.optim.AdamW(model.parameters(), lr=PEAK_RATE, weight_decay=0.01)
        steps = EPOCHS * (len(labels) // BATCH_SIZE)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=PEAK_RATE, total_steps=steps)
        loss_of = nn.CrossEntropyLoss(label_smoothing=0.05)
        for _ in range(EPOCHS):
            for batch in torch.randperm(len(labels)).view(-1, BATCH_SIZE):  # 1200 samples, every batch is full
                optimizer.zero_grad()
                loss_of(model(images[batch]), labels[batch]).backward()
                optimizer.step()
                schedule.step()
        return model.eval()
