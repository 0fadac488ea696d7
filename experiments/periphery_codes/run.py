"""Do both backends give the same ADC codes, and the same accuracy, with an 8-bit periphery without noise?

    python experiments/periphery_codes/run.py --data ROOT --weights resnet20-12fca82f.th

The script writes codes.csv (layer by layer) and accuracy.csv beside this file. The codes of `folded` are computed here
from the sums that reach the ADCs, those of `tiles` from the outputs of aihwkit's tiles.
"""

from __future__ import annotations

import argparse
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import torch
from aihwkit.simulator.tiles.module import TileModule
from torch import Tensor, nn

from driftproof import Chip, load_preset, map_model
from driftproof.arrays import input_ranges
from driftproof.data import TensorData, cifar10
from driftproof.evaluation import FoldedNetwork, TilesNetwork
from driftproof.periphery import DynamicRange, Periphery, Stage, StaticRange, Sums, load_periphery
from driftproof.zoo import load_model

HERE = Path(__file__).parent
QUIET = load_periphery("standard").without_noise()
PERIPHERIES = {
    "static": QUIET,
    "static, maximum": QUIET.with_changes(input_range=StaticRange(method="maximum")),
    "dynamic": QUIET.with_changes(input_range=DynamicRange()),
}
CHIPS = {"ideal": 0.0, "pcm-nandakumar-2019": 86400.0}  # device → time in s
KEPT: list[Tensor] = []


class KeepSums(Stage):
    """Keeps the sums that reach the ADCs, [..., columns], and changes nothing."""

    stage: Literal["keep-sums"] = "keep-sums"

    def apply(self, sums: Sums) -> Tensor:
        KEPT.append(sums.values.movedim(sums.axis, -1).clone())
        return sums.values

    def __str__(self) -> str:
        return "keep the sums"


def codes_of(sums: Tensor, periphery: Periphery) -> Tensor:
    """Return the ADC's codes of normalised sums: rounded to steps, ties to even, and clipped."""
    assert periphery.adc_bits is not None
    assert periphery.adc_full_scale is not None
    most = 2 ** (periphery.adc_bits - 1) - 1
    step = 2 * periphery.adc_full_scale * (1 / (2**periphery.adc_bits - 2))
    codes: Tensor = (sums / step).round().clamp(-most, most).to(torch.int32)
    return codes


def inputs_by_layer(network: nn.Module, names: list[str], images: Tensor) -> Iterator[tuple[str, nn.Module, Tensor]]:
    """Yield each layer as a network with the same layer name, and its inputs in the digital network."""
    layers = {name: network.get_submodule(name) for name in names}
    inputs: dict[str, Tensor] = {}
    hooks = [
        layer.register_forward_pre_hook(lambda _, arguments, name=name: inputs.update({name: arguments[0].clone()}))
        for name, layer in layers.items()
    ]
    with torch.no_grad():
        network(images)
    for hook in hooks:
        hook.remove()
    for name, layer in layers.items():
        alone = layer
        for part in reversed(name.split(".")):
            alone = nn.Sequential(OrderedDict({part: alone}))
        yield name, alone, inputs[name]


def folded_codes(
    alone: nn.Module, x: Tensor, periphery: Periphery, ranges: Any, chip: Chip, t_s: float
) -> list[Tensor]:
    """Return the codes of one layer on the backend `folded`, [vectors, out] for each row split."""
    network = FoldedNetwork(
        alone, chip.mapping, x[:8], periphery=periphery.with_changes(stages=(KeepSums(),)), ranges=ranges
    )
    network.load(chip, t_s)
    KEPT.clear()
    network(x)
    splits = len(next(iter(chip.mapping.weights.values())).rows)
    codes = [codes_of(sums, periphery).flatten(0, -2) for sums in KEPT]
    return [torch.cat(codes[split::splits]) for split in range(splits)]


