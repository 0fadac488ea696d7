"""Plain training, naive noise, SAM and multi-step SAM under weight noise and quantisation. See README.md.

    python experiments/poster/run.py mnist --data ROOT
    python experiments/poster/run.py resnet20 --data ROOT --weights resnet20-12fca82f.th

Trainings are kept in out/ and continue where they stopped; accuracies are appended to <task>.csv.
"""

from __future__ import annotations

import argparse
import csv
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import driftproof as dp
from driftproof import map_model
from driftproof.data import Data, cifar10, mnist, part
from driftproof.evaluation import FoldedNetwork
from driftproof.training import Method, train
from driftproof.zoo import load_model

sys.path.append(str(Path(__file__).parents[1]))
import small_scale as small

HERE = Path(__file__).parent
CHIPS = 25
NOISE = (0.02, 0.05, 0.1, 0.15, 0.2)  # of the column's largest weight
LEVELS = {8: 255, 6: 63, 4: 15, 3: 7, 2: 3}  # bits → levels of a weight
SETTINGS: dict[str, dict[str, Any]] = {
    "mnist": {"seeds": 5, "epochs": 4, "batch_size": 50, "lr": 0.01},
    "resnet20": {"seeds": 1, "epochs": 3, "lr": 0.01, "precision": "bfloat16", "augment": "crop-flip"},
}


class NaiveNoise(Method):
    """The poster's naive noise: 0.1 N(0, 1) is added to every analog weight at every update and never removed."""

    name = "naive noise"

    def __init__(self, seed: int = 0) -> None:
        super().__init__(strength=0.1, norms="perturbed", seed=seed)
        self.generator = torch.Generator().manual_seed(seed)

    def accumulate(self, passes: Any, closures: Sequence[Callable[[], Tensor]]) -> Tensor:
        with torch.no_grad():
            for weight in passes.weights.parameters.values():
                weight.add_(torch.randn(weight.shape, generator=self.generator), alpha=0.1)
        loss: Tensor = passes.backward(closures[0], perturbed=True)
        return loss


METHODS: dict[str, Callable[[int], Method]] = {
    "standard": lambda seed: dp.Plain(seed=seed),
    "naive noise": NaiveNoise,
    "SAM": lambda seed: dp.SAM(rho=0.05, seed=seed),
    "multi-step SAM": lambda seed: dp.MultiStepSAM(rho=0.1, seed=seed),
    "RWP": lambda seed: dp.RWP(noise="gaussian:0.1", seed=seed),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=SETTINGS)
    parser.add_argument("--data", required=True)
    parser.add_argument("--weights")
    arguments = parser.parse_args()
    settings = dict(SETTINGS[arguments.task])
    seeds = int(settings.pop("seeds"))
    test: Data
    if arguments.task == "mnist":
        training, test = mnist(arguments.data, "train"), mnist(arguments.data).head(2000)
    else:
        training, test = cifar10(arguments.data, "train"), part(cifar10(arguments.data), slice(0, 2000))
    for seed in range(seeds):
        for name, make in METHODS.items():
            if arguments.task == "mnist":
                torch.manual_seed(seed)
                start: nn.Module = small.SmallCNN()
            else:
                start = load_model("resnet20", arguments.weights).model
            out = HERE / "out" / arguments.task / f"{name.replace(' ', '-')}-{seed}"
            begun = time.process_time()
            trained = train(start, training, method=make(seed), seed=seed, out=out, **settings)
            seconds = time.process_time() - begun
            measure(HERE / f"{arguments.task}.csv", trained.model, test, name, seed, seconds)


def measure(path: Path, model: nn.Module, data: Data, method: str, seed: int, seconds: float) -> None:
    """Append the accuracies of one network, unless the file has them already."""
    if path.exists():
        with path.open(encoding="utf-8") as file:
            if (method, str(seed)) in {(row["method"], row["seed"]) for row in csv.DictReader(file)}:
                return
    else:
        path.write_text("method,seed,device,chip,images,accuracy,training_seconds\n", encoding="utf-8")
    example = next(iter(data.batches(8)))[0]
    mapping = map_model(model, example=example)
    network = FoldedNetwork(model, mapping, example)
    devices = ["ideal", *(f"gaussian:{sigma}" for sigma in NOISE), *(f"levels:{count}" for count in LEVELS.values())]
    rows = []
    for device in devices:
        for number in range(CHIPS if device.startswith("gaussian") else 1):
            network.load(dp.Chip(mapping, dp.load_preset(device), seed=0, chip=number), 1.0)
            right = sum(int((network(x).argmax(1) == y).sum()) for x, y in data.batches(250))
            accuracy = f"{100 * right / len(data):.2f}"
            rows.append((method, seed, device, number, len(data), accuracy, f"{seconds:.1f}"))
    with path.open("a", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)
    print(method, seed, f"{seconds:.0f} s", {row[2]: row[5] for row in rows}, flush=True)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
