"""How long does a training step take, relative to plain SGD and to aihwkit's hardware-aware training? See README.md.

    python experiments/training_speed/run.py [--rounds 25] [--aihwkit-rounds 7]

The network is ResNet-20 with batches of 128 images, on two threads. Every round times five steps of every method (one
step of aihwkit's), so that a slow minute of the machine slows all of them. A ratio is the median over rounds of the
ratios within a round; its 95 % interval is that of a median (two order statistics).
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import torch
from scipy import stats
from torch import nn
from torch.nn import functional as F

import driftproof as dp
from driftproof.training import Method
from driftproof.zoo import resnet20

HERE = Path(__file__).parent
BATCH = 128
METHODS: dict[str, Callable[[], Method]] = {
    "plain SGD": dp.Plain,
    "RWP, Gaussian 10 %": lambda: dp.RWP(noise="gaussian:0.1"),
    "RWP, PCM at 1 year": lambda: dp.RWP(noise="pcm-nandakumar-2019@1y"),
    "RWP, ReRAM at 1 day": lambda: dp.RWP(noise="reram-wan-2022@1d"),
    "SAM": lambda: dp.SAM(rho=0.05),
    "LookSAM, k = 5": lambda: dp.LookSAM(rho=0.05, every=5),
}
LOOK = 5  # steps of every method in a round, because every fifth step of LookSAM is expensive


def batch() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(BATCH, 3, 32, 32, generator=generator)
    return images, torch.randint(10, (BATCH,), generator=generator)


def ours(method: Method | None) -> Callable[[], None]:
    """Return one step of a method; without a method, one step of a training loop without driftproof."""
    torch.manual_seed(0)
    network = resnet20().to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9)
    images, labels = batch()
    images = images.contiguous(memory_format=torch.channels_last)

    def loss() -> torch.Tensor:
        return F.cross_entropy(network(images), labels)

    def bare() -> None:
        optimizer.zero_grad()
        torch.autograd.backward(loss())
        optimizer.step()

    if method is None:
        return bare

    def step() -> None:
        method.step(loss, network, optimizer)

    return step


def aihwkit(ideal: bool, torch_tile: bool) -> Callable[[], None]:
    """Return one step of aihwkit's hardware-aware training: Gaussian 10 % of the largest weight, new in every batch."""
    from aihwkit.nn.conversion import convert_to_analog
    from aihwkit.optim import AnalogSGD
    from aihwkit.simulator.configs import InferenceRPUConfig, TorchInferenceRPUConfig
    from aihwkit.simulator.parameters.enums import WeightModifierType

    torch.manual_seed(0)
    config = TorchInferenceRPUConfig() if torch_tile else InferenceRPUConfig()
    config.forward.is_perfect = ideal
    config.modifier.type = WeightModifierType.ADD_NORMAL
    config.modifier.std_dev = 0.1
    network: nn.Module = convert_to_analog(resnet20(), config).train()
    optimizer = AnalogSGD(network.parameters(), lr=0.01, momentum=0.9)
    optimizer.regroup_param_groups(network)
    images, labels = batch()

    def step() -> None:
        optimizer.zero_grad()
        torch.autograd.backward(F.cross_entropy(network(images), labels))
        optimizer.step()

    return step


def paired(steps: dict[str, tuple[Callable[[], None], int]], rounds: int, reference: str) -> pd.DataFrame:
    """Return the median time of each step, and the median over rounds of its ratio to the reference of the round."""
    for step, times in steps.values():
        for _ in range(times):
            step()
    rows = []
    for number in range(rounds):
        for name, (step, times) in steps.items():
            start = time.perf_counter()
            for _ in range(times):
                step()
            rows.append({"round": number, "step": name, "seconds": (time.perf_counter() - start) / times})
    measured = pd.DataFrame(rows).pivot_table(index="round", columns="step", values="seconds")[list(steps)]
    ratios = measured.div(measured[reference], axis=0)
    table = pd.DataFrame({"seconds": measured.median(), "ratio": ratios.median()})
    place = int(stats.binom.ppf(0.025, rounds, 0.5))  # too few rounds for 95 %: the smallest and the largest
    ordered = ratios.apply(lambda column: column.sort_values(ignore_index=True))
    table["low"], table["high"] = ordered.iloc[max(0, place - 1)], ordered.iloc[min(rounds - 1, rounds - place)]
    return table.assign(reference=reference, rounds=rounds).round(3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument(
        "--aihwkit-rounds", type=int, default=7, help="number of rounds with aihwkit; 0 leaves aihwkit out"
    )
    arguments = parser.parse_args()
    torch.set_num_threads(2)
    steps = {"torch alone": (ours(None), LOOK)} | {name: (ours(make()), LOOK) for name, make in METHODS.items()}
    tables = [paired(steps, arguments.rounds, "plain SGD")]
    if arguments.aihwkit_rounds:
        theirs = {
            f"aihwkit, {tile}, {periphery}": (aihwkit(ideal, torch_tile), 1)
            for tile, torch_tile in {"torch tile": True, "compiled tile": False}.items()
            for periphery, ideal in {"ideal periphery": True, "default periphery": False}.items()
        }
        name = "RWP, Gaussian 10 %"
        tables.append(paired({name: steps[name]} | theirs, arguments.aihwkit_rounds, name))
    table = pd.concat(tables)
    table.to_csv(HERE / "steps.csv", index_label="step", lineterminator="\n")
    print(table.to_string())


if __name__ == "__main__":
    main()
