"""The trainings of this experiment: which network, data, algorithm and seed, with which settings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

import driftproof as dp
from driftproof.data import Data, load_data
from driftproof.energy import (
    CenteredCpL,
    CenteredEP,
    ContrastiveLearning,
    HopfieldNetwork,
    NegativeCpL,
    NegativeEP,
    PositiveCpL,
    PositiveEP,
    dchn,
    hopfield_dense,
)
from driftproof.training import Method

BASELINE = "backpropagation"
ALGORITHMS: dict[str, Callable[..., Method]] = {
    "cl": ContrastiveLearning,
    "p-ep": PositiveEP,
    "n-ep": NegativeEP,
    "c-ep": CenteredEP,
    "p-cpl": PositiveCpL,
    "n-cpl": NegativeCpL,
    "c-cpl": CenteredCpL,
    BASELINE: dp.Plain,
}


@dataclass(frozen=True)
class Task:
    """A network, its data, and the settings that all algorithms share.

    Attributes:
        network: Function that draws a network.
        data: Name of the data in driftproof's names, without its folder.
        samples: Number of training images, from the start of the data.
        beta: Strength of the pull.
        perturbed: Iterations of a perturbed phase, and those that backpropagation goes through.
        settings: Settings of the training.
    """

    network: Callable[[], HopfieldNetwork]
    data: str
    samples: int
    beta: float
    perturbed: int
    settings: dict[str, Any]

    def untrained(self) -> HopfieldNetwork:
        """Return a new network; torch's random state draws its weights."""
        return self.network()

    def images(self, root: Path, part: str) -> Data:
        """Return the training images of this task, or the test images."""
        name = f"{self.data}:{root}" if part == "test" else f"{self.data}-train:{root}"
        images = load_data(name)
        return images if part == "test" else images.head(self.samples)

    def method(self, algorithm: str) -> Method:
        """Return an algorithm with the settings of this task."""
        if algorithm == BASELINE:
            return dp.Plain()
        beta = {} if algorithm == "cl" else {"beta": self.beta}
        return ALGORITHMS[algorithm](perturbed_iterations=self.perturbed, **beta)

    def train(
        self, algorithm: str, seed: int, root: Path, out: Path, epochs: int | None = None, torch_device: str = "cpu"
    ) -> dp.Training:
        """Train a network, or continue a training that was stopped."""
        torch.manual_seed(seed)
        network = self.untrained()
        network.backpropagated = self.perturbed
        settings = self.settings | {"seed": seed, "torch_device": torch_device}
        if epochs is not None:
            settings["epochs"] = epochs
        images = self.images(root, "train")
        method = self.method(algorithm)
        return dp.train(network, images, method=method, out=out, progress=False, **settings)


def dense() -> HopfieldNetwork:
    return hopfield_dense([784, 1024, 10], gain=0.7, iterations=15)


def small(channels: int) -> HopfieldNetwork:
    return dchn([16, 32, 32], image=(channels, 32), iterations=30)


SMALL: dict[str, Any] = {
    "batch_size": 64,
    "lr": (0.0625, 0.0375, 0.025, 0.0125),  # those of the study for the first three and the last edge
    "lr_schedule": "cosine",
    "optimizer": "momentum",
    "weight_decay": 3e-4,
    "warm_up": 0.0,
    "loss": "squared-error",
}
DENSE: dict[str, Any] = {
    "batch_size": 16,
    "epochs": 100,
    "lr": 0.05,
    "lr_schedule": "exponential:0.99",
    "optimizer": "plain-sgd",
    "weight_decay": 0.0,
    "warm_up": 0.0,
    "loss": "squared-error",
}
TASKS: dict[str, Task] = {
    "dense-mnist": Task(dense, "mnist-pixels", 60_000, 0.2, 15, DENSE),
    "dchn-mnist": Task(partial(small, 1), "mnist", 10_000, 0.25, 15, SMALL | {"epochs": 8}),
    "dchn-cifar10": Task(partial(small, 3), "cifar10", 10_000, 0.25, 15, SMALL | {"epochs": 12}),
}
