"""Does a network that relaxes on the hardware hold better than one that is read through? See README.md.

    python experiments/energy_algorithms/run.py --data ROOT --only dchn-mnist-c-ep
    python experiments/energy_on_devices/run.py --data ROOT [--processes N] [--torch-device cuda]

The plain Hopfield networks are those of the first script. Trainings and records are kept in out/, so that a stopped run
continues. The results are written beside this file.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from safetensors.torch import load_file
from scipy import stats
from torch import Tensor, nn

import driftproof as dp
from driftproof.energy import CenteredEP, HopfieldNetwork, repair
from driftproof.evaluation import Evaluator, Trial
from driftproof.times import format_time

HERE = Path(__file__).parent
sys.path.append(str(HERE.parent))
from energy_algorithms.trainings import TASKS  # noqa: E402  # a folder beside this one

TASK = TASKS["dchn-mnist"]
DEVICES = {"pcm-nandakumar-2019": "1s..1y", "pcm-hermes-2": "1min..1y", "reram-wan-2022": "1s..1d"}
"""Device → range of times whose noise is trained with, all within the device's range of validity."""
TIMES = {"pcm-nandakumar-2019": "1s,1d,1y", "pcm-hermes-2": "1min,1d,1y", "reram-wan-2022": "1s,1h,1d"}
FEEDBACK = ("same", "second", "digital")
SEEDS, CHIPS, TESTED = range(2), 10, 1000
REPAIRED, UPDATES, REPAIR_LR, PULSE, REPAIR_CHIPS = 1000, 150, 0.02, 0.005, 3
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


@dataclass(frozen=True)
class Setting:
    """Where the data is, and what to compute on."""

    data: Path
    torch_device: str

    def trained(self, name: str, model: nn.Module, seed: int, **changes: Any) -> nn.Module:
        """Return a trained network; a training that was made before is read, one that was stopped goes on."""
        torch.set_num_threads(1)
        torch.backends.cudnn.allow_tf32 = False  # products in float32 on every device
        folder = HERE / "out" / f"{name}-{seed}"
        if (folder / "done").exists():
            model.load_state_dict(load_file(folder / "last.safetensors"))
            return model.eval()
        options = TASK.settings | {"seed": seed, "progress": False, "torch_device": self.torch_device} | changes
        made = dp.train(model, TASK.images(self.data, "train"), out=folder, **options)
        (folder / "done").touch()
        return made.model.cpu()


def hopfield(setting: Setting, seed: int, device: str | None) -> nn.Module:
    """Return the Hopfield network that was trained with C-EP, with the noise of a device or without."""
    torch.manual_seed(seed)
    network = TASK.untrained()
    if device is None:
        folder = f"dchn-mnist-c-ep-{seed}-{TASK.settings['epochs']}"
        network.load_state_dict(load_file(HERE.parent / "energy_algorithms" / "out" / folder / "last.safetensors"))
        return network.eval()
    noise = f"{device}@{DEVICES[device]}"
    method = CenteredEP(beta=TASK.beta, perturbed_iterations=TASK.perturbed, noise=noise, seed=seed)
    return setting.trained(f"hopfield-{device}", network, seed, method=method)


def through(setting: Setting, seed: int, device: str | None) -> nn.Module:
    """Return the feed-forward network, trained without noise, and then with RWP and the noise of a device."""
    torch.manual_seed(seed)
    changes: dict[str, Any] = {"lr": 0.05, "optimizer": "sgd", "loss": "cross-entropy"}
    plain = setting.trained("read-through", read_through(), seed, method=dp.Plain(), **changes)
    if device is None:
        return plain
    method = dp.RWP(noise=f"{device}@{DEVICES[device]}", seed=seed)
    return setting.trained(f"read-through-{device}", plain, seed, method=method, **changes)


NETWORKS = {"hopfield": hopfield, "read through": through}


def measure(setting: Setting, kind: str, noisy: bool, device: str, seed: int) -> pd.DataFrame:
    """Return the accuracies of a network on the chips of a device."""
    network = NETWORKS[kind](setting, seed, device if noisy else None)
    name = f"{kind}, {'with noise' if noisy else 'plain'}"
    test, rows = TASK.images(setting.data, "test").head(TESTED), []
    for feedback in FEEDBACK if isinstance(network, HopfieldNetwork) else ("",):
        if isinstance(network, HopfieldNetwork):
            network.set_feedback(feedback)  # type: ignore[arg-type]
        folder = HERE / "out" / f"{device}-{seed}" / f"{name} {feedback}".strip().replace(", ", "-").replace(" ", "-")
        record = dp.evaluate(
            network,
            test,
            presets=device,
            times=TIMES[device],
            chips=CHIPS,
            out=folder,
            progress=False,
            torch_device=setting.torch_device,
        )
        cells, own = record.to_pandas(), record.network_measures()
        cells = cells.assign(network=name, feedback=feedback, seed=seed)
        rows.append(cells.merge(own, on=["config_id", "preset", "t_s"], how="left"))
        record.close()
    return pd.concat(rows)


