"""A network so small that all of the benchmark runs in a second."""

from __future__ import annotations

import torch
from torch import nn

from driftproof.bench._networks import CHANNELS_LAST, CONTIGUOUS, Workload


def tiny() -> Workload:
    torch.manual_seed(0)
    return Workload(
        name="tiny",
        title="a tiny network",
        network=nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(16, 3)).eval(),
        inputs=torch.randn(20, 1, 4, 4),
        targets=torch.arange(20) % 3,
        metric="accuracy",
        batch_size=10,
        layouts=(CONTIGUOUS, CHANNELS_LAST),
        plain_batch_sizes=(5, 20),
        peer_samples=5,
    )
