"""Which training makes ResNet-20 robust on which device? Fine-tuning from the CIFAR-10 checkpoint. See README.md.

    python experiments/devices/run_resnet20.py --data ROOT --weights resnet20-12fca82f.th

Trainings are kept in out/ and continue where they stopped; accuracies on chips are appended to resnet20_chips.csv. The
checkpoint was selected on test data. Therefore epochs are selected on test images 5,000 to 6,999, and accuracies are
measured on the first 5,000 test images, on which nothing else was selected.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn

import driftproof as dp
from driftproof import map_model
from driftproof.data import Data, cifar10, part
from driftproof.evaluation import FoldedNetwork
from driftproof.training import Method, train
from driftproof.zoo import load_model

HERE = Path(__file__).parent
EPOCHS = 8
CHIPS = 25
TARGETS = {  # name in the tables → device and time; the epoch of a training is selected on chips of one of them
    "PCM, 1 year": ("pcm-nandakumar-2019", "1y"),
    "ReRAM, 1 day": ("reram-wan-2022", "1d"),
    "Gaussian 10 %": ("gaussian:0.1", "1s"),
}
OTHERS = {
    "PCM, 1 hour": ("pcm-nandakumar-2019", "1h"),
    "HERMES, 1 day": ("pcm-hermes-2", "1d"),
    "CMO, 1 day": ("reram-cmo-2pct", "1d"),
}
CLIP = dp.ClipWeights(sigmas=2.0)
TAUGHT = dp.Distillation(weight=0.7, temperature=4.0)
RAMP = dp.ramp("quadratic", start=0.5, to=1.5, until=0.4)
GAUSSIAN_RAMP = dp.ramp("quadratic", start=0.5, to=1.2, until=0.4)
# name → method, distillation, the target on whose chips the epoch is selected
RECIPES: dict[str, tuple[Callable[[], Method], dp.Distillation | None, str]] = {
    "pcm": (lambda: dp.RWP(noise="pcm-nandakumar-2019@1y", strength=RAMP, clip=CLIP), TAUGHT, "PCM, 1 year"),
    "gaussian": (lambda: dp.RWP(noise="gaussian:0.1", strength=GAUSSIAN_RAMP, clip=CLIP), TAUGHT, "Gaussian 10 %"),
    "reram": (lambda: dp.RWP(noise="reram-wan-2022@1d", strength=RAMP, clip=CLIP), TAUGHT, "ReRAM, 1 day"),
    "clipping": (lambda: dp.Plain(clip=CLIP), TAUGHT, "PCM, 1 year"),
    "pcm-alone": (lambda: dp.RWP(noise="pcm-nandakumar-2019@1y", strength=1.0), None, "PCM, 1 year"),
    "plain": (lambda: dp.Plain(), None, "PCM, 1 year"),
    "sam": (lambda: dp.SAM(rho=dp.ramp("quadratic", to=0.2), clip=CLIP), TAUGHT, "PCM, 1 year"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True)
    parser.add_argument("--weights", required=True)
    parser.add_argument("--only", nargs="*", choices=RECIPES, default=list(RECIPES))
    arguments = parser.parse_args()
    start = load_model("resnet20", arguments.weights).model
    training, test = cifar10(arguments.data, "train"), cifar10(arguments.data)
    choose_on, report_on = part(test, slice(5000, 7000)), part(test, slice(0, 5000))
    networks: dict[str, nn.Module] = {"as it is": start}
    measure(networks, report_on)
    for name in arguments.only:
        method, distil, target = RECIPES[name]
        device, time = TARGETS[target]
        networks[name] = train(
            start,
            training,
            method=method(),
            epochs=EPOCHS,
            validate=dp.ChipValidation(data=choose_on, preset=device, times=[time], chips=5),
            lr=0.03,
            distil=distil,
            precision="bfloat16",
            augment="crop-flip",
            out=HERE / "out" / "resnet20" / name,
            on_row=partial(say, name),
        ).model
        measure({name: networks[name]}, report_on)
    summarise()


def say(name: str, row: dict[str, Any]) -> None:
    """Print those rows of the log that end an epoch."""
    if row["validation"]:
        print(name, row, flush=True)


def summarise() -> None:
    """Write resnet20.csv: mean accuracies, and the share of the gap to the digital network that training closes.

    The gap is that of the network before training. Intervals come from a bootstrap over the chips; all networks have
    the same chips.
    """
    cells = pd.read_csv(HERE / "resnet20_chips.csv")
    digital = cells[cells["target"] == "digital"].set_index("network")["accuracy"]
    chips = cells[cells["target"] != "digital"].pivot(index=["target", "chip"], columns="network", values="accuracy")
    random = np.random.default_rng(0)
    rows = []
    for target in [*TARGETS, *OTHERS]:
        table = chips.loc[target]
        # the digital accuracy is that of all 5,000 images, but other devices were measured on 2,000
        top = digital["as it is"] if target in TARGETS else float("nan")
        drawn = random.integers(len(table), size=(10_000, len(table)))
        start = table["as it is"].to_numpy()
        for network in map(str, table):
            accuracy = table[network].to_numpy()
            if np.isnan(accuracy).any():
                continue
            row = {"target": target, "network": network, "digital": digital[network], "accuracy": accuracy.mean()}
            row["ci95_low"], row["ci95_high"] = np.quantile(accuracy[drawn].mean(axis=1), (0.025, 0.975))
            row |= {"std": accuracy.std(ddof=1), "chips": len(accuracy)}
            if network != "as it is":
                gain = accuracy - start
                row |= {"gain": gain.mean(), "share": 100 * gain.mean() / (top - start.mean())}
                shares = 100 * gain[drawn].mean(axis=1) / (top - start[drawn].mean(axis=1))
                row["share_low"], row["share_high"] = np.quantile(shares, (0.025, 0.975))
            rows.append(row)
    table = pd.DataFrame(rows).round(2)
    table.to_csv(HERE / "resnet20.csv", index=False, lineterminator="\n")
    print(table.to_string(index=False))


def measure(networks: dict[str, nn.Module], data: Data) -> None:
    """Append the accuracies that are still missing: 5,000 images on each target's chips, 2,000 on other devices."""
    path = HERE / "resnet20_chips.csv"
    done = set()
    if path.exists():
        with path.open(encoding="utf-8") as file:
            done = {(row["network"], row["target"], row["chip"]) for row in csv.DictReader(file)}
    else:
        path.write_text("network,target,preset,time,chip,images,accuracy\n", encoding="utf-8")
    for name, model in networks.items():
        example = next(iter(data.batches(8)))[0]
        mapping = map_model(model, example=example)
        network = FoldedNetwork(model, mapping, example)
        for target, (device, time) in {"digital": ("ideal", "1s"), **TARGETS, **OTHERS}.items():
            some = data.head(2000) if target in OTHERS else data
            for number in range(1 if target == "digital" else CHIPS):
                if (name, target, str(number)) in done:
                    continue
                chip = dp.Chip(mapping, dp.load_preset(device), seed=0, chip=number)
                network.load(chip, dp.load_preset(device).at(time).t_s)
                right = sum(int((network(x).argmax(1) == y).sum()) for x, y in some.batches(250))
                with path.open("a", encoding="utf-8") as file:
                    row = (name, target, device, time, number, len(some), f"{100 * right / len(some):.2f}")
                    csv.writer(file, lineterminator="\n").writerow(row)
        print(name, "measured", flush=True)


if __name__ == "__main__":
    torch.manual_seed(0)
    main()