def tiles_codes(alone: nn.Module, x: Tensor, periphery: Periphery, ranges: Any, chip: Chip, t_s: float) -> list[Tensor]:
    """Return the codes of one layer on aihwkit's tiles, [vectors, out] for each row split.

    The output of a tile is its ADC level times the input range and the scale of the column; both are divided out here.
    """
    network = TilesNetwork(alone, chip.mapping, periphery, ranges)
    network.load(chip, t_s)
    ((name, mapped),) = chip.mapping.weights.items()
    tiles = [module for module in network.model.modules() if isinstance(module, TileModule)]
    outputs: list[Tensor] = []

    def keep(tile: Any, arguments: tuple[Tensor, ...], output: Tensor) -> None:
        split = tiles.index(tile) // len(mapped.columns)
        reach = arguments[0].abs().amax(dim=-1, keepdim=True) if not ranges else torch.tensor(ranges[name][split])
        outputs.append(codes_of(output / tile.get_scales() / torch.where(reach > 0, reach, 1.0), periphery))

    for tile in tiles:
        tile.register_forward_hook(keep)
    network(x)
    count = len(mapped.columns)
    return [torch.cat(outputs[first : first + count], dim=-1) for first in range(0, len(outputs), count)]


def layer_by_layer(kind: str, model: nn.Module, images: Tensor, ranges: Any) -> list[dict[str, object]]:
    """Compare the codes of every layer, on the same chip and the same inputs."""
    rows: list[dict[str, object]] = []
    preset, t_s = "pcm-nandakumar-2019", CHIPS["pcm-nandakumar-2019"]
    names = list(map_model(model, example=images[:8]).weights)
    for name, alone, x in inputs_by_layer(model, names, images):
        chip = Chip(map_model(alone, example=x[:8]), load_preset(preset), seed=0, chip=0)
        of_layer = {name: ranges[name]} if ranges else {}
        fast, slow = (codes(alone, x, PERIPHERIES[kind], of_layer, chip, t_s) for codes in (folded_codes, tiles_codes))
        pairs = list(zip(fast, slow, strict=True))
        different = sum(int((a != b).sum()) for a, b in pairs)
        rows.append({"periphery": kind, "layer": name, "codes": sum(a.numel() for a, _ in pairs)})
        rows[-1]["different"] = different
    return rows


def compare_accuracy(kind: str, model: nn.Module, data: TensorData, ranges: Any) -> Iterator[dict[str, object]]:
    """Yield the accuracy of both backends on one chip of each device, and how often they agree, in percent."""
    example = next(iter(data.batches(8)))[0]
    mapping, periphery = map_model(model, example=example), PERIPHERIES[kind]
    folded = FoldedNetwork(model, mapping, example, periphery=periphery, ranges=ranges)
    tiles = TilesNetwork(model, mapping, periphery, ranges)
    for preset, t_s in CHIPS.items():
        chip = Chip(mapping, load_preset(preset), seed=0, chip=0)
        folded.load(chip, t_s)
        tiles.load(chip, t_s)
        right = {"folded": 0, "tiles": 0, "same_class": 0}
        for inputs, targets in data.batches(250):
            a, b = folded(inputs).argmax(1), tiles(inputs).argmax(1)
            right["folded"] += int((a == targets).sum())
            right["tiles"] += int((b == targets).sum())
            right["same_class"] += int((a == b).sum())
        shares = {name: 100 * count / len(data) for name, count in right.items()}
        yield {"periphery": kind, "preset": preset, "images": len(data), **shares}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--weights", required=True)
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--code-images", type=int, default=100)
    arguments = parser.parse_args()
    model = load_model("resnet20", arguments.weights).model
    data = cifar10(arguments.data).head(arguments.images)
    assert isinstance(data, TensorData)
    calibration = cifar10(arguments.data, "train").head(500)
    mapping = map_model(model, example=next(iter(data.batches(8)))[0])
    images = next(iter(cifar10(arguments.data).batches(arguments.code_images)))[0]
    assert isinstance(images, Tensor)
    codes: list[dict[str, object]] = []
    accuracy: list[dict[str, object]] = []
    for kind, periphery in PERIPHERIES.items():
        ranges = input_ranges(model, mapping, periphery, (inputs for inputs, _ in calibration.batches(100)))
        for row in compare_accuracy(kind, model, data, ranges):
            accuracy.append(row)
            print(row, flush=True)
        codes += layer_by_layer(kind, model, images, ranges)
        pd.DataFrame(codes).to_csv(HERE / "codes.csv", index=False, lineterminator="\n")
        pd.DataFrame(accuracy).to_csv(HERE / "accuracy.csv", index=False, lineterminator="\n")
    table = pd.DataFrame(codes).groupby("periphery")[["codes", "different"]].sum()
    print(table.assign(equal_percent=100 * (1 - table["different"] / table["codes"])))


if __name__ == "__main__":
    main()
