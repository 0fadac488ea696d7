"""What one chip costs: medians of paired runs in one process, as ratios to the plain PyTorch forward pass.

    python experiments/speed/run.py            # or: make bench

ResNet-20, batch 250, 2,000 images of CIFAR's shape (random numbers: the time does not depend on them).
Writes results.csv beside this file and prints the table.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import torch

from driftproof import load_preset, map_model
from driftproof.chip import Chip
from driftproof.evaluation import FoldedNetwork
from driftproof.evaluation.backends import TilesNetwork
from driftproof.zoo import resnet20

HERE = Path(__file__).parent
DAY = 86400.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--batch-size", type=int, default=250)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--tiles-repeats", type=int, default=5)
    parser.add_argument("--preset", default="pcm-nandakumar-2019")
    arguments = parser.parse_args()

    torch.manual_seed(0)
    model, preset = resnet20().eval(), load_preset(arguments.preset)
    images = torch.randn(arguments.images, 3, 32, 32)
    batches = list(torch.split(images, arguments.batch_size))
    mapping = map_model(model, example=batches[0][:8])
    folded, tiles = FoldedNetwork(model, mapping, batches[0][:8]), TilesNetwork(model, mapping)
    chips = iter(range(10**6))

    def program() -> Chip:
        return Chip(mapping, preset, seed=0, chip=next(chips))

    @torch.inference_mode()
    def forward(network: Callable[[torch.Tensor], torch.Tensor]) -> None:
        for batch in batches:
            network(batch)

    def folded_cell() -> None:
        folded.load(program(), DAY)
        forward(folded)

    def tiles_cell() -> None:
        tiles.load(program(), DAY)
        forward(tiles)

    ready = program()
    steps: dict[str, tuple[Callable[[], object], int]] = {
        "plain PyTorch forward pass": (lambda: forward(model), arguments.repeats),
        "folded cell": (folded_cell, arguments.repeats),
        "  of it: program a chip": (program, arguments.repeats),
        "  of it: drift, read, compensate, fold": (lambda: folded.load(ready, DAY), arguments.repeats),
        "  of it: forward pass": (lambda: forward(folded), arguments.repeats),
        "tiles cell (aihwkit)": (tiles_cell, arguments.tiles_repeats),
    }
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for step, _ in steps.values():
        step()  # warm up
    for repeat in range(arguments.repeats):
        for name, (step, repeats) in steps.items():
            if repeat < repeats:
                start = time.perf_counter()
                step()
                seconds[name].append(time.perf_counter() - start)

    plain, cell = seconds["plain PyTorch forward pass"], seconds["folded cell"]
    rows = []
    for name, own in seconds.items():
        # paired: each run against the plain run beside it
        ratios = [a / b for a, b in zip(own, plain, strict=False)]
        rows.append(
            {
                "what": name,
                "median_s": round(statistics.median(own), 4),
                "to_plain": round(statistics.median(ratios), 3),
                "to_folded_cell": round(statistics.median([a / b for a, b in zip(own, cell, strict=False)]), 3),
                "runs": len(own),
            }
        )
    table = pd.DataFrame(rows)
    table.to_csv(HERE / "results.csv", index=False, lineterminator="\n")
    threads = torch.get_num_threads()
    print(f"resnet20, {arguments.images} images, batch {arguments.batch_size}, {threads} threads, {preset.name}")
    print(table.to_string(index=False))


if __name__ == "__main__":
    main()
