"""The code that the small training experiments share: two small tasks, a training loop, chips and tables.

A network is trained for one method and one seed. It is then evaluated under each condition on ten chips with the test
images, for the report, and on ten other chips with the validation images, for every choice of a setting. Its rows are
appended to out/cells.csv and out/epochs.csv at once, so that a stopped run continues where it stopped.

Every method is trained at its own learning rate, which :func:`learning_rates` chooses with another training seed.
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
from driftproof.training import RWP, SAM, Method, Plain, TwoPointRWP
from driftproof.zoo import digits_cnn

SEEDS = {"digits": range(8), "mnist": range(4)}
CHIPS = {"validation": range(100, 110), "test": range(10)}
"""Images → chips on which they are classified: settings are chosen on other chips than are reported."""
# colours of Okabe and Ito, which are distinct for all kinds of colour vision, as in the reports
BLUE, RED, GREEN, GREY, INK = "#0072B2", "#D55E00", "#009E73", "#888888", "#333333"
LEARNING_RATES, RATE_SEED = (0.01, 0.03, 0.1), 100
MOMENTUM, WEIGHT_DECAY = 0.9, 5e-4
GAUSSIAN = [(f"gaussian:{sigma:g}", "") for sigma in (0.05, 0.1, 0.15, 0.2, 0.3)]
RATES = Path(__file__).with_name("learning_rates.csv")
TWICE = "x2"
"""Last word of a method that is trained for twice the epochs."""


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


def mnist_task(root: str, images: int = 10_000) -> Task:
    """Return MNIST: the first images for training, the last 1,000 for validation, every fifth test image to report."""
    (x, y), (test_x, test_y) = pair(mnist(root, "train")), pair(mnist(root, "test"))
    report = (test_x[::5].contiguous(), test_y[::5])
    return Task("mnist", SmallCNN, (x[:images], y[:images]), (x[-1000:], y[-1000:]), report, 4)


TASKS = {"digits": digits_task, "mnist": mnist_task}


def data_root(described: str | None) -> str:
    """Return the folder of MNIST from the command line, and limit torch to one thread."""
    parser = argparse.ArgumentParser(description=described, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="folder with MNIST/raw")
    torch.set_num_threads(1)
    return str(parser.parse_args().data)


def method_of(name: str, seed: int, diagnose_every: int = 0) -> Method:
    """Return the method with a name of the tables.

    The names are ``plain``, ``rwp NOISE [STRENGTH]``, ``two-point NOISE`` and ``sam RHO``; ``x2`` at the end concerns
    the number of epochs only.
    """
    kind, *words = name.removesuffix(f" {TWICE}").split()
    if kind == "plain":
        return Plain(seed=seed)
    options: dict[str, Any] = {"seed": seed, "diagnose_every": diagnose_every}
    if kind == "sam":
        return SAM(rho=words[0], **options)
    kinds = {"rwp": RWP, "two-point": TwoPointRWP}
    return kinds[kind](noise=words[0], strength=words[1] if len(words) > 1 else 1.0, **options)


def epochs_of(name: str, task: Task) -> int:
    """Return the number of epochs for which a method is trained."""
    return task.epochs * (2 if name.endswith(f" {TWICE}") else 1)


def family(method: str) -> str:
    """Return ``plain``, ``rwp`` and ``sam`` at equal epochs, ``plain2`` and ``rwp2`` with as many gradients as SAM."""
    kind = method.split()[0]
    twice = method.endswith(f" {TWICE}") or kind == "two-point"
    return {"two-point": "rwp"}.get(kind, kind) + ("2" if twice else "")


def loss_on(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    return nn.functional.cross_entropy(model(x), y)


def train(task: Task, method: Method, seed: int, lr: float, epochs: int) -> tuple[nn.Module, pd.DataFrame]:
    """Train a network; with the same seed, every method has the same initial weights and the same batches.

    The training ends early if a method refuses an update, because a loss or gradient is zero or not finite.
    """
    torch.manual_seed(seed)
    model = task.network()
    images, labels = task.train
    order = torch.Generator().manual_seed(seed)
    updates = len(labels) // task.batch_size
    method.begin(epochs * updates)
    optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=MOMENTUM, nesterov=True, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * updates)
    rows = []
    for epoch in range(epochs):
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


def on_chips(
    model: nn.Module, task: Task, conditions: Iterable[tuple[str, str]], sets: Sequence[str] = ("validation", "test")
) -> pd.DataFrame:
    """Measure the digital network, and every set of images on its own chips under every condition (device, time).

    A network whose outputs are not finite has no chips: its digital accuracy stands for them.
    """
    images = {"validation": task.validation, "test": task.test}
    rows: list[dict[str, Any]] = [
        {"device": "digital", "time": "", "images": name, "chip": "", "accuracy": accuracy(model, images[name])}
        for name in sets
    ]
    x = task.validation[0][:64]
    if not bool(model(x).isfinite().all()):
        lost = [
            {"device": device, "time": when, "images": row["images"], "chip": number, "accuracy": row["accuracy"]}
            for device, when in conditions
            for row in rows
            for number in CHIPS[row["images"]]
        ]
        return pd.DataFrame(rows + lost)
    mapping = map_model(model, example=x)
    network = FoldedNetwork(model, mapping, x)
    for device_name, when in conditions:
        device = load_device(device_name)
        for name in sets:
            for number in CHIPS[name]:
                network.load(Chip(mapping, device, seed=0, chip=number), parse_time(when or "1s"))
                measured = accuracy(network, images[name])
                rows.append({"device": device_name, "time": when, "images": name, "chip": number, "accuracy": measured})
    return pd.DataFrame(rows)


def learning_rates(
    path: Path, task: Task, methods: Iterable[str], conditions: Sequence[tuple[str, str]]
) -> dict[str, float]:
    """Return method → learning rate, and add those that a table lacks to it.

    A method is trained at every rate with a seed that no report uses. The chosen rate has the best mean validation
    accuracy of the digital network and of all conditions; no test image and no chip of a report takes part.
    """
    table = pd.read_csv(path) if path.exists() else pd.DataFrame(columns=["data", "method", "lr", "validation"])
    done = set(table[["data", "method", "lr"]].itertuples(index=False, name=None))
    for name in methods:
        for lr in LEARNING_RATES:
            if (task.name, name, lr) in done:
                continue
            model, _ = train(task, method_of(name, RATE_SEED), RATE_SEED, lr, epochs_of(name, task))
            measured = (
                on_chips(model, task, conditions, ["validation"]).groupby("device", sort=False)["accuracy"].mean()
            )
            row = {"data": task.name, "method": name, "lr": lr, "seed": RATE_SEED, "validation": measured.mean()}
            _append(path, pd.DataFrame([row | measured.to_dict()]).round(3))
            print(f"{task.name:7} {name:40} lr {lr:<5g} validation {row['validation']:.2f}", flush=True)
    table = pd.read_csv(path)
    here = table[(table["data"] == task.name) & table["method"].isin(list(methods))]
    best = here.loc[here.groupby("method")["validation"].idxmax()]
    return dict(zip(best["method"], best["lr"], strict=True))


def study(
    out: Path,
    task: Task,
    methods: Sequence[str],
    conditions: Sequence[tuple[str, str]],
    rates: dict[str, float],
    seeds: Iterable[int],
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
            method = method_of(name, seed, diagnose_every)
            model, epochs = train(task, method, seed, rates[name], epochs_of(name, task))
            trained = time.process_time() - start
            accuracies = on_chips(model, task, conditions)
            key: dict[str, Any] = {"data": task.name, "method": name, "lr": rates[name], "seed": seed}
            _append(out / "epochs.csv", epochs.assign(**key))
            _append(cells, accuracies.assign(**key))
            reported = accuracies[accuracies["images"] == "test"]["accuracy"].tolist()
            print(
                f"{task.name:7} {name:40} seed {seed}  digital {reported[0]:.2f}  chips "
                f"{np.mean(reported[1:]):.2f}  {trained:.1f} + {time.process_time() - start - trained:.1f} s",
                flush=True,
            )


EPOCH_COLUMNS = ["epoch", "stopped", "seconds", "level", "loss", "update_norm"]
DIAGNOSTICS = ["clean_loss", "noise", "gradient_sharpness"]


def _append(path: Path, rows: pd.DataFrame) -> None:
    if path.name == "epochs.csv":  # all methods have the same columns
        rows = rows.reindex(columns=["data", "method", "lr", "seed", *EPOCH_COLUMNS, *DIAGNOSTICS])
    rows.to_csv(path, mode="a", header=not path.exists(), index=False, lineterminator="\n")


def by_seed(cells: Path) -> pd.DataFrame:
    """Return one row per training and condition: mean accuracies, and the deviation between the reported chips."""
    rows = pd.read_csv(cells, keep_default_na=False)
    keys = ["data", "method", "lr", "device", "time", "seed"]
    groups = rows.groupby([*keys, "images"], sort=False)["accuracy"]
    means = groups.agg(["mean", "std", "size"]).unstack("images")
    table = pd.DataFrame(
        {
            "validation": means["mean", "validation"],
            "test": means["mean", "test"],
            "chip_std": means["std", "test"],
            "chips": means["size", "test"],
        }
    )
    order = rows[keys].drop_duplicates()
    return order.merge(table.reset_index(), on=keys).round(4)


def complete(seeds: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of the seeds for which all methods of a task were trained: others have no pairs."""
    trained = seeds.drop_duplicates(["data", "method", "seed"])
    counts = trained.groupby(["data", "seed"])["method"].size().rename("trained").reset_index()
    counts = counts[counts["trained"] == counts["data"].map(trained.groupby("data")["method"].nunique())]
    return seeds.merge(counts[["data", "seed"]], on=["data", "seed"])


def sigma_of(device: str) -> float:
    """Return the σ of the test that a device of :data:`GAUSSIAN` stands for."""
    return 0.0 if device == "digital" else float(device.partition(":")[2])


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
