"""What does the loss look like around trained weights, and what does the PAC-Bayes bound guarantee? See README.md.

    python experiments/loss_surface/run.py

The script writes a table and a figure for each network, and the terms of the bounds.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import nn

import driftproof as dp
from driftproof.analysis import loss_surface, measure_bound
from driftproof.data import digits
from driftproof.figures import draw_surface, render
from driftproof.zoo import digits_cnn

HERE = Path(__file__).parent
NOISE = "gaussian:0.2"
METHODS = {"plain": dp.Plain(), "trained": dp.RWP(noise=NOISE)}
DELTA = 0.05 / len(METHODS)  # the networks share it, so that their bounds hold together with 95 % probability


def main() -> None:
    torch.manual_seed(0)
    start, training, test = digits_cnn(), digits("train"), digits("test")
    terms = []
    for name, method in METHODS.items():
        network = dp.train(start, training, method=method, epochs=40, batch_size=50, lr=0.01).model
        surface = loss_surface(network, test, NOISE)
        surface.table().round(5).to_csv(HERE / f"{name}.csv", index=False, lineterminator="\n")
        (HERE / f"{name}.png").write_bytes(render(draw_surface, surface)[1])
        print(
            f"{name}: a chip's error is {100 * surface.error:.1f} % of the weights; cosine of two {surface.cosine:.2f}"
        )
        terms += [bounds.table().assign(network=name, samples=samples) for samples, bounds in measured(network, start)]
    pd.concat(terms).to_csv(HERE / "bounds.csv", index=False, lineterminator="\n")


def measured(network: nn.Module, start: nn.Module) -> list[tuple[str, Any]]:
    """Return the bound from held-out samples, and the bound from training samples with the initial weights as prior."""
    bounds = [
        ("held out", measure_bound(network, None, digits("test"), NOISE, draws=100, delta=DELTA)),
        ("trained on", measure_bound(network, start, digits("train"), NOISE, draws=100, delta=DELTA)),
    ]
    for samples, bound in bounds:
        print(f"--- {samples}\n{bound}")
    return bounds


if __name__ == "__main__":
    main()
