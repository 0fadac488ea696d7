"""A small training, started by the test beside it: in this process, or in two."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import torch
from torch import nn

import driftproof as dp
from driftproof.data import TensorData
from driftproof.training._loop import Training
from driftproof.training._methods.by_name import METHODS, make_method


def network() -> nn.Module:
    """Return a network without BatchNorm or dropout."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.Tanh(), nn.Flatten(), nn.Linear(16, 3))


def run(method: str, out: Path, micro_batches: int) -> Training:
    """Train for two epochs into a folder."""
    images = torch.randn(64, 1, 4, 4, generator=torch.Generator().manual_seed(1))
    data = TensorData("noise", images, images.flatten(1)[:, :3].argmax(1))
    named = METHODS[method]
    made = make_method(
        method,
        noise="pcm-nandakumar-2019@1d" if named.noise else None,
        strength="quadratic:to=2" if named.noise else None,
        rho=0.1 if named.rho else None,
    )
    return dp.train(
        network(),
        data,
        method=made,
        epochs=2,
        batch_size=16,
        micro_batches=micro_batches,
        lr=0.1,
        augment="crop-flip:1",
        validate=lambda model: float(model[3].weight.abs().sum()),  # type: ignore[index]
        out=out,
    )


if __name__ == "__main__":
    torch.set_num_threads(1)
    folder, rank = Path(sys.argv[2]), os.environ["RANK"]
    run(sys.argv[1], folder, 1)
    found = run(sys.argv[1], folder / "again", 1)  # a second training of the same processes
    told: dict[str, Any] = {"best": found.best, "best_epoch": found.best_epoch, "rows": found.rows}
    told["weights"] = [weight.flatten().tolist() for weight in found.model.parameters()]
    (folder / f"found{rank}.json").write_text(json.dumps(told))
