"""Do our device laws give the same accuracy as aihwkit's noise models, and if not, why? See README.md.

    python experiments/laws_against_aihwkit/run.py --data ROOT --weights resnet20-12fca82f.th

The chips of aihwkit's noise models, and variants of our PCM chips with aihwkit's steps, are written to files and
evaluated as measured chips. The script appends one line per cell to results.csv and continues where it stopped;
`analyse.py` makes the table.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import math
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from aihwkit.inference import PCMLikeNoiseModel, ReRamWan2022NoiseModel
from torch import Tensor

from driftproof import Chip, Deployment, Evaluator, MappingOptions, Trial, load_preset
from driftproof.data import cifar10
from driftproof.measured import load_measured
from driftproof.times import parse_times
from driftproof.zoo import load_model

HERE = Path(__file__).parent
PCM = "pcm-nandakumar-2019"
TIMES = {PCM: parse_times("1s,1d,1y"), "reram-wan-2022": parse_times("1s,1d")}
# g_max = 40 for ReRAM: with aihwkit's default of 25 its relative noise is 1.6 times too large
AIHWKIT: dict[str, Callable[[], Any]] = {
    PCM: lambda: PCMLikeNoiseModel(g_max=25.0),
    "reram-wan-2022": lambda: ReRamWan2022NoiseModel(g_max=40.0),
}
DROPPED, RESCALED = "ours, pair dropped", "ours, pair dropped and rescaled"
DEVICE_TOML = """name = "{name}"
[conductance]
encoding = "pair"
g_min_us = 0.0
g_max_us = 1.0
"""

type Nets = dict[str, list[Tensor]]
"""Layer → its net weights after programming and at each time, [out, in], relative to the largest of their column."""


def tiles_of(mapped: Any) -> Iterator[tuple[slice, slice]]:
    """Yield the columns and the rows of each tile."""
    for rows in mapped.rows:
        for columns in mapped.columns:
            yield columns, rows


def aihwkit_chip(preset: str, weights: dict[str, Any], chip: int) -> Nets:
    """Program a chip with aihwkit's noise model, tile by tile on column-wise scaled weights, as its tiles do."""
    torch.manual_seed(1_000_000 + chip)
    model = AIHWKIT[preset]()
    programmed = {
        name: [model.apply_programming_noise(mapped.target[tile]) for tile in tiles_of(mapped)]
        for name, mapped in weights.items()
    }
    nets: Nets = {name: [joined(mapped, [w for w, _ in programmed[name]])] for name, mapped in weights.items()}
    for t_s in TIMES[preset]:  # time after time: aihwkit draws from torch's global state
        for name, mapped in weights.items():
            tiles = [model.apply_drift_noise(w, state, t_s) for w, state in programmed[name]]
            nets[name].append(joined(mapped, tiles))
    return nets


def joined(mapped: Any, tiles: list[Tensor]) -> Tensor:
    """Return the matrix that consists of these tiles."""
    matrix = torch.empty_like(mapped.target)
    for tile, values in zip(tiles_of(mapped), tiles, strict=True):
        matrix[tile] = values
    return matrix


def pcm_without_pairs(chip: Chip, rescale: bool) -> Nets:
    """Return our PCM chip with the pairs dropped after programming, as aihwkit drops them: only G⁺ − G⁻ drifts.

    With ``rescale`` aihwkit's second step is added: each tile's largest noisy weight becomes g_max before it drifts.
    """
    nets: Nets = {}
    g_max_us = load_preset(PCM).definition()["conductance"]["g_max_us"]
    for name, kept in chip.state().items():
        mapped = chip.weights[name]
        g_us, nu = (kept[part].view(2, *mapped.target.shape) for part in ("first", "life"))
        net = (g_us[0] / g_max_us).sub_(g_us[1], alpha=1 / g_max_us)
        nets[name] = [net]
        for t_s in TIMES[PCM]:
            tiles = []
            for columns, rows in tiles_of(mapped):
                key = f"driftproof|0|{chip.number}|{name}|{rows.start}|{columns.start}"
                tile, nu_of_tile = net[columns, rows], nu[:, columns, rows]
                gain = float(tile.abs().max()) if rescale else 1.0
                positive = read_pcm((tile / gain).clamp(min=0) * g_max_us, nu_of_tile[0], t_s, f"{key}|read+")
                negative = read_pcm((tile * -1 / gain).clamp(min=0) * g_max_us, nu_of_tile[1], t_s, f"{key}|read-")
                tiles.append((positive - negative) / g_max_us * gain)
            nets[name].append(joined(mapped, tiles))
    return nets


