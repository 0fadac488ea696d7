"""Write table.csv and poster.png from the results of run.py.

python experiments/poster/table.py
"""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

sys.path.append(str(Path(__file__).parents[1]))
import small_scale as small
from small_scale import BLUE, GREY, INK, RED

from driftproof.figures import render

HERE = Path(__file__).parent
BITS = {"levels:255": 8, "levels:63": 6, "levels:15": 4, "levels:7": 3, "levels:3": 2}
COLOURS = {"standard": INK, "naive noise": GREY, "SAM": BLUE, "multi-step SAM": "#6aaed6", "RWP": RED}
TASKS = {"mnist": "MNIST, trained from scratch, 5 seeds", "resnet20": "ResNet-20, fine-tuned, 1 seed"}


def table() -> pd.DataFrame:
    """Return mean and interval by task, method and condition: over seeds for MNIST, over chips for ResNet-20."""
    rows = []
    for task in TASKS:
        cells = pd.read_csv(HERE / f"{task}.csv")
        unit = "seed" if cells["seed"].nunique() > 1 else "chip"
        mean = cells.groupby(["method", "device", unit])["accuracy"].mean()
        seconds = cells.groupby(["method", "seed"])["training_seconds"].first()
        for method in COLOURS:
            cost = (seconds[method] / seconds["standard"]).median()
            for device in cells["device"].unique():
                accuracies, standard = mean[method, device], mean["standard", device]
                (accuracy, arm), (gain, gain_arm) = small.student(accuracies), small.student(accuracies - standard)
                rows.append((task, method, device, accuracy, arm, gain, gain_arm, len(accuracies), unit, cost))
    columns = ["task", "method", "condition", "accuracy", "arm", "gain", "gain_arm", "n", "over", "training_time"]
    return pd.DataFrame(rows, columns=columns)


def draw(results: pd.DataFrame) -> Figure:
    """Draw the accuracy against noise and against bits, one row per task."""
    figure = Figure(figsize=(9, 7), layout="constrained")
    grid = figure.subplots(len(TASKS), 2, gridspec_kw={"width_ratios": (3, 2)})
    for (task, title), (left, right) in zip(TASKS.items(), grid, strict=True):
        for method, colour in COLOURS.items():
            rows = results[(results["task"] == task) & (results["method"] == method)].set_index("condition")
            noise = rows[rows.index.str.startswith("gaussian") | (rows.index == "ideal")]
            noise = noise.set_axis([100 * float(name.partition(":")[2] or 0) for name in noise.index]).sort_index()
            left.errorbar(noise.index, noise["accuracy"], noise["arm"], color=colour, marker="o", ms=3.5, label=method)
            bits = rows.loc[list(BITS)].set_axis(list(BITS.values()))
            right.plot(range(len(bits)), bits["accuracy"], color=colour, marker="o", ms=3.5)
        left.set(xlabel="Gaussian noise in % of the column's largest weight", ylabel="test accuracy in %")
        left.set_title(title, loc="left", fontsize=10)
        left.set_xticks([0, 2, 5, 10, 15, 20])
        right.set(xlabel="bits of a weight")
        right.set_xticks(range(len(BITS)), [str(bits) for bits in BITS.values()])
        for axes in (left, right):
            axes.set_ylim(0, 100)
            axes.grid(axis="y", color="#e6e6e6", lw=0.8)
            axes.spines[["top", "right"]].set_visible(False)
    grid[0][0].legend(frameon=False, fontsize=9, loc="lower left", bbox_to_anchor=(0, 0.14))
    return figure


def main() -> None:
    results = table()
    results.round(3).to_csv(HERE / "table.csv", index=False, lineterminator="\n")
    (HERE / "poster.png").write_bytes(render(draw, results)[1])
    for value in ("accuracy", "gain"):
        print(value)
        print(results.pivot(index=["task", "method"], columns="condition", values=value).round(2).to_string())


if __name__ == "__main__":
    main()
