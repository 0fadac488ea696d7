"""What the small training experiments share: two small tasks, a plain training loop, chips, tables that go on.

A network is trained for a method and a seed, then becomes the same ten chips of each condition. Its rows are appended
to out/cells.csv and out/epochs.csv at once, so that a stopped run goes on where it was.
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

from driftproof import load_device, map_model
from driftproof.chip import Programmer
from driftproof.data import TensorData, digits, mnist
from driftproof.errors import DriftproofError
from driftproof.evaluation import FoldedNetwork
from driftproof.times import parse_time
from driftproof.training import RWP, SAM, Method, Plain
from driftproof.zoo.digits_cnn import DigitsCNN

SEEDS, CHIPS = range(8), range(10)
# the rate of .01, .03 and .1 at which most noise could still be trained with, on another seed and validation images
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
    """1,000 digits to train, 200 to choose on, 597 to report on."""
    x, y = pair(digits("train"))
    return Task("digits", DigitsCNN, (x[:1000], y[:1000]), (x[1000:], y[1000:]), pair(digits("test")), 40)


def mnist_task(root: str) -> Task:
    """20,000 images to train, 1,000 others of the training split to choose on, every fifth test image to report on."""
    (x, y), (images, classes) = pair(mnist(root, "train")), pair(mnist(root, "test"))
    report = (images[::5].contiguous(), classes[::5])
    return Task("mnist", SmallCNN, (x[:20_000], y[:20_000]), (x[-1000:], y[-1000:]), report, 4)


TASKS = {"digits": digits_task, "mnist": mnist_task}


def data_root(described: str | None) -> str:
    """Return where MNIST is, from the command line; computing is for one core."""
    parser = argparse.ArgumentParser(description=described, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="folder with MNIST/raw")
    torch.set_num_threads(1)
    return str(parser.parse_args().data)


def method_of(name: str, seed: int, diagnose_every: int = 0) -> Method:
    """Return a method by its name in the tables: ``plain``, ``rwp NOISE [STRENGTH]``, ``sam RHO``."""
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
    """Train a network: the same seed gives the same start and the same batches to every method.

    A method that refuses an update (a loss or a gradient that is not finite or zero) ends the training there.
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
            seen.append({"level": last.level, "loss": last.loss, "update_norm": last.update_norm} | last.more)
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
    """Measure the digital network, and the same chips of every condition: (device, time)."""
    x = task.validation[0][:64]
    mapping = map_model(model, example=x)
    network = FoldedNetwork(model, mapping, x)
    rows = [
        {"device": "digital", "time": "", "chip": 0}
        | {"validation": accuracy(model, task.validation), "test": accuracy(model, task.test)}
    ]
    for name, when in conditions:
        device, programmer = load_device(name), Programmer()
        for number in CHIPS:
            chip = programmer.program(mapping, device, seed=0, chip=number)
            network.load(chip, parse_time(when or "1s"))
            found = {"validation": accuracy(network, task.validation), "test": accuracy(network, task.test)}
            rows.append({"device": name, "time": when, "chip": number} | found)
    return pd.DataFrame(rows)


def study(
    out: Path,
    task: Task,
    methods: Sequence[str],
    conditions: Sequence[tuple[str, str]],
    seeds: Iterable[int] = SEEDS,
    diagnose_every: int = 0,
) -> None:
    """Train and measure every method for every seed, unless that was done before."""
    cells = out / "cells.csv"
    out.mkdir(parents=True, exist_ok=True)
    old = pd.read_csv(cells) if cells.exists() else pd.DataFrame(columns=["data", "method", "seed"])
    done = set(old[["data", "method", "seed"]].itertuples(index=False, name=None))
    for seed in seeds:  # seed by seed: a run that is stopped has whole replicates
        for name in methods:
            if (task.name, name, seed) in done:
                continue
            start = time.process_time()
            model, epochs = train(task, method_of(name, seed, diagnose_every), seed)
            trained = time.process_time() - start
            found = on_chips(model, task, conditions)
            key: dict[str, Any] = {"data": task.name, "method": name, "seed": seed}
            _append(out / "epochs.csv", epochs.assign(**key))
            _append(cells, found.assign(**key))
            print(
                f"{task.name:7} {name:40} seed {seed}  digital {found['test'][0]:.2f}  chips "
                f"{found['test'][1:].mean():.2f}  {trained:.1f} + {time.process_time() - start - trained:.1f} s",
                flush=True,
            )


EPOCH_COLUMNS = ["epoch", "stopped", "seconds", "level", "loss", "update_norm"]
DIAGNOSTICS = ["clean_loss", "noise", "gradient_sharpness"]


def _append(path: Path, rows: pd.DataFrame) -> None:
    if path.name == "epochs.csv":  # all methods have the same columns
        rows = rows.reindex(columns=["data", "method", "seed", *EPOCH_COLUMNS, *DIAGNOSTICS])
    rows.to_csv(path, mode="a", header=not path.exists(), index=False, lineterminator="\n")


def by_seed(cells: Path) -> pd.DataFrame:
    """Return one row a training and condition: mean over chips, and the chips' spread."""
    rows = pd.read_csv(cells, keep_default_na=False)
    means = rows.groupby(["data", "method", "device", "time", "seed"], sort=False)
    table = means.agg(
        validation=("validation", "mean"), test=("test", "mean"), chip_std=("test", "std"), chips=("chip", "size")
    )
    return table.reset_index().round(4)


def student(values: Iterable[Any]) -> tuple[float, float]:
    """Return the mean over seeds and half the width of its 95 % Student interval."""
    found = np.asarray(list(values), dtype=float)
    if len(found) < 2:
        return float(found.mean()), float("nan")
    arm = stats.t.ppf(0.975, len(found) - 1) * found.std(ddof=1) / np.sqrt(len(found))
    return float(found.mean()), float(arm)


def said(values: Iterable[Any], sign: str = "") -> str:
    """Return mean and interval as text."""
    mean, arm = student(values)
    return f"{mean:{sign}.2f} ± {arm:.2f}"