def read_pcm(g_us: Tensor, nu: Tensor, t_s: float, key: str) -> Tensor:
    """Return the conductances in µS at a time: the drift and the 1/f read noise of Nandakumar et al. 2019.

    Args:
        g_us: Programmed conductances in µS.
        nu: Drift exponent of each device.
        t_s: Time after programming in s.
        key: Text that seeds the read noise.
    """
    preset = load_preset(PCM).definition()
    read, t0_s = preset["read"], preset["drift"]["t0_s"]
    drifted = torch.exp(nu * -math.log((t_s + t0_s) / t0_s)) * g_us
    (q,) = read["q"]
    log_r = (g_us / preset["conductance"]["g_max_us"]).clamp(min=1e-30).log()
    relative = (torch.exp(log_r * q["exponent"]) * q["scale"]).clamp(max=q["max"])
    sigma = relative * drifted * math.sqrt(math.log((t_s + t0_s + read["t_read_s"]) / (2 * read["t_read_s"])))
    digest = hashlib.blake2b(f"{key}|{t_s!r}".encode(), digest_size=8).digest()
    source = torch.Generator().manual_seed(int.from_bytes(digest, "little"))
    noise: Tensor = sigma * torch.randn(g_us.shape, generator=source)
    return (drifted + noise).clamp(min=0)


def deployment_of(nets: Nets, preset: str, folder: Path) -> Deployment:
    """Write net weights as the conductances of a measured chip, at 0 s and at each time; return its deployment."""
    folder.mkdir()
    (folder / "device.toml").write_text(DEVICE_TOML.format(name=folder.name), encoding="utf-8")
    for name, reads in nets.items():
        net = torch.stack(reads).numpy()
        times = np.array([0.0, *TIMES[preset]])
        np.savez(folder / f"{name}.npz", t_s=times, g_plus_us=net.clip(min=0), g_minus_us=(-net).clip(min=0))
    return Deployment(device=load_measured(folder), compensation="tile")


def cells_of(evaluator: Evaluator, preset: str, law: str, chip: int) -> Iterator[tuple[float, float]]:
    """Yield each time and the accuracy of one chip of a law; drift is compensated per tile by our estimator."""
    mapping = evaluator.mapping(MappingOptions())
    with tempfile.TemporaryDirectory() as folder:
        if law == "ours":
            deployment, number = Deployment(device=preset, compensation="tile"), chip
        else:
            if law == "aihwkit":
                nets = aihwkit_chip(preset, mapping.weights, chip)
            else:
                nets = pcm_without_pairs(Chip(mapping, load_preset(preset), seed=0, chip=chip), law == RESCALED)
            deployment, number = deployment_of(nets, preset, Path(folder) / "chip"), 0
        for t_s in TIMES[preset]:
            yield t_s, evaluator(Trial(deployment, number, t_s)).value


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--weights", required=True)
    parser.add_argument("--chips", type=int, default=100)
    parser.add_argument("--images", type=int, default=2000)
    arguments = parser.parse_args()
    model = load_model("resnet20", arguments.weights).model
    evaluator = Evaluator(model, cifar10(arguments.data).head(arguments.images), batch_size=250)
    path = HERE / "results.csv"
    done = set()
    if path.exists():
        with path.open(newline="") as file:
            done = {(row["law"], row["preset"], int(row["chip"]), float(row["t_s"])) for row in csv.DictReader(file)}
    else:
        path.write_text("law,preset,chip,t_s,accuracy\n")
    for chip in range(arguments.chips):
        for preset in TIMES:
            for law in ("ours", "aihwkit", *((DROPPED, RESCALED) if preset == PCM else ())):
                if all((law, preset, chip, t_s) in done for t_s in TIMES[preset]):
                    continue
                for t_s, accuracy in cells_of(evaluator, preset, law, chip):
                    if (law, preset, chip, t_s) not in done:
                        with path.open("a", newline="") as file:
                            csv.writer(file).writerow([law, preset, chip, t_s, accuracy])


if __name__ == "__main__":
    main()
