"""A classifier of faults of a bearing from its vibration, as an engineer has it: network, data, training."""

import sys

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

LENGTH, CLASSES = 256, 5


def signals(count: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return vibrations [count, 1, 256] and their classes [count]: each fault knocks at its own rate."""
    draw = np.random.default_rng(seed)
    labels = draw.integers(0, CLASSES, count)
    time = np.arange(LENGTH) / LENGTH
    rate = 6.0 + 4.0 * labels[:, None] + draw.normal(0, 0.4, (count, 1))
    knocks = np.sin(2 * np.pi * rate * time + draw.uniform(0, 2 * np.pi, (count, 1)))
    ringing = np.maximum(knocks, 0) ** 8 * np.sin(2 * np.pi * 60 * time)
    vibration = ringing + 0.35 * draw.normal(size=(count, LENGTH))
    return torch.tensor(vibration[:, None], dtype=torch.float32), torch.tensor(labels)


def net() -> nn.Module:
    return nn.Sequential(
        nn.Conv1d(1, 16, 9, stride=2, padding=4),
        nn.BatchNorm1d(16),
        nn.ReLU(),
        nn.Conv1d(16, 32, 9, stride=2, padding=4),
        nn.BatchNorm1d(32),
        nn.ReLU(),
        nn.Conv1d(32, 32, 9, stride=2, padding=4),
        nn.BatchNorm1d(32),
        nn.ReLU(),
        nn.AdaptiveAvgPool1d(4),
        nn.Flatten(),
        nn.Linear(128, CLASSES),
    )


def test_set() -> DataLoader[tuple[torch.Tensor, ...]]:
    return DataLoader(TensorDataset(*signals(600, seed=1)), batch_size=100)


def train_set() -> TensorDataset:
    return TensorDataset(*signals(4000, seed=0))


if __name__ == "__main__":
    torch.manual_seed(0)
    network = net()
    optimizer = torch.optim.Adam(network.parameters(), lr=5e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=10)
    for _ in range(10):
        for inputs, labels in DataLoader(train_set(), batch_size=64, shuffle=True):
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(inputs), labels).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        schedule.step()
    torch.save(network.state_dict(), sys.argv[1])
