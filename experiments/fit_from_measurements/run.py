"""Do the intervals of ``driftproof presets fit`` cover the truth? See README.md.

    python experiments/fit_from_measurements/run.py --repetitions 100

The script fits synthetic measurements repeatedly, on one thread. It appends a row per repetition and parameter to
repetitions.csv, skips repetitions that the file contains, writes coverage.csv and prints it.
"""

from __future__ import annotations

import argparse
import csv
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd
import torch

sys.path.append(str(Path(__file__).parents[1]))
from fit_from_measurements.synthetic import DESIGNS, truth, write_measurements

from driftproof.fitting import fit_measurements, read_measurements

HERE = Path(__file__).parent
ROWS = HERE / "repetitions.csv"
COLUMNS = ("design", "seed", "parameter", "truth", "value", "low95", "high95", "seconds")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=100)
    parser.add_argument(
        "--design", choices=DESIGNS, action="append", help="design to fit; repeat the option for several (default: all)"
    )
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    done: set[tuple[str, int]] = set()
    if ROWS.exists():
        rows = pd.read_csv(ROWS)
        done = set(zip(rows["design"], rows["seed"], strict=True))
    else:
        with ROWS.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file, lineterminator="\n").writerow(COLUMNS)
    for design in arguments.design or DESIGNS:
        for seed in range(arguments.repetitions):
            if (design, seed) not in done:
                repeat(design, seed)
    table = coverage(pd.read_csv(ROWS))
    table.to_csv(HERE / "coverage.csv", index=False, lineterminator="\n")
    print(table.to_string(index=False))


def repeat(design: str, seed: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "measured.csv"
        write_measurements(path, design, seed)
        start = time.perf_counter()
        device = fit_measurements(read_measurements(path))
        seconds = time.perf_counter() - start
    true_values = truth(design)
    fitted = {parameter.name: parameter for parameter in device.fit.parameters}
    assert set(fitted) == set(true_values), f"seed {seed}: {set(fitted) ^ set(true_values)}"
    assert not device.warnings, f"seed {seed}: {device.warnings}"
    lines = []
    for name, true in true_values.items():
        ends = ["" if end is None else f"{end:.6g}" for end in (fitted[name].low95, fitted[name].high95)]
        lines.append([design, seed, name, f"{true:.6g}", f"{fitted[name].value:.6g}", *ends, f"{seconds:.2f}"])
    with ROWS.open("a", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(lines)
    print(f"{design}, seed {seed}: {seconds:.1f} s", flush=True)


def coverage(rows: pd.DataFrame) -> pd.DataFrame:
    """Count how often the interval of each parameter covers the truth; an open end covers all values on its side."""
    rows = rows.assign(
        covered=(rows["low95"].isna() | (rows["low95"] <= rows["truth"]))
        & (rows["high95"].isna() | (rows["truth"] <= rows["high95"])),
        width=rows["high95"] - rows["low95"],
        error=rows["value"] - rows["truth"],
        open=rows["high95"].isna(),
    )
    groups = rows.groupby(["design", "parameter"], sort=False)
    table = groups.agg(
        truth=("truth", "first"),
        repetitions=("seed", "count"),
        covered=("covered", "sum"),
        mean=("value", "mean"),
        bias=("error", "mean"),
        sd=("value", "std"),
        mean_width=("width", "mean"),
        open_above=("open", "sum"),
        median_seconds=("seconds", "median"),
    ).reset_index()
    table.insert(7, "bias_in_sd", (table["bias"] / table["sd"]).round(2))
    for start in (0, 100, 200):
        block = (
            rows[rows["seed"].between(start, start + 99)].groupby(["design", "parameter"], sort=False)["covered"].sum()
        )
        places = table.set_index(["design", "parameter"]).index
        table[f"covered_seeds_{start}_to_{start + 99}"] = block.reindex(places).astype("Int64").array
    return table.round(dict.fromkeys(("mean", "bias", "sd", "mean_width", "median_seconds"), 5))


if __name__ == "__main__":
    main()
