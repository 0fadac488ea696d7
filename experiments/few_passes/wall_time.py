"""How long do the commands take? See README.md.

    python experiments/few_passes/wall_time.py --data ROOT --weights resnet20-12fca82f.th

Runs ``driftproof evaluate`` with --ci 0.5 for each cell of run.py, and for comparison on all images of a few chips. The
time of the full design is that of the few chips, and the median duration of a cell for each further chip. Times
contain everything: imports, programming, pilot, digital pass, report. A row that wall_time.csv has already is not
measured again.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pandas as pd

HERE = Path(__file__).parent
TIMES = HERE / "wall_time.csv"
CELLS = (
    ("pcm-nandakumar-2019", "1s"),
    ("pcm-nandakumar-2019", "1d"),
    ("pcm-nandakumar-2019", "1y"),
    ("reram-wan-2022", "1d"),
)
FEW = 3


def timed(arguments: argparse.Namespace, device: str, t: str, *more: str) -> tuple[float, list[float], pd.DataFrame]:
    """Run the command; return its duration, those of the cells of chips in ascending order, and the summary."""
    with tempfile.TemporaryDirectory() as out:
        command = [sys.executable, "-m", "driftproof", "evaluate", "resnet20", "--weights", arguments.weights]
        command += ["--data", f"cifar10:{arguments.data}", "--preset", device, "--times", t, "--out", out, *more]
        start = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        wall = time.perf_counter() - start
        subprocess.run([sys.executable, "-m", "driftproof", "export", out, "--format", "json"], check=True)
        cells = json.loads((Path(out) / "cells.json").read_text("utf-8"))["cells"]
        seconds = sorted(cell["seconds"] for cell in cells if cell["preset"] == device)
        return wall, seconds, pd.read_csv(f"{out}/summary.csv")


def row_of(arguments: argparse.Namespace, device: str, t: str, full_chips: int) -> dict[str, Any]:
    few, cells, _ = timed(arguments, device, t, "--chips", str(FEW))
    narrow, _, summary = timed(arguments, device, t, "--ci", "0.5")
    full = few + (full_chips - FEW) * cells[len(cells) // 2]
    row = summary[summary["preset"] == device].iloc[0]
    return {
        "device": device,
        "time": t,
        "full_chips": full_chips,
        "full_s": full,
        "narrow_s": narrow,
        "full_by_narrow": full / narrow,
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
