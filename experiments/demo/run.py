"""Repeat the demo with other networks and other chips, and tell what of the training brings the gain.

Each seed has its own initial weights, order of the samples, noise of the training, and chips. The plain network of seed
0 is the network that driftproof ships. Besides the networks of the demo, there are three that were trained for as long
without a part of the method: without noise and clipping, with clipping only, and with noise only.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import torch
from torch import nn

import driftproof as dp
from driftproof.data import digits
from driftproof.evaluation import Recalibration
from driftproof.training import Method, Plain
from driftproof.zoo import digits_resnet

HERE = Path(__file__).parent
SEEDS, CHIPS = range(3), 12
DEVICE, TIMES = "pcm-hermes-2", "1s,10min,1h,1d,30d,1y"
EPOCHS, BATCH_SIZE = 15, 50
"""The training of the plain network."""
FURTHER_EPOCHS, FURTHER_BATCH_SIZE = 10, 100
NOISE, STRENGTH, CLIP = f"{DEVICE}@1min..1y", "quadratic:start=0.3,to=1.3,until=0.5", dp.ClipWeights(sigmas=2.0)
"""The training of the demo."""
PAIRS = (
    ("plain, uncompensated", "plain, compensated"),
    ("plain, compensated", "noise-trained, compensated"),
    ("plain, recalibrated", "noise-trained, recalibrated"),
    ("plain, compensated", "trained on, compensated"),
    ("plain, compensated", "clipped only, compensated"),
    ("plain, compensated", "noise only, compensated"),
    ("clipped only, compensated", "noise-trained, compensated"),
    ("noise only, compensated", "noise-trained, compensated"),
)


def plain(seed: int) -> nn.Module:
    """Return the network after an ordinary training of a few seconds."""
    torch.manual_seed(seed)
    return dp.train(
        digits_resnet(), digits("train"), epochs=EPOCHS, batch_size=BATCH_SIZE, optimizer="adamw", lr=0.01, seed=seed
    ).model


def trained_further(network: nn.Module, method: Method) -> nn.Module:
    return dp.train(
        network, digits("train"), method=method, epochs=FURTHER_EPOCHS, batch_size=FURTHER_BATCH_SIZE, lr=0.1
    ).model


def networks(seed: int) -> dict[str, nn.Module]:
    first = plain(seed)
    methods: dict[str, Method] = {
        "noise-trained": dp.RWP(noise=NOISE, strength=STRENGTH, clip=CLIP, seed=seed),
        "trained on": Plain(seed=seed),
        "clipped only": Plain(clip=CLIP, seed=seed),
        "noise only": dp.RWP(noise=NOISE, strength=STRENGTH, seed=seed),
    }
    return {"plain": first} | {name: trained_further(first, method) for name, method in methods.items()}


def records(seed: int) -> Iterator[dp.Record]:
    """Yield the record of each network and of what is corrected on its chips."""
    recalibration = Recalibration(digits("train"), when="time", samples=200)
    for name, network in networks(seed).items():
        for corrected in ("uncompensated", "compensated", "recalibrated"):
            if name not in ("plain", "noise-trained") and corrected != "compensated":
                continue
            if (name, corrected) != ("noise-trained", "uncompensated"):
                yield dp.evaluate(
                    network,
                    digits(),
                    presets=DEVICE,
                    times=TIMES,
                    chips=CHIPS,
                    compensation="none" if corrected == "uncompensated" else "tile",
                    recalibrate=recalibration if corrected == "recalibrated" else None,
                    seed=seed,
                    label=f"{name}, {corrected}",
                )


def main() -> None:
    torch.set_num_threads(1)
    accuracy, gains = [], []
    for seed in SEEDS:
        by_label = {}
        for record in records(seed):
            summary = dp.summarise(record)
            accuracy.append(summary.assign(seed=seed))
            by_label[str(summary["label"].iloc[0])] = record
        for pair in PAIRS:
            found = dp.compare([by_label[label] for label in pair])
            gains.append(found.assign(seed=seed, a=pair[0], b=pair[1]))
        columns = ["seed", "label", "preset", "t_s", "mean", "ci95_new_low", "ci95_new_high", "worst", "chips"]
        pd.concat(accuracy)[columns].round(2).to_csv(HERE / "accuracy.csv", index=False)
        columns = ["seed", "a", "b", "t_s", "mean_a", "mean_b", "difference", "ci95_new_low", "ci95_new_high"]
        pd.concat(gains)[columns].round(2).to_csv(HERE / "gains.csv", index=False)


if __name__ == "__main__":
    main()
