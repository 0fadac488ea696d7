"""Does a network that relaxes on the hardware hold better than one that is read through? See README.md.

    python experiments/energy_algorithms/run.py --data ROOT --only dchn-mnist-c-ep
    python experiments/energy_on_devices/run.py --data ROOT

The plain Hopfield networks are those of the first script. Trainings and records are kept in out/, so that a stopped run
continues. The results are written beside this file.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

import driftproof as dp
from driftproof.data import Data
from driftproof.energy import CenteredEP, HopfieldNetwork, repair
from driftproof.evaluation import Evaluator, Trial

HERE = Path(__file__).parent
sys.path.append(str(HERE.parent))
from energy_algorithms.trainings import TASKS  # noqa: E402  # a folder beside this one

TASK = TASKS["dchn-mnist"]
DEVICES = {"pcm-nandakumar-2019": "1s..1y", "pcm-hermes-2": "1min..1y", "reram-wan-2022": "1s..1d"}
"""Device → range of times whose noise is trained with, all within the device's range of validity."""
TIMES = {"pcm-nandakumar-2019": "1s,1d,1y", "pcm-hermes-2": "1min,1d,1y", "reram-wan-2022": "1s,1h,1d"}
FEEDBACK = ("same", "second", "digital")
SEEDS, CHIPS, TESTED = range(2), 10, 1000
REPAIRED, UPDATES, REPAIR_LR, PULSE, REPAIR_CHIPS = 1000, 150, 0.02, 0.005, 5
"""Training images that a chip is repaired with, updates of 32 images, learning rate, pulse, and number of chips."""


class Unit(nn.Module):
    """The activation of a Hopfield network's hidden layers."""

    def forward(self, x: Tensor) -> Tensor:
        return x.clamp(0, 1)


def read_through() -> nn.Module:
    """Return a feed-forward network with the weights' shapes, pooling and activations of the Hopfield network."""
    layers: list[nn.Module] = [nn.ZeroPad2d(2)]
    for inputs, outputs in ((1, 16), (16, 32), (32, 32)):
        layers += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.MaxPool2d(2), Unit()]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(512, 10))


def networks(device: str, seed: int, images: Data, root: Path) -> Iterator[tuple[str, nn.Module]]:
    """Yield the trained networks for a device, by name; trainings that were made before are read."""
    when = DEVICES[device]
    out = HERE / "out"
    plain = TASK.untrained()
    folder = f"dchn-mnist-c-ep-{seed}-{TASK.settings['epochs']}"
    plain.load_state_dict(load_file(HERE.parent / "energy_algorithms" / "out" / folder / "last.safetensors"))
    yield "hopfield, plain", plain.eval()
    method = CenteredEP(beta=TASK.beta, perturbed_iterations=TASK.perturbed, noise=f"{device}@{when}", seed=seed)
    torch.manual_seed(seed)
    options = TASK.settings | {"seed": seed, "progress": False}
    made = dp.train(
        TASK.untrained(),
        images,
        method=method,
        out=out / f"hopfield-{device}-{seed}",
        **options,
    )
    yield "hopfield, with noise", made.model
    torch.manual_seed(seed)
    options |= {"lr": 0.05, "optimizer": "sgd", "loss": "cross-entropy"}
    through = dp.train(read_through(), images, out=out / f"read-through-{seed}", **options)
    yield "read through, plain", through.model
    robust = dp.RWP(noise=f"{device}@{when}", seed=seed)
    noisy = dp.train(through.model, images, method=robust, out=out / f"read-through-{device}-{seed}", **options)
    yield "read through, with noise", noisy.model


def measure(device: str, seed: int, root: Path) -> pd.DataFrame:
    """Return the accuracies of all networks on the chips of a device."""
    test, rows = TASK.images(root, "test").head(TESTED), []
    for name, network in networks(device, seed, TASK.images(root, "train"), root):
        for feedback in FEEDBACK if isinstance(network, HopfieldNetwork) else ("",):
            if isinstance(network, HopfieldNetwork):
                network.set_feedback(feedback)  # type: ignore[arg-type]
            folder = (
                HERE / "out" / f"{device}-{seed}" / f"{name} {feedback}".strip().replace(", ", "-").replace(" ", "-")
            )
            record = dp.evaluate(
                network, test, presets=device, times=TIMES[device], chips=CHIPS, out=folder, progress=False
            )
            cells, own = record.to_pandas(), record.network_measures()
            cells = cells.assign(network=name, feedback=feedback, seed=seed)
            rows.append(cells.merge(own, on=["config_id", "preset", "t_s"], how="left"))
            record.close()
    return pd.concat(rows)


def repairs(device: str, seed: int, root: Path) -> pd.DataFrame:
    """Return accuracies before and after the repair of chips at the last time, with the pulses that it took."""
    images, test = TASK.images(root, "train").head(REPAIRED), TASK.images(root, "test").head(TESTED)
    _, plain = next(networks(device, seed, images, root))
    time, rows = TIMES[device].split(",")[-1], []
    for compensation in ("none", "tile"):
        for chip in range(REPAIR_CHIPS):
            made = repair(
                plain,
                device,
                images,
                time=time,
                method=CenteredEP(beta=TASK.beta, perturbed_iterations=TASK.perturbed),
                updates=UPDATES,
                lr=REPAIR_LR,
                pulse=PULSE,
                batch_size=32,
                chip=chip,
                compensation=compensation,
            )
            before, after = (Evaluator(network, test)(Trial(None)).value for network in (made.before, made.model))
            row: dict[str, Any] = {
                "device": device,
                "time": time,
                "compensation": compensation,
                "seed": seed,
                "chip": chip,
            }
            row |= {"before": before, "after": after, "pulses": made.pulses, "pulsed": made.pulsed}
            rows.append(row | {"devices": made.devices, "updates": UPDATES})
    return pd.DataFrame(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with MNIST/raw")
    options = parser.parse_args()
    torch.set_num_threads(1)
    for seed in SEEDS:
        for device in DEVICES:
            for name, function in (("repairs", repairs), ("cells", measure)):
                path = HERE / "out" / f"{name}-{device}-{seed}.csv"
                if not path.exists():
                    path.parent.mkdir(exist_ok=True)
                    function(device, seed, options.data).to_csv(path, index=False)
                print(path.name, flush=True)
    for name in ("repairs", "cells"):
        files = [HERE / "out" / f"{name}-{device}-{seed}.csv" for seed in SEEDS for device in DEVICES]
        pd.concat(map(pd.read_csv, files)).to_csv(HERE / f"{name}.csv", index=False)


if __name__ == "__main__":
    main()
