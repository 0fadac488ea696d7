"""How much faster is the asynchronous, cached relaxation, and what does each of its parts bring? See README.md.

    python experiments/energy_speed/run.py --data ROOT

It writes iterations.csv, parts.csv and relaxation.png.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from matplotlib.figure import Figure
from safetensors.torch import load_file
from torch import Tensor

from driftproof.energy import HopfieldNetwork

HERE = Path(__file__).parent
sys.path.append(str(HERE.parent))
from energy_algorithms.trainings import TASKS  # noqa: E402  # a folder beside this one

TESTED, TIMED, BATCH = 2000, 256, 128
"""Test images that accuracies are of, those that relaxations are timed on, and those of a batch."""
LONG = 400
"""Iterations after which accuracy and states count as converged."""
STEPS = (1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 25, 30, 40, 50, 60, 80, 100, 130, 160, 200, 250, 300, LONG)
WITHIN, SETTLED = 0.1, 1e-3
"""Points from the converged accuracy, and largest change of a unit, that end a relaxation."""
ROUNDS = 9
ORDERS = ("asynchronous", "synchronous")
TRAINED = ("dchn-cifar10",)
"""Tasks whose networks, trained with C-EP and seed 0 by ../energy_algorithms, stand beside this file."""


def network_of(task: str, order: str = ORDERS[0], **settings: Any) -> HopfieldNetwork:
    """Return the trained network of a task, with other settings of its relaxation."""
    made = TASKS[task].untrained()
    made.load_state_dict(load_file(HERE / f"{task}.safetensors"))
    relaxing = made.with_relaxation(order=order, **settings)
    relaxing.eval()
    return relaxing


@torch.no_grad()
def curve(task: str, order: str, images: Tensor, classes: Tensor) -> pd.DataFrame:
    """Return accuracy, and the share of samples that have settled, after each number of iterations."""
    network = network_of(task, order)
    right, settled, energy = (torch.zeros(len(STEPS), dtype=torch.float64) for _ in range(3))
    for x, y in zip(torch.split(images, BATCH), torch.split(classes, BATCH), strict=True):
        states, before = network.start(network.placed(x)), 0
        for place, iterations in enumerate(STEPS):
            relaxed = network.with_relaxation(iterations=iterations - before).relaxed(states)
            before = iterations
            right[place] += (states.output.argmax(1) == y).sum()
            settled[place] += (relaxed.residual < SETTLED).sum()
            energy[place] += network.energy(x, states.layers[1:]).sum()
    means = {"accuracy": 100 * right, "settled": 100 * settled, "energy": energy}
    columns = {name: (of / len(images)).tolist() for name, of in means.items()}
    return pd.DataFrame({"task": task, "order": order, "iterations": STEPS} | columns)


def needed(rows: pd.DataFrame) -> tuple[int, int]:
    """Return the iterations from which on the accuracy stays within reach of the last, and 99 % of samples settle."""
    last = rows["accuracy"].iloc[-1]
    outside = rows[(rows["accuracy"] - last).abs() > WITHIN + 1e-9]["iterations"]  # accuracies have two digits
    first = next(step for step in STEPS if outside.empty or step > outside.max())
    unsettled = rows[rows["settled"] < 99]["iterations"]
    settle = next((step for step in STEPS if unsettled.empty or step > unsettled.max()), LONG)
    return first, settle


def relaxation(network: HopfieldNetwork, images: Tensor, batch: int = BATCH) -> Callable[[], None]:
    """Return a function that relaxes a network on images, batch by batch."""

    @torch.no_grad()
    def run() -> None:
        for part in torch.split(images, batch):
            network(part)

    return run


def take_turns(works: dict[str, Callable[[], None]]) -> pd.DataFrame:
    """Return the seconds of each round of each work; every round does all works once, and the first does not count."""
    rows = []
    for _ in range(ROUNDS + 1):
        row = {}
        for name, work in works.items():
            start = time.perf_counter()
            work()
            row[name] = time.perf_counter() - start
        rows.append(row)
    return pd.DataFrame(rows[1:])


def parts_of(task: str, rows: pd.DataFrame, images: Tensor) -> pd.DataFrame:
    """Return the time of each variant relative to the fast one, medians of paired runs."""
    quick, slow = (needed(rows[rows["order"] == order])[0] for order in ORDERS)
    x = images[:TIMED]
    fast: dict[str, Any] = {"iterations": quick}
    steps = {
        "fast": relaxation(network_of(task, **fast), x),
        "synchronous, uncached, as long as it needs": relaxation(
            network_of(task, ORDERS[1], iterations=slow, cached=False), x
        ),
        "synchronous, cached, as long as it needs": relaxation(network_of(task, ORDERS[1], iterations=slow), x),
        "uncached": relaxation(network_of(task, **fast, cached=False), x),
        "synchronous, as many iterations": relaxation(network_of(task, ORDERS[1], **fast), x),
        "bfloat16": relaxation(network_of(task, **fast).set_precision("bfloat16"), x),
        "until settled": relaxation(network_of(task, iterations=LONG, tolerance=SETTLED), x),
    }
    steps["batches of half the size"] = relaxation(network_of(task, **fast), x, BATCH // 2)
    seconds = take_turns(steps)
    rows_of = []
    for name in list(steps)[1:]:
        ratios = sorted(seconds[name] / seconds["fast"])
        # of nine, the second smallest and the second largest enclose the median with 96 % confidence
        ends = {"ratio": ratios[ROUNDS // 2], "low": ratios[1], "high": ratios[-2]}
        iterations = {"asynchronous": quick, "synchronous": slow}
        rows_of.append({"task": task, "variant": name, **iterations} | {key: round(of, 3) for key, of in ends.items()})
    return pd.DataFrame(rows_of)


def draw(rows: pd.DataFrame) -> Figure:
    """Draw a relaxation: the energy above its end, the samples that have settled, and the accuracy."""
    figure = Figure(figsize=(10.4, 3.4), layout="constrained")
    panels = figure.subplots(1, 3)
    colours = dict(zip(ORDERS, ("#0072B2", "#D55E00"), strict=True))
    rows = rows[rows["task"] == "dchn-cifar10"]
    end = rows["energy"].min()
    for order, group in rows.groupby("order", sort=False):
        for axes, values in zip(panels, (group["energy"] - end, group["settled"], group["accuracy"]), strict=True):
            axes.plot(group["iterations"], values, color=colours[str(order)], marker="o", ms=3, label=order)
    panels[0].set_yscale("log")
    titles = ("energy above its lowest", "% of samples that have settled", "% of samples that are right")
    for axes, title in zip(panels, titles, strict=True):
        axes.set_xscale("log")
        axes.set_title(title, loc="left", fontsize=10)
        axes.set_xlabel("iterations")
        axes.grid(color="#e6e6e6", lw=0.8)
    panels[0].legend(frameon=False)
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with cifar-10-batches-py and MNIST/raw")
    options = parser.parse_args()
    curves, parts = [], []
    for task in TRAINED:
        inputs, classes = next(iter(TASKS[task].images(options.data, "test").head(TESTED).batches(TESTED)))
        assert isinstance(inputs, Tensor)
        rows = pd.concat([curve(task, order, inputs, classes) for order in ORDERS])
        curves.append(rows)
        parts.append(parts_of(task, rows, inputs))
        print(parts[-1].to_string(), flush=True)
    all_curves = pd.concat(curves)
    all_curves.round(4).to_csv(HERE / "iterations.csv", index=False)
    draw(all_curves).savefig(HERE / "relaxation.png", dpi=150)
    pd.concat(parts).to_csv(HERE / "parts.csv", index=False)


if __name__ == "__main__":
    main()
