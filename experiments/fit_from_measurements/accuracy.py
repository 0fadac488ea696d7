"""Does a fitted preset give the accuracy of the device that was measured?

    DATA=folder with cifar-10-batches-py  WEIGHTS=resnet20-12fca82f.th \
        python experiments/fit_from_measurements/accuracy.py

The script fits one synthetic data set (seed 0), writes fitted.toml, and evaluates ResNet-20 on the true and on the
fitted preset with the same random numbers. It writes the two accuracies of each chip to accuracy.csv and prints their
paired difference with its 95 % interval. ``--network digits-cnn --chips 3`` is a quick test, which leaves the tracked
files unchanged.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
import tempfile
from pathlib import Path

from scipy.stats import t as student

sys.path.append(str(Path(__file__).parents[1]))
from fit_from_measurements.synthetic import DESIGNS, PRESET, write_measurements

import driftproof as dp
from driftproof.data import load_data
from driftproof.fitting import fit_measurements, preset_text, read_measurements
from driftproof.zoo import load_model

HERE = Path(__file__).parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", default="resnet20")
    parser.add_argument("--chips", type=int, default=30)
    parser.add_argument("--limit", type=int, default=1000)
    parser.add_argument("--time", default="1y")
    parser.add_argument("--design", choices=DESIGNS, default="from 1 uS")
    arguments = parser.parse_args()
    trial = arguments.network != "resnet20"
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) if trial else HERE
        preset = fit(out / "fitted.toml", arguments.design)
        weights, data = (None, "digits") if trial else (os.environ["WEIGHTS"], f"cifar10:{os.environ['DATA']}")
        loaded = load_model(arguments.network, weights)
        with dp.evaluate(
            loaded.model,
            load_data(data),
            presets=[dp.load_preset(PRESET), preset],
            times=[arguments.time],
            chips=arguments.chips,
            limit=None if trial else arguments.limit,
            seed=0,
            out=out / "out",
            name=loaded.name,
        ) as record:
            cells = record.cells()
        pairs = cells[cells["preset"].isin((PRESET, preset.name))]
        table = pairs.pivot(index="chip", columns="preset", values="value")[[PRESET, preset.name]]
        table.to_csv(out / "accuracy.csv", lineterminator="\n")
    difference = table[preset.name] - table[PRESET]
    count = len(difference)
    half = student.ppf(0.975, count - 1) * difference.std(ddof=1) / math.sqrt(count)
    print(f"{loaded.name}, {arguments.time}, {count} chips, mean accuracy in %:")
    print(table.mean().round(2).to_string())
    print(
        f"fitted - true: {difference.mean():+.2f} ({difference.mean() - half:+.2f} to {difference.mean() + half:+.2f})"
    )


def fit(path: Path, design: str) -> dp.DevicePreset:
    """Fit the measurements of seed 0 and write the preset."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "synthetic.csv"
        write_measurements(file, design, seed=0)
        measurements = read_measurements(file)
    text = preset_text(
        fit_measurements(measurements),
        measurements,
        name="fitted",
        title=f"Synthetic measurements of {PRESET}",
        family="PCM",
    )
    path.write_text(text, encoding="utf-8", newline="\n")
    return dp.load_preset(path)


if __name__ == "__main__":
    main()
