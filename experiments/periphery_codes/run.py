"""Do both backends give the same ADC codes, and the same accuracy, with an 8-bit periphery without noise?

    python experiments/periphery_codes/run.py --data ROOT --weights resnet20-12fca82f.th

Writes codes.csv (layer by layer) and accuracy.csv beside this file.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from driftproof import Chip, load_preset, map_model
from driftproof.arrays import AnalogArray, Ranges, input_ranges
from driftproof.calls import Interception, Located, Parameters, Product
from driftproof.conversion.grid import TileGrid
from driftproof.data import cifar10
from driftproof.evaluation import FoldedNetwork
from driftproof.evaluation.backends import TilesNetwork
from driftproof.inputs import Inputs
from driftproof.mapping import Mapping
from driftproof.periphery import DynamicRange, Periphery, StaticRange, adc_codes, load_periphery
from driftproof.zoo import load_model

HERE = Path(__file__).parent
QUIET = load_periphery("standard").without_noise()
PERIPHERIES = {
    "static": QUIET,
    "static, maximum": QUIET.with_changes(input_range=StaticRange(method="maximum")),
    "dynamic": QUIET.with_changes(input_range=DynamicRange()),
}


class Codes:
    """Stands around aihwkit's product in one tile and keeps the codes that its ADC gave."""

    def __init__(self, inner: Any, periphery: Periphery, kept: list[Tensor]) -> None:
        self.inner, self.periphery, self.kept = inner, periphery, kept

    def matmul(self, weight: Tensor, x: Tensor, pars: Any, *args: object, **named: object) -> Tensor:
        scale = self.inner._compute_noise_management(x, pars.noise_management, pars)
        scaling = isinstance(scale, Tensor)
        factor = 1.0 / torch.where(scale <= 0, 1.0, scale) if scaling else 1.0
        prepared = self.inner._prepare_input(x, factor, scaling, False, pars)
        _, y = self.inner._finalize_output(self.inner._matmul(weight, prepared), pars)
        self.kept.append(adc_codes(y, self.periphery))
        outputs: Tensor = self.inner.matmul(weight, x, pars, *args, **named)
        return outputs


def layer_by_layer(
    kind: str,
    model: torch.nn.Module,
    images: Inputs,
    mapping: Mapping,
    ranges: Ranges,
    tiles: TilesNetwork,
    chip: Chip,
    t_s: float,
) -> list[dict[str, object]]:
    """Give each layer's inputs, as the digital network has them, to both backends' arrays; compare the codes."""
    periphery, rows = PERIPHERIES[kind], list[dict[str, object]]()
    grids = {m.mapped.name: m for m in tiles.model.modules() if isinstance(m, TileGrid)}

    def compare(where: Located, product: Product, compute: Callable[[], Tensor]) -> Tensor:
        mapped, grid = mapping.weights[where.name], grids[where.name]
        fast = AnalogArray(mapped, periphery=periphery, ranges=ranges)
        codes = fast.forward.reads.readout.codes = []
        reading = chip.read(where.name, t_s)
        fast.load(reading)
        fast.multiply(product)
        kept: list[Tensor] = []
        tiles_of: list[Any] = [piece.tile for piece in grid.pieces]
        for tile in tiles_of:
            tile._analog_mvm = Codes(tile._analog_mvm, periphery, kept)
        geometry = product.geometry
        grid(geometry.vectors(geometry.prepare(product.inputs)))
        for tile in tiles_of:
            tile._analog_mvm = tile._analog_mvm.inner
        different = total = 0
        for split, levels in enumerate(codes):
            ours = adc_codes(levels, periphery)
            ours = ours.movedim(1, -1) if ours.dim() == 4 and kind.startswith("static") else ours
            theirs = [k for k, place in zip(kept, grid.places, strict=True) if place[0] == split]
            slow = torch.cat(theirs, dim=-1)
            different += int((ours.reshape(slow.shape) != slow).sum())
            total += slow.numel()
        rows.append({"periphery": kind, "layer": where.name, "codes": total, "different": different})
        return compute()

    weights = [(name, model.get_parameter(f"{w.path}.weight")) for name, w in mapping.weights.items()]
    with torch.no_grad(), Interception(lambda: Parameters(weights), compare):
        model(images)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True)
    parser.add_argument("--weights", required=True)
    parser.add_argument("--images", type=int, default=2000)
    arguments = parser.parse_args()
    model = load_model("resnet20", arguments.weights).model
    data = cifar10(arguments.data).head(arguments.images)
    calibration = cifar10(arguments.data, "train").head(500)
    example = next(iter(data.batches(8)))[0]
    mapping = map_model(model, example=example)
    images = next(iter(data.batches(100)))[0]
    codes: list[dict[str, object]] = []
    accuracy: list[dict[str, object]] = []
    for kind, periphery in PERIPHERIES.items():
        ranges = input_ranges(model, mapping, periphery, (inputs for inputs, _ in calibration.batches(100)))
        folded = FoldedNetwork(model, mapping, example, periphery=periphery, ranges=ranges)
        tiles = TilesNetwork(model, mapping, periphery, ranges)
        for preset, t_s in (("ideal", 0.0), ("pcm-nandakumar-2019", 86400.0)):
            chip = Chip(mapping, load_preset(preset), seed=0, chip=0)
            folded.load(chip, t_s)
            tiles.load(chip, t_s)
            right = {"folded": 0, "tiles": 0, "both": 0}
            for inputs, targets in data.batches(250):
                a, b = folded(inputs).argmax(1), tiles(inputs).argmax(1)
                right["folded"] += int((a == targets).sum())
                right["tiles"] += int((b == targets).sum())
                right["both"] += int((a == b).sum())
            row: dict[str, object] = {"periphery": kind, "preset": preset, "images": len(data)}
            row |= {"folded": 100 * right["folded"] / len(data), "tiles": 100 * right["tiles"] / len(data)}
            accuracy.append(row | {"same_class": 100 * right["both"] / len(data)})
            print(accuracy[-1], flush=True)
        codes += layer_by_layer(kind, model, images, mapping, ranges, tiles, chip, t_s)
        pd.DataFrame(codes).to_csv(HERE / "codes.csv", index=False, lineterminator="\n")
        pd.DataFrame(accuracy).to_csv(HERE / "accuracy.csv", index=False, lineterminator="\n")
    table = pd.DataFrame(codes).groupby("periphery")[["codes", "different"]].sum()
    print(table.assign(equal_percent=100 * (1 - table["different"] / table["codes"])))


if __name__ == "__main__":
    main()
