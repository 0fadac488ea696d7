"""Where is SAM better than random weight perturbation, and where does it fail? See README.md.

    python experiments/over_regularisation/run.py --data ROOT
    python experiments/sam_vs_rwp/run.py --data ROOT

The results of plain training and RWP are those of the first script, with the same networks, seeds and chips.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

sys.path.append(str(Path(__file__).parents[1]))
import small_scale as small
from small_scale import GREEN, GREY, INK, RED

from driftproof.figures import render

HERE = Path(__file__).parent
RHO = (0.02, 0.05, 0.1, 0.13, 0.16, 0.2, 0.3)
# as many gradients as SAM has: twice the epochs, or two gradients per update
TWICE = ["plain x2", *(f"rwp gaussian:{sigma:g} x2" for sigma in (0.05, 0.1, 0.2, 0.3))]
TWO_POINT = [f"two-point gaussian:{sigma:g}" for sigma in (0.1, 0.2, 0.3)]
METHODS = {
    "digits": [*(f"sam {rho:g}" for rho in RHO), *TWICE, *TWO_POINT],
    "mnist": [*(f"sam {rho:g}" for rho in RHO[:-1]), *(name for name in TWICE if "0.05" not in name)],
}
TEST = (0, 0.05, 0.1, 0.15, 0.2, 0.3)
# method → colour and name in the figure; the table contains all methods
DRAWN = {f"rwp gaussian:{s}": (c, f"σ {s}") for s, c in ((0.1, "#9ecae1"), (0.2, "#4292c6"), (0.3, "#08519c"))}
DRAWN |= {f"rwp gaussian:{s} x2": (c, f"σ {s} ×2") for s, c in ((0.2, "#74c476"), (0.3, GREEN))}
DRAWN |= {f"sam {rho}": (c, f"ρ {rho}") for rho, c in ((0.05, "#fdae6b"), (0.1, "#E69F00"), (0.16, RED))}
CONDITIONS = small.GAUSSIAN
FAMILIES = ("plain", "sam", "rwp", "plain2", "rwp2")
PAIRS = [("sam", "rwp"), ("sam", "rwp2"), ("sam", "toughest"), ("sam", "plain"), ("sam", "plain2"), ("rwp", "plain")]


def matrices(seeds: pd.DataFrame) -> pd.DataFrame:
    """Return mean and interval over seeds of the test accuracy: one row per method, one column per σ_test."""
    rows = []
    for (data, method), group in seeds.groupby(["data", "method"], sort=False):
        cells = {f"{test:g}": small.interval_text(g["test"]) for test, g in group.groupby("sigma_test")}
        rows.append({"data": data, "method \\ test": method} | cells)
    return pd.DataFrame(rows)


def differences(seeds: pd.DataFrame) -> pd.DataFrame:
    """Return test accuracies of the settings that are best on validation images and other chips, for each σ_test."""
    rows = []
    for (data, test), group in seeds.groupby(["data", "sigma_test"]):
        chosen_on = group.pivot(index="method", columns="seed", values="validation").mean(axis=1)
        reported = group.pivot(index="method", columns="seed", values="test")
        families = chosen_on.index.map(small.family)
        best = {name: str(chosen_on[families == name].idxmax()) for name in FAMILIES if (families == name).any()}
        # "better than every RWP" in the strictest sense: better than the RWP that is best on the test images
        rwps = reported[[name.startswith("rwp") for name in families]]
        best["toughest"] = str(rwps.mean(axis=1).idxmax())
        row: dict[str, Any] = {"data": data, "sigma_test": test, "seeds": reported.shape[1]} | best
        row |= {f"{name}_test": reported.loc[method].mean() for name, method in best.items()}
        for one, other in PAIRS:
            if other not in best:
                continue
            gain, arm = small.student(reported.loc[best[one]] - reported.loc[best[other]])
            row |= {f"{one}_minus_{other}": gain, f"{one}_minus_{other}_arm": arm}
        rows.append(row)
    return pd.DataFrame(rows)


def costs(folders: Sequence[Path]) -> pd.DataFrame:
    """Return gradients and seconds of a training, mean over the settings of a kind and over seeds."""
    epochs = pd.concat([pd.read_csv(folder / "epochs.csv") for folder in folders])
    sums = epochs.groupby(["data", "method", "seed"]).agg(
        epochs=("epoch", "max"), stopped=("stopped", "any"), seconds=("seconds", "sum")
    )
    sums = sums[~sums["stopped"]].reset_index()  # trainings that ended early cost less
    twice = sums["method"].str.endswith(f" {small.TWICE}").map({True: f" {small.TWICE}", False: ""})
    sums["kind"] = sums["method"].str.split().str[0] + twice
    table = sums.groupby(["data", "kind"]).agg(epochs=("epochs", "max"), seconds=("seconds", "mean")).reset_index()
    table["gradients_per_update"] = table["kind"].map({"sam": 2, "two-point": 2}).fillna(1).astype(int)
    return table.assign(passes_over_the_data=table["epochs"] * table["gradients_per_update"])


def draw(seeds: pd.DataFrame) -> Figure:
    """Draw the gain over plain training against σ_test, one line per setting of SAM and of RWP."""
    figure = Figure(figsize=(10.4, 5.6), layout="constrained")
    groups = list(seeds.groupby("data"))
    panels = figure.subplots(1, len(groups), sharey=True, squeeze=False)[0]
    for axes, (data, group) in zip(panels, groups, strict=True):
        plain = group[group["method"] == "plain"].set_index(["seed", "sigma_test"])["test"]
        ends = []
        for place, (method, (colour, label)) in enumerate(DRAWN.items()):
            line = group[group["method"] == method]
            if line.empty:
                continue
            gain = line.set_index(["seed", "sigma_test"])["test"] - plain
            points = gain.dropna().groupby("sigma_test").agg(list).map(small.student)
            means, arms = [p[0] for p in points], [p[1] for p in points]
            if means[0] < -15:
                continue  # the training failed; the table contains it
            at = [x + 0.0012 * (place - len(DRAWN) / 2) for x in points.index]  # beside each other
            style = "-" if method.startswith("rwp") else (0, (4, 1.5))
            axes.errorbar(at, means, yerr=arms, color=colour, lw=1.6, ls=style, elinewidth=0.9, marker="o", ms=3.5)
            ends.append((means[-1], label, colour))
        heights = [math.log10(max(end, 1)) for end, *_ in sorted(ends)]
        for place in range(1, len(heights)):
            heights[place] = max(heights[place], heights[place - 1] + 0.19)
        for height, (_, label, colour) in zip(heights, sorted(ends), strict=True):
            axes.annotate(
                label,
                (TEST[-1], 10**height),
                (9, 0),
                textcoords="offset points",
                color=colour,
                va="center",
                fontsize=8.5,
            )
        axes.axhline(0, color=INK, lw=1)
        axes.annotate("plain", (TEST[-1], 0), (9, 7), textcoords="offset points", color=INK, va="center", fontsize=8.5)
        axes.set_yscale("symlog", linthresh=1, linscale=1.5)
        axes.set_ylim(-12, 90)
        ticks = (-10, -3, -1, -0.5, 0, 0.5, 1, 3, 10, 30)
        axes.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
        axes.set_yticks([], minor=True)
        axes.set_title(f"{data}, {group['seed'].nunique()} seeds", loc="left", fontweight="bold", fontsize=10)
        axes.set_xlabel("σ of the test")
        axes.set_xlim(-0.015, 0.35)
        axes.set_xticks(TEST, [f"{test:g}" for test in TEST])
        axes.grid(axis="y", color="#e6e6e6", lw=0.8)
    panels[0].set_ylabel("gain over plain training in points of test accuracy")
    figure.suptitle(
        "Dashed: SAM with ρ; blue: RWP with the σ of the training; green: RWP for twice the epochs, with as many "
        "gradients as SAM. The axis is\nlinear from -1 to 1 and logarithmic beyond. Failed trainings are left out. "
        "Paired differences, mean and 95 % interval over seeds, on the same 10 chips",
        fontsize=8.5, color=GREY, x=0.01, ha="left",
    )  # fmt: skip
    return figure


def main() -> None:
    root, start = small.data_root(__doc__), time.perf_counter()
    for make in small.TASKS.values():
        task = make(root)
        rates = small.learning_rates(small.RATES, task, METHODS[task.name], CONDITIONS)
        small.study(HERE / "out", task, METHODS[task.name], CONDITIONS, rates, small.SEEDS[task.name])
    sam_seeds = small.complete(small.by_seed(HERE / "out" / "cells.csv"))
    sam_seeds.to_csv(HERE / "seeds.csv", index=False, lineterminator="\n")
    others = pd.read_csv(HERE.parent / "over_regularisation" / "seeds.csv", keep_default_na=False)
    seeds = small.complete(pd.concat([others, sam_seeds], ignore_index=True))
    seeds = seeds.assign(sigma_test=seeds["device"].map(small.sigma_of))
    folders = [HERE / "out", HERE.parent / "over_regularisation" / "out"]
    tables = {"matrix": matrices(seeds), "differences": differences(seeds).round(3), "costs": costs(folders).round(2)}
    for name, table in tables.items():
        table.to_csv(HERE / f"{name}.csv", index=False, lineterminator="\n")
        print(table.to_string(index=False))
    (HERE / "sam_vs_rwp.png").write_bytes(render(draw, seeds)[1])
    print(f"{(time.perf_counter() - start) / 60:.1f} minutes")


if __name__ == "__main__":
    main()
