"""The code that the small training experiments share: two small tasks, a training loop, chips and tables.

A network is trained for one method and one seed, and is then evaluated on the same ten chips under each condition. Its
rows are appended to out/cells.csv and out/epochs.csv at once, so that a stopped run continues where it stopped.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy import stats
from torch import Tensor, nn

from driftproof import Chip, DriftproofError, load_device, map_model
from driftproof.data import TensorData, digits, mnist
from driftproof.evaluation import FoldedNetwork
from driftproof.times import parse_time
from driftproof.training import RWP, SAM, Method, Plain
from driftproof.zoo import digits_cnn

SEEDS, CHIPS = range(8), range(10)
# colours of Okabe and Ito, which are distinct for all kinds of colour vision, as in the reports
BLUE, RED, GREEN, GREY, INK = "#0072B2", "#D55E00", "#009E73", "#888888", "#333333"
# of 0.01, 0.03 and 0.1, the rate at which training tolerates the most noise, on another seed and validation images
LR, MOMENTUM, WEIGHT_DECAY = 0.01, 0.9, 5e-4


class SmallCNN(nn.Module):
    """Two convolutions of stride 2 with BatchNorm and two linear layers: 17,232 weights on tiles, for 28 × 28."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 8, 5, stride=2, padding=2, bias=False)
        self.bn1 = nn.BatchNorm2d(8)
        self.conv2 = nn.Conv2d(8, 16, 3, stride=2, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(16)
        self.relu = nn.ReLU()
        self.fc1 = nn.Linear(16 * 7 * 7, 20)
        self.fc2 = nn.Linear(20, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.relu(self.bn2(self.conv2(x)))
        outputs: Tensor = self.fc2(self.relu(self.fc1(x.flatten(1))))
        return outputs


@dataclass(frozen=True)
class Task:
    name: str
    network: Callable[[], nn.Module]
    train: tuple[Tensor, Tensor]
    validation: tuple[Tensor, Tensor]
    test: tuple[Tensor, Tensor]
    epochs: int
    batch_size: int = 50


def pair(data: TensorData) -> tuple[Tensor, Tensor]:
    """Return the images and their classes."""
    assert isinstance(data.inputs, Tensor)
    return data.inputs, data.targets


def digits_task(root: str) -> Task:
    """Return the digits: 1,000 for training, 200 for validation, 597 for the report."""
    x, y = pair(digits("train"))
    return Task("digits", digits_cnn, (x[:1000], y[:1000]), (x[1000:], y[1000:]), pair(digits("test")), 40)


def mnist_task(root: str) -> Task:
    """Return MNIST: 20,000 images for training, 1,000 for validation, every fifth test image for the report."""
    (x, y), (images, classes) = pair(mnist(root, "train")), pair(mnist(root, "test"))
    report = (images[::5].contiguous(), classes[::5])
    return Task("mnist", SmallCNN, (x[:20_000], y[:20_000]), (x[-1000:], y[-1000:]), report, 4)


TASKS = {"digits": digits_task, "mnist": mnist_task}


def data_root(described: str | None) -> str:
    """Return the folder of MNIST from the command line, and limit torch to one thread."""
    parser = argparse.ArgumentParser(description=described, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="folder with MNIST/raw")
    torch.set_num_threads(1)
    return str(parser.parse_args().data)


def method_of(name: str, seed: int, diagnose_every: int = 0) -> Method:
    """Return the method with a name of the tables: ``plain``, ``rwp NOISE [STRENGTH]`` or ``sam RHO``."""
    kind, *words = name.split()
    if kind == "plain":
        return Plain(seed=seed)
    options: dict[str, Any] = {"seed": seed, "diagnose_every": diagnose_every}
    if kind == "sam":
        return SAM(rho=words[0], **options)
    assert kind == "rwp", name
    return RWP(noise=words[0], strength=words[1] if len(words) > 1 else 1.0, **options)


def loss_on(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    return nn.functional.cross_entropy(model(x), y)


def train(task: Task, method: Method, seed: int) -> tuple[nn.Module, pd.DataFrame]:
    """Train a network; with the same seed, every method has the same initial weights and the same batches.

    The training ends early if a method refuses an update, because a loss or gradient is zero or not finite.
    """
    torch.manual_seed(seed)
    model = task.network()
    images, labels = task.train
    order = torch.Generator().manual_seed(seed)
    updates = len(labels) // task.batch_size
    method.begin(task.epochs * updates)
    optimizer = torch.optim.SGD(model.parameters(), lr=LR, momentum=MOMENTUM, nesterov=True, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, task.epochs * updates)
    rows = []
    for epoch in range(task.epochs):
        seen: list[dict[str, float]] = []
        start, stopped = time.process_time(), False
        for batch in torch.randperm(len(labels), generator=order)[: updates * task.batch_size].view(updates, -1):
            x, y = images[batch], labels[batch]
            try:
                method.step(partial(loss_on, model, x, y), model, optimizer)
            except DriftproofError as error:
                print(f"{method.name}, epoch {epoch}, update {len(seen)}: {error}", flush=True)
                stopped = True
                break
            schedule.step()
            last = method.last
            assert last is not None
            seen.append({"level": last.strength, "loss": last.loss, "update_norm": last.update_norm} | last.more)
        means = {} if not seen else pd.DataFrame(seen).mean().to_dict()
        seconds = time.process_time() - start
        rows.append({"epoch": epoch + 1, "stopped": stopped, "seconds": round(seconds, 2)} | means)
        if stopped:
            break
    return model.eval(), pd.DataFrame(rows)


@torch.inference_mode()
def accuracy(network: Callable[[Tensor], Tensor], data: tuple[Tensor, Tensor]) -> float:
    return 100 * float((network(data[0]).argmax(1) == data[1]).float().mean())


def on_chips(model: nn.Module, task: Task, conditions: Iterable[tuple[str, str]]) -> pd.DataFrame:
    """Measure the digital network, and the same chips under every condition (device, time)."""
    x = task.validation[0][:64]
    mapping = map_model(model, example=x)
    network = FoldedNetwork(model, mapping, x)
    rows = [
        {"device": "digital", "time": "", "chip": 0}
        | {"validation": accuracy(model, task.validation), "test": accuracy(model, task.test)}
    ]
    for name, when in conditions:
        device = load_device(name)
        for number in CHIPS:
            network.load(Chip(mapping, device, seed=0, chip=number), parse_time(when or "1s"))
            accuracies = {"validation": accuracy(network, task.validation), "test": accuracy(network, task.test)}
            rows.append({"device": name, "time": when, "chip": number} | accuracies)
    return pd.DataFrame(rows)


def study(
    out: Path,
    task: Task,
    methods: Sequence[str],
    conditions: Sequence[tuple[str, str]],
    seeds: Iterable[int] = SEEDS,
    diagnose_every: int = 0,
) -> None:
    """Train and measure every method for every seed, except for those that the tables contain already."""
    cells = out / "cells.csv"
    out.mkdir(parents=True, exist_ok=True)
    old = pd.read_csv(cells) if cells.exists() else pd.DataFrame(columns=["data", "method", "seed"])
    done = set(old[["data", "method", "seed"]].itertuples(index=False, name=None))
    for seed in seeds:  # seed by seed, so that a stopped run has complete replicates
        for name in methods:
            if (task.name, name, seed) in done:
                continue
            start = time.process_time()
            model, epochs = train(task, method_of(name, seed, diagnose_every), seed)
            trained = time.process_time() - start
            accuracies = on_chips(model, task, conditions)
            key: dict[str, Any] = {"data": task.name, "method": name, "seed": seed}
            _append(out / "epochs.csv", epochs.assign(**key))
            _append(cells, accuracies.assign(**key))
            print(
                f"{task.name:7} {name:40} seed {seed}  digital {accuracies['test'][0]:.2f}  chips "
                f"{accuracies['test'][1:].mean():.2f}  {trained:.1f} + {time.process_time() - start - trained:.1f} s",
                flush=True,
            )


EPOCH_COLUMNS = ["epoch", "stopped", "seconds", "level", "loss", "update_norm"]
DIAGNOSTICS = ["clean_loss", "noise", "gradient_sharpness"]


def _append(path: Path, rows: pd.DataFrame) -> None:
    if path.name == "epochs.csv":  # all methods have the same columns
        rows = rows.reindex(columns=["data", "method", "seed", *EPOCH_COLUMNS, *DIAGNOSTICS])
    rows.to_csv(path, mode="a", header=not path.exists(), index=False, lineterminator="\n")


def by_seed(cells: Path) -> pd.DataFrame:
    """Return one row per training and condition: the mean and the standard deviation over chips."""
    rows = pd.read_csv(cells, keep_default_na=False)
    means = rows.groupby(["data", "method", "device", "time", "seed"], sort=False)
    table = means.agg(
        validation=("validation", "mean"), test=("test", "mean"), chip_std=("test", "std"), chips=("chip", "size")
    )
    return table.reset_index().round(4)


def student(values: Iterable[Any]) -> tuple[float, float]:
    """Return the mean and half the width of its 95 % Student interval."""
    x = np.asarray(list(values), dtype=float)
    if len(x) < 2:
        return float(x.mean()), float("nan")
    arm = stats.t.ppf(0.975, len(x) - 1) * x.std(ddof=1) / np.sqrt(len(x))
    return float(x.mean()), float(arm)


def interval_text(values: Iterable[Any], sign: str = "") -> str:
    """Return the mean and its interval as text."""
    mean, arm = student(values)
    return f"{mean:{sign}.2f} ± {arm:.2f}"
