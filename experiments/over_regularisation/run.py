"""Should a network be trained with more noise than the test has? See README.md.

    python experiments/over_regularisation/run.py --data ROOT

Every finished training is stored in out/, so that a stopped run continues. The tables and the figure are written beside
this file.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

sys.path.append(str(Path(__file__).parents[1]))
import small_scale as small
from small_scale import BLUE, GREEN, GREY, INK, RED

from driftproof.figures import render

HERE = Path(__file__).parent
TRAIN = (0, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5)
TEST = (0, 0.05, 0.1, 0.15, 0.2, 0.3)
METHODS = {("plain" if sigma == 0 else f"rwp gaussian:{sigma:g}"): sigma for sigma in TRAIN}
ON = {"digits": list(METHODS), "mnist": list(METHODS)[:-2]}
CONDITIONS = small.GAUSSIAN
COLOURS = (INK, GREY, "#56B4E9", BLUE, GREEN, RED)


def matrices(seeds: pd.DataFrame) -> pd.DataFrame:
    """Return mean and interval over seeds of the test accuracy: rows σ_train, columns σ_test."""
    rows = []
    for (data, train), group in seeds.groupby(["data", "train"]):
        cells = {f"{test:g}": small.interval_text(g["test"]) for test, g in group.groupby("sigma_test")}
        rows.append({"data": data, "train \\ test": f"{train:g}"} | cells)
    return pd.DataFrame(rows)


def best(seeds: pd.DataFrame) -> pd.DataFrame:
    """Return the best σ_train for each σ_test, chosen on validation images, and its accuracy on test images."""
    rows = []
    test: Any
    for (data, test), group in seeds[seeds["sigma_test"] > 0].groupby(["data", "sigma_test"]):
        chosen_on = group.pivot(index="seed", columns="train", values="validation")
        reported = group.pivot(index="seed", columns="train", values="test")
        chosen: Any = chosen_on.mean().idxmax()
        each = chosen_on.idxmax(axis=1)
        gain, ratio = small.student(reported[chosen] - reported[test]), small.student(each / test)
        rows.append(
            {"data": data, "sigma_test": test, "best_sigma_train": chosen, "ratio": round(chosen / test, 2)}
            | {"ratio_by_seed": ratio[0], "ratio_arm": ratio[1], "seeds": len(each)}
            | {"matched": reported[test].mean(), "best": reported[chosen].mean()}
            | {"gain": gain[0], "gain_arm": gain[1], "gain_over_plain": (reported[chosen] - reported[0]).mean()}
        )
    return pd.DataFrame(rows)


def draw(seeds: pd.DataFrame) -> Figure:
    """Draw the test error against σ_train, one line per σ_test; a ring marks σ_train = σ_test, a star the best σ."""
    groups = list(seeds.groupby("data"))
    figure = Figure(figsize=(4 * len(groups) + 1, 5.4), layout="constrained")
    panels, table = figure.subplots(1, len(groups), sharey=True, squeeze=False)[0], best(seeds)
    for axes, (data, group) in zip(panels, groups, strict=True):
        for colour, (test, line) in zip(COLOURS, group.groupby("sigma_test"), strict=True):
            points = line.assign(error=100 - line["test"]).groupby("train")["error"].agg(list).map(small.student)
            means, arms = [p[0] for p in points], [p[1] for p in points]
            axes.errorbar(points.index, means, yerr=arms, color=colour, lw=1.6, elinewidth=1, marker="o", ms=3.5)
            axes.annotate(
                f"{test:g}", (0, means[0]), (-7, 0), textcoords="offset points", color=colour, va="center", ha="right"
            )
            if not test:
                continue
            chosen = table[(table["data"] == data) & (table["sigma_test"] == test)].iloc[0]
            axes.plot([test], [100 - chosen["matched"]], "o", ms=11, mfc="none", mec=colour, mew=1.4)
            axes.plot([chosen["best_sigma_train"]], [100 - chosen["best"]], "*", ms=12, color=colour, zorder=4)
        axes.set_yscale("log")
        axes.set_yticks([2, 3, 5, 10, 20, 40], ["2", "3", "5", "10", "20", "40"])
        axes.set_yticks([], minor=True)
        axes.set_xlim(-0.06, 0.52)
        axes.set_title(f"{data}, {group['seed'].nunique()} seeds", loc="left", fontweight="bold", fontsize=10)
        axes.set_xlabel("σ of the training")
        axes.grid(axis="y", color="#e6e6e6", lw=0.8)
    panels[0].set_ylabel("test error in %")
    figure.suptitle(
        "The numbers on the left are the σ of the test. Ring: trained with the σ of the test; star: best σ, chosen on "
        "validation images and other chips.\nMean and 95 % interval over training seeds, on the same 10 chips",
        fontsize=8.5, color=GREY, x=0.01, ha="left",
    )  # fmt: skip
    return figure


def main() -> None:
    root, start = small.data_root(__doc__), time.perf_counter()
    for make in small.TASKS.values():
        task = make(root)
        rates = small.learning_rates(small.RATES, task, ON[task.name], CONDITIONS)
        small.study(HERE / "out", task, ON[task.name], CONDITIONS, rates, small.SEEDS[task.name])
    seeds = small.complete(small.by_seed(HERE / "out" / "cells.csv"))
    seeds.to_csv(HERE / "seeds.csv", index=False, lineterminator="\n")
    seeds = seeds.assign(train=seeds["method"].map(METHODS), sigma_test=seeds["device"].map(small.sigma_of))
    for name, table in (("matrix", matrices(seeds)), ("best", best(seeds).round(3))):
        table.to_csv(HERE / f"{name}.csv", index=False, lineterminator="\n")
        print(table.to_string(index=False))
    (HERE / "matrix.png").write_bytes(render(draw, seeds)[1])
    print(f"{(time.perf_counter() - start) / 60:.1f} minutes")


if __name__ == "__main__":
    main()
