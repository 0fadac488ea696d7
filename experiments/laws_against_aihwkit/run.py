"""Our device laws against aihwkit's own, on one network: accuracy of many chips each, and why they differ.

    python experiments/laws_against_aihwkit/run.py --data ROOT --weights resnet20-12fca82f.th

Appends one line per cell to results.csv and goes on where it was stopped; `analyse.py` makes the table.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from aihwkit.inference import PCMLikeNoiseModel, ReRamWan2022NoiseModel
from torch import Tensor

from driftproof import load_preset, map_model
from driftproof.arrays import ArrayReading
from driftproof.chip import Chip
from driftproof.compensation import factor, mean_magnitude
from driftproof.data import cifar10
from driftproof.devices import ProgrammedArray, generator
from driftproof.evaluation import FoldedNetwork
from driftproof.evaluation.metrics import METRICS
from driftproof.evaluation.score import score
from driftproof.laws import PairEncoding, PowerDrift
from driftproof.mapping import MappedWeight, Mapping
from driftproof.times import parse_times
from driftproof.zoo import load_model

HERE = Path(__file__).parent
TIMES = {"pcm-nandakumar-2019": "1s,1d,1y", "reram-wan-2022": "1s,1d"}
# g_max = 40 for ReRAM: aihwkit's default of 25 makes its relative noise 1.6 times too large
THEIRS: dict[str, Callable[[], Any]] = {
    "pcm-nandakumar-2019": lambda: PCMLikeNoiseModel(g_max=25.0),
    "reram-wan-2022": lambda: ReRamWan2022NoiseModel(g_max=40.0),
}

type Nets = Callable[[MappedWeight, float | None], Tensor]


def compensated(mapping: Mapping, nets: Nets, t_s: float) -> dict[str, ArrayReading]:
    """One factor per tile, by our estimator, whatever law made the arrays (None is the end of programming)."""
    readings = {}
    for name, mapped in mapping.weights.items():
        now = nets(mapped, t_s)
        reference = mean_magnitude(mapped, nets(mapped, None), "tile")
        readings[name] = ArrayReading(now, mapped.scale, factor(reference, mean_magnitude(mapped, now, "tile")))
    return readings


def aihwkit_chip(preset: str, mapping: Mapping, chip: int) -> Nets:
    """Program a chip with aihwkit's noise model, tile by tile on column-wise scaled weights, as its tiles call it."""
    torch.manual_seed(1_000_000 + chip)
    model = THEIRS[preset]()
    programmed: dict[tuple[str, int, int], tuple[Tensor, Any]] = {}
    for mapped in mapping.weights.values():
        for i, rows in enumerate(mapped.rows):
            for j, columns in enumerate(mapped.columns):
                programmed[mapped.name, i, j] = model.apply_programming_noise(mapped.target[columns, rows])

    def nets(mapped: MappedWeight, t_s: float | None) -> Tensor:
        out = torch.empty_like(mapped.target)
        for i, rows in enumerate(mapped.rows):
            for j, columns in enumerate(mapped.columns):
                weights, state = programmed[mapped.name, i, j]
                out[columns, rows] = weights if t_s is None else model.apply_drift_noise(weights, state, t_s)
        return out

    return nets


def split_again(array: ProgrammedArray, mapped: MappedWeight, t_s: float | None, rescale: bool) -> Tensor:
    """Our PCM devices, but the pair is dropped after programming, as aihwkit does: only G⁺ − G⁻ drifts.

    With ``rescale`` also its second step: each tile's largest noisy weight becomes g_max before it drifts.
    """
    net = array.net(0.0, read_noise=False)
    if t_s is None:
        return net
    preset, out = array.preset, torch.empty_like(net)
    conductance, drift, read = preset.conductance, preset.drift, preset.read
    assert isinstance(conductance, PairEncoding)
    assert isinstance(drift, PowerDrift)
    assert read is not None
    assert array.life is not None
    nu, g_max_us = array.life.view(2, *net.shape), conductance.g_max_us
    for rows in mapped.rows:
        for columns in mapped.columns:
            part = net[columns, rows]
            gain = float(part.abs().max()) if rescale else 1.0
            sides = []
            for side, sign in enumerate((1.0, -1.0)):
                g = (part * sign / gain).clamp(min=0) * g_max_us
                drifted = drift.after(g, nu[side][columns, rows], t_s)
                sigma = read.sigma_us(drifted, g / g_max_us, t_s)
                key = f"{array.layer}|{rows.start}|{columns.start}"
                source = generator(array.seed, array.chip, key, "read+" if side == 0 else "read-", g.device, t_s)
                sides.append((drifted + sigma * torch.randn(g.shape, generator=source)).clamp(min=0))
            out[columns, rows] = (sides[0] - sides[1]) / g_max_us * gain
    return out


def our_chip(preset: str, mapping: Mapping, chip: int, variant: str) -> Nets:
    arrays = Chip(mapping, load_preset(preset), seed=0, chip=chip, compensation="none").arrays
    if variant == "ours":
        return lambda mapped, t_s: arrays[mapped.name].net(t_s or 0.0, read_noise=t_s is not None)
    rescale = variant == "ours, pair dropped and rescaled"

    def nets(mapped: MappedWeight, t_s: float | None) -> Tensor:
        array = arrays[mapped.name]
        assert isinstance(array, ProgrammedArray)
        return split_again(array, mapped, t_s, rescale)

    return nets


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True)
    parser.add_argument("--weights", required=True)
    parser.add_argument("--chips", type=int, default=100)
    parser.add_argument("--images", type=int, default=2000)
    arguments = parser.parse_args()

    model = load_model("resnet20", arguments.weights).model
    data = cifar10(arguments.data).head(arguments.images)
    example = next(iter(data.batches(8)))[0]
    mapping = map_model(model, example=example)
    network = FoldedNetwork(model, mapping, example)

    path = HERE / "results.csv"
    done = set()
    if path.exists():
        with path.open(newline="") as file:
            done = {(row["law"], row["preset"], int(row["chip"]), float(row["t_s"])) for row in csv.DictReader(file)}
    else:
        path.write_text("law,preset,chip,t_s,accuracy\n")
    with path.open("a", newline="") as file:
        for chip in range(arguments.chips):
            for preset, times in TIMES.items():
                variants = ["ours", "aihwkit"]
                if preset == "pcm-nandakumar-2019":
                    variants += ["ours, pair dropped", "ours, pair dropped and rescaled"]
                for law in variants:
                    theirs = law == "aihwkit"
                    nets = aihwkit_chip(preset, mapping, chip) if theirs else our_chip(preset, mapping, chip, law)
                    for t_s in parse_times(times):
                        readings = compensated(mapping, nets, t_s)  # in order: aihwkit draws from torch's global state
                        if (law, preset, chip, t_s) in done:
                            continue
                        network.write(readings)
                        what = f"{law} {preset} chip {chip}"
                        value = score(METRICS["accuracy"], network, data, 250, torch.device("cpu"), what).value
                        csv.writer(file).writerow([law, preset, chip, t_s, value])
                        file.flush()


if __name__ == "__main__":
    main()
