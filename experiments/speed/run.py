"""What does evaluating one chip cost, relative to a forward pass of plain PyTorch? See README.md.

    python experiments/speed/run.py            # or: make bench

The network is ResNet-20, the inputs are 2,000 random images of CIFAR's shape in batches of 250. Times are medians of
paired runs in one process. The script writes results.csv beside this file and prints the table.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import torch

from driftproof import Chip, load_preset, map_model
from driftproof.evaluation import FoldedNetwork, TilesNetwork
from driftproof.zoo import resnet20

HERE = Path(__file__).parent
DAY = 86400.0
PLAIN, CELL = "plain PyTorch forward pass", "folded cell"


def steps_of(arguments: argparse.Namespace) -> dict[str, tuple[Callable[[], object], int]]:
    """Return every step that is timed, with its number of repetitions."""
    torch.manual_seed(0)
    model, preset = resnet20().eval(), load_preset(arguments.preset)
    batches = list(torch.split(torch.randn(arguments.images, 3, 32, 32), arguments.batch_size))
    mapping = map_model(model, example=batches[0][:8])
    folded, tiles = FoldedNetwork(model, mapping, batches[0][:8]), TilesNetwork(model, mapping)
    chips = iter(range(10**6))

    def program() -> Chip:
        return Chip(mapping, preset, seed=0, chip=next(chips))

    @torch.inference_mode()
    def forward(network: Callable[[torch.Tensor], torch.Tensor]) -> None:
        for batch in batches:
            network(batch)

    def cell(network: FoldedNetwork | TilesNetwork) -> None:
        network.load(program(), DAY)
        forward(network)

    ready, repeats = program(), arguments.repeats
    return {
        PLAIN: (lambda: forward(model), repeats),
        CELL: (lambda: cell(folded), repeats),
        "  of it: program a chip": (program, repeats),
        "  of it: drift, read, compensate, fold": (lambda: folded.load(ready, DAY), repeats),
        "  of it: forward pass": (lambda: forward(folded), repeats),
        "tiles cell (aihwkit)": (lambda: cell(tiles), arguments.tiles_repeats),
    }


def timed(steps: dict[str, tuple[Callable[[], object], int]]) -> dict[str, list[float]]:
    """Return the seconds of each run; the steps alternate, so that a slow minute of the machine slows all of them."""
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for step, _ in steps.values():
        step()  # warm up
    for repeat in range(max(repeats for _, repeats in steps.values())):
        for name, (step, repeats) in steps.items():
            if repeat < repeats:
                start = time.perf_counter()
                step()
                seconds[name].append(time.perf_counter() - start)
    return seconds


def table_of(seconds: dict[str, list[float]]) -> pd.DataFrame:
    """Return medians, and medians of ratios; each run is divided by the plain run or the folded cell next to it."""
    rows = []
    for name, runs in seconds.items():
        row: dict[str, object] = {"what": name, "median_s": round(statistics.median(runs), 4)}
        for column, reference in (("to_plain", PLAIN), ("to_folded_cell", CELL)):
            ratios = [a / b for a, b in zip(runs, seconds[reference], strict=False)]
            row[column] = round(statistics.median(ratios), 3)
        rows.append(row | {"runs": len(runs)})
    return pd.DataFrame(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--batch-size", type=int, default=250)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--tiles-repeats", type=int, default=5)
    parser.add_argument("--preset", default="pcm-nandakumar-2019")
    arguments = parser.parse_args()
    table = table_of(timed(steps_of(arguments)))
    table.to_csv(HERE / "results.csv", index=False, lineterminator="\n")
    threads = torch.get_num_threads()
    print(f"resnet20, {arguments.images} images, batch {arguments.batch_size}, {threads} threads, {arguments.preset}")
    print(table.to_string(index=False))


if __name__ == "__main__":
    main()
