"""How long do the commands take? See README.md.

    python experiments/few_passes/wall_time.py --data ROOT --weights resnet20-12fca82f.th

Runs ``driftproof evaluate`` with --ci 0.5 for each cell of run.py, and for comparison on all images of a few chips. The
time of the full design is that of the few chips, and the median duration of a cell for each further chip. Times of
commands contain everything: imports, programming, pilot, digital pass, report. Those of passes are without imports,
setting up and the report: the durations of all cells in the record, with programming, pilot, digital pass and perfect
devices. A row that wall_time.csv has already is not measured again.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Hashable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

HERE = Path(__file__).parent
TIMES = HERE / "wall_time.csv"
CELLS = (
    ("pcm-nandakumar-2019", "1s"),
    ("pcm-nandakumar-2019", "1d"),
    ("pcm-nandakumar-2019", "1y"),
    ("reram-wan-2022", "1d"),
)
FEW = 2


@dataclass(frozen=True)
class Timed:
    """A command: its duration, those of its cells without and with chips, and the row of its device in the summary."""

    wall_s: float
    without_chips_s: float
    cells_s: list[float]
    row: pd.Series


def timed(arguments: argparse.Namespace, device: str, t: str, *more: str) -> Timed:
    with tempfile.TemporaryDirectory() as out:
        command = [sys.executable, "-m", "driftproof", "evaluate", "resnet20", "--weights", arguments.weights]
        command += ["--data", f"cifar10:{arguments.data}", "--preset", device, "--times", t, "--out", out, *more]
        start = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        wall = time.perf_counter() - start
        export = [sys.executable, "-m", "driftproof", "export", out, "--format", "json"]
        subprocess.run(export, check=True, capture_output=True)
        cells = json.loads((Path(out) / "cells.json").read_text("utf-8"))["cells"]
        summary = pd.read_csv(f"{out}/summary.csv")
    seconds = [[cell["seconds"] for cell in cells if (cell["preset"] == device) is chips] for chips in (False, True)]
    return Timed(wall, sum(seconds[0]), seconds[1], summary[summary["preset"] == device].iloc[0])


def row_of(arguments: argparse.Namespace, device: str, t: str, full_chips: int) -> dict[Hashable, Any]:
    few, narrow = timed(arguments, device, t, "--chips", str(FEW)), timed(arguments, device, t, "--ci", "0.5")
    cell, row = float(np.median(few.cells_s)), narrow.row
    commands = few.wall_s + (full_chips - FEW) * cell, narrow.wall_s
    passes = few.without_chips_s + full_chips * cell, narrow.without_chips_s + sum(narrow.cells_s)
    return {
        "device": device,
        "time": t,
        "full_chips": full_chips,
        "full_s": commands[0],
        "narrow_s": commands[1],
        "full_by_narrow": commands[0] / commands[1],
        "full_passes_s": passes[0],
        "narrow_passes_s": passes[1],
        "passes_full_by_narrow": passes[0] / passes[1],
        "chips": row["chips"],
        "samples": row["passes"],
        "drop": row["drop"],
        "half_width": (row["drop_ci95_high"] - row["drop_ci95_low"]) / 2,
        "half_width_new": (row["drop_ci95_new_high"] - row["drop_ci95_new_low"]) / 2,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="folder with cifar-10-batches-py")
    parser.add_argument("--weights", required=True, help="file resnet20-12fca82f.th")
    arguments = parser.parse_args()
    results = pd.read_csv(HERE / "results.csv").query("design == 'stratified'")
    table = pd.read_csv(TIMES).to_dict("records") if TIMES.exists() else []
    for (device, t), full_chips in zip(CELLS, results["full_chips"], strict=True):
        if (device, t) not in [(row["device"], row["time"]) for row in table]:
            table.append(row_of(arguments, device, t, int(full_chips)))
            pd.DataFrame(table).round(3).to_csv(TIMES, index=False, lineterminator="\n")
    print(pd.DataFrame(table).round(2).to_string(index=False))


if __name__ == "__main__":
    main()
