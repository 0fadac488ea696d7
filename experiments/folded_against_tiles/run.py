"""Do the two backends give the same logits and the same accuracy on the same chips? See README.md.

    python experiments/folded_against_tiles/run.py --data ROOT --weights resnet20-12fca82f.th

The script writes results.csv beside this file.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor, nn

from driftproof import Chip, load_preset, map_model
from driftproof.data import TensorData, cifar10, digits
from driftproof.evaluation import FoldedNetwork, TilesNetwork
from driftproof.times import format_time, parse_times
from driftproof.zoo import load_model

HERE = Path(__file__).parent
CASES = (
    ("ideal", "1s", "none"),
    ("pcm-nandakumar-2019", "1s,1d,1y", "tile"),
    ("pcm-nandakumar-2019", "1y", "column"),
    ("reram-wan-2022", "1s,1d", "tile"),
    ("gaussian:0.05", "1s", "none"),
)


def logits(network: FoldedNetwork | TilesNetwork, data: TensorData) -> Tensor:
    return torch.cat([network(inputs) for inputs, _ in data.batches(250)])


def compare(name: str, model: nn.Module, data: TensorData, chips: int) -> list[dict[str, object]]:
    example = next(iter(data.batches(8)))[0]
    mapping = map_model(model, example=example)
    folded, tiles = FoldedNetwork(model, mapping, example), TilesNetwork(model, mapping)
    rows = []
    for preset, times, compensation in CASES:
        for number in range(chips if preset != "ideal" else 1):
            chip = Chip(mapping, load_preset(preset), seed=0, chip=number, compensation=compensation)
            for t_s in parse_times(times):
                folded.load(chip, t_s)
                tiles.load(chip, t_s)
                a, b = logits(folded, data), logits(tiles, data)
                right = [int((outputs.argmax(1) == data.targets).sum()) for outputs in (a, b)]
                rows.append(
                    {
                        "model": name,
                        "preset": preset,
                        "compensation": compensation,
                        "time": format_time(t_s),
                        "chip": number,
                        "largest_relative_difference": float(f"{float((a - b).abs().max() / b.abs().max()):.2g}"),
                        "right_folded": right[0],
                        "right_tiles": right[1],
                        "images": len(data),
                    }
                )
                print(rows[-1], flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True)
    parser.add_argument("--weights", required=True)
    parser.add_argument("--chips", type=int, default=3)
    arguments = parser.parse_args()
    rows = compare("digits-cnn", load_model("digits-cnn").model, digits(), arguments.chips)
    images = cifar10(arguments.data).head(2000)
    rows += compare("resnet20", load_model("resnet20", arguments.weights).model, images, arguments.chips)
    table = pd.DataFrame(rows)
    table.to_csv(HERE / "results.csv", index=False, lineterminator="\n")
    print(table.groupby("model")["largest_relative_difference"].max())
    print("cells whose accuracy differs:", int((table["right_folded"] != table["right_tiles"]).sum()), "of", len(table))


if __name__ == "__main__":
    main()