def repairs(setting: Setting, compensation: str, device: str, seed: int) -> pd.DataFrame:
    """Return accuracies before and after the repair of chips at the last time, with the pulses that it took."""
    torch.set_num_threads(1)
    images, test = (TASK.images(setting.data, part) for part in ("train", "test"))
    plain, time, rows = hopfield(setting, seed, None), TIMES[device].split(",")[-1], []
    for chip in range(REPAIR_CHIPS):
        made = repair(
            plain,
            device,
            images.head(REPAIRED),
            time=time,
            method=CenteredEP(beta=TASK.beta, perturbed_iterations=TASK.perturbed),
            updates=UPDATES,
            lr=REPAIR_LR,
            pulse=PULSE,
            batch_size=32,
            chip=chip,
            compensation=compensation,
        )
        before, after = (Evaluator(of, test.head(TESTED))(Trial(None)).value for of in (made.before, made.model))
        row: dict[str, Any] = {"device": device, "time": time, "compensation": compensation, "seed": seed, "chip": chip}
        row |= {"before": before, "after": after, "pulses": made.pulses, "pulsed": made.pulsed}
        rows.append(row | {"devices": made.devices, "updates": UPDATES})
    return pd.DataFrame(rows)


def drops(cells: pd.DataFrame) -> pd.DataFrame:
    """Return what each network loses on chips, with the half-width of the 95 % interval over chips of these seeds."""
    own = ["network", "feedback", "seed"]
    cells = cells.assign(feedback=cells["feedback"].fillna("")).drop(columns="digital")
    digital = cells[cells["preset"] == "digital"].groupby(own)["value"].mean().rename("digital")
    chips = cells[~cells["preset"].isin(["digital", "ideal-analog"])].join(digital, on=own)
    chips["drop"] = chips["digital"] - chips["value"]
    rows = []
    for (preset, time, network, feedback), group in chips.groupby(["preset", "t_s", "network", "feedback"], sort=False):
        # a digital accuracy on the same images is the same number for all chips of a seed
        free = len(group) - group["seed"].nunique()
        within = group["drop"] - group.groupby("seed")["drop"].transform("mean")
        half = stats.t.ppf(0.975, free) * ((within**2).sum() / free / len(group)) ** 0.5
        row = {"preset": preset, "time": format_time(float(str(time))), "network": network, "feedback": feedback}
        row |= {
            "chips": len(group),
            "digital": round(group["digital"].mean(), 2),
            "drop": round(group["drop"].mean(), 2),
        }
        told = {name: float(f"{group[name].mean():.3g}") for name in ("residual", "symmetry_error")}
        rows.append(row | {"half_width": round(half, 2)} | told)
    return pd.DataFrame(rows)


def kept(path: Path, function: Any, *arguments: Any) -> pd.DataFrame:
    """Return a table that was made before, or make it."""
    if not path.exists():
        path.parent.mkdir(exist_ok=True)
        function(*arguments).to_csv(path, index=False)
    print(path.name, flush=True)
    return pd.read_csv(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with MNIST/raw")
    parser.add_argument("--processes", type=int, default=1, help="networks at a time, each with one thread")
    parser.add_argument("--torch-device", default="cpu", help="device to compute on, cpu or cuda (default: cpu)")
    parser.add_argument("--only", choices=("cells", "repairs"), help="the one table to make (default: both)")
    options = parser.parse_args()
    setting, out = Setting(options.data, options.torch_device), HERE / "out"
    with ProcessPoolExecutor(options.processes) as pool:
        trainings = [pool.submit(through, setting, seed, None) for seed in SEEDS]
        trainings += [pool.submit(hopfield, setting, seed, device) for seed in SEEDS for device in DEVICES]
        jobs: dict[str, list[Any]] = {"cells": [], "repairs": []}
        for training in trainings:
            training.result()
        trainings = [pool.submit(through, setting, seed, device) for seed in SEEDS for device in DEVICES]
        for training in trainings:
            training.result()
        for seed, device in itertools.product(SEEDS, DEVICES):
            for kind, noisy in itertools.product(NETWORKS, (False, True)):
                path = out / f"cells-{kind.replace(' ', '-')}-{'noisy' if noisy else 'plain'}-{device}-{seed}.csv"
                jobs["cells"].append((path, measure, setting, kind, noisy, device, seed))
            for compensation in ("none", "tile"):
                path = out / f"repairs-{compensation}-{device}-{seed}.csv"
                jobs["repairs"].append((path, repairs, setting, compensation, device, seed))
        for name in [options.only] if options.only else list(jobs):
            tables = [pool.submit(kept, *job) for job in jobs[name]]
            pd.concat([table.result() for table in tables]).to_csv(HERE / f"{name}.csv", index=False)
    drops(pd.read_csv(HERE / "cells.csv")).to_csv(HERE / "drops.csv", index=False)


if __name__ == "__main__":
    main()
