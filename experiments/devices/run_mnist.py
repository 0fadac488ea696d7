"""Which training makes a small MNIST network robust on which device? See README.md.

    python experiments/devices/run_mnist.py --data ROOT

Every finished training is stored in out/mnist/, so that a stopped run continues. The tables and the figure are written
beside this file.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

sys.path.append(str(Path(__file__).parents[1]))
import small_scale as small
from small_scale import BLUE, GREY, INK, RED

from driftproof.figures import render

HERE = Path(__file__).parent
SEEDS = range(5)
TIMES = {  # device → times within its validity
    "pcm-nandakumar-2019": ("1h", "1d", "1y"),
    "pcm-hermes-2": ("1h", "1d", "1y"),
    "reram-wan-2022": ("1h", "1d"),
    "reram-cmo-2pct": ("1h", "1d"),
    "gaussian:0.1": ("",),
}
CONDITIONS = [(device, when) for device, times in TIMES.items() for when in times]
RAMP = "quadratic:to={}"
FAMILIES = {  # the usual value and twice this value; the ramps end at twice the value
    "Gaussian RWP": ["rwp gaussian:0.1", "rwp gaussian:0.2"],
    "Gaussian RWP, ramped": [f"rwp gaussian:0.2 {RAMP.format(1)}"],
    "SAM": ["sam 0.05", "sam 0.1"],
    "SAM, ramped": [f"sam {RAMP.format(0.1)}"],
}
STRENGTHS = (1, 2)


def noise(device: str) -> str:
    """Return the noise of a device at a time that is drawn between 1 h and its last time."""
    times = TIMES[device]
    return f"{device}@1h..{times[-1]}" if len(times) > 1 else device


def families(device: str) -> dict[str, list[str]]:
    """Return the settings of each family, one of which is chosen on validation images of a device."""
    if len(TIMES[device]) == 1:  # the matched method is Gaussian RWP
        return {"plain": ["plain"]} | FAMILIES
    matched = {
        "matched RWP": [f"rwp {noise(device)} {strength}" for strength in STRENGTHS],
        "matched RWP, ramped": [f"rwp {noise(device)} {RAMP.format(strength)}" for strength in STRENGTHS[1:]],
    }
    return {"plain": ["plain"]} | FAMILIES | matched


METHODS = list(dict.fromkeys(name for device in TIMES for names in families(device).values() for name in names))


def chosen(seeds: pd.DataFrame) -> pd.DataFrame:
    """Return a row per condition and family: test accuracies of the setting that is best on validation images."""
    rows = []
    for device, when in CONDITIONS:
        here = seeds[(seeds["device"] == device) & (seeds["time"] == when)]
        chosen_on = here.pivot(index="method", columns="seed", values="validation").mean(axis=1)
        reported = here.pivot(index="method", columns="seed", values="test")
        digital = seeds[seeds["device"] == "digital"].pivot(index="method", columns="seed", values="test")
        settings = {family: str(chosen_on[names].idxmax()) for family, names in families(device).items()}
        for family, best in settings.items():
            mean, arm = small.student(reported.loc[best])
            gain, gain_arm = small.student(reported.loc[best] - reported.loc["plain"])
            over, over_arm = small.student(reported.loc[best] - reported.loc[settings["Gaussian RWP"]])
            row = {
                "device": device,
                "time": when,
                "family": family,
                "chosen": best,
                "digital": digital.loc[best].mean(),
            }
            row |= {"test": mean, "arm": arm, "gain": gain, "gain_arm": gain_arm}
            row |= {"over_gaussian": over, "over_gaussian_arm": over_arm}
            rows.append(row | {"seeds": reported.shape[1]})
    return pd.DataFrame(rows)


def draw(table: pd.DataFrame) -> Figure:
    """Draw the gain over plain training by family: one panel per device, one bar per time."""
    figure = Figure(figsize=(11, 4.9), layout="constrained")
    names = ["SAM", "SAM, ramped", "Gaussian RWP", "Gaussian RWP, ramped", "matched RWP", "matched RWP, ramped"]
    panels = figure.subplots(1, len(TIMES), sharey=True)
    for axes, (device, times) in zip(panels, TIMES.items(), strict=True):
        for place, (when, colour) in enumerate(zip(("1h", "1d", "1y"), (GREY, BLUE, RED), strict=True)):
            when = when if len(times) > 1 else ""
            rows = table[(table["device"] == device) & (table["time"] == when) & (table["family"] != "plain")]
            if when not in times or (not when and place):
                continue
            heights = [names.index(name) + (0.22 * (place - 1) if when else 0) for name in rows["family"]]
            axes.errorbar(
                rows["gain"], heights, xerr=rows["gain_arm"], fmt="o", color=colour if when else INK, ms=4.5, lw=1.3
            )
        plain = table[(table["device"] == device) & (table["family"] == "plain")]["test"]
        text = ", ".join(f"{value:.1f}" for value in plain)
        axes.set_title(f"{device}\nplain {text}", loc="left", fontsize=8.5)
        axes.axvline(0, color=GREY, lw=0.8)
        axes.grid(axis="x", color="#e6e6e6", lw=0.8)
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
    panels[0].set_yticks(range(len(names)), names)
    panels[0].set_ylim(len(names) - 0.5, -0.5)
    figure.supxlabel("gain over plain training in points of test accuracy (each device has its own axis)", fontsize=9.5)
    for place, (when, colour) in enumerate((("1 hour", GREY), ("1 day", BLUE), ("1 year", RED))):
        figure.text(0.62 + 0.08 * place, 0.975, f"● {when}", color=colour, fontsize=9, va="top")
    figure.suptitle(
        "Paired differences on the same 10 chips, mean and 95 % interval over training seeds;\nsettings chosen on "
        "validation images. For Gaussian noise, the matched method is Gaussian RWP",
        fontsize=8.5, color=GREY, x=0.01, ha="left",
    )  # fmt: skip
    return figure


def main() -> None:
    root, start = small.data_root(__doc__), time.perf_counter()
    task = small.mnist_task(root, 20_000)
    rates = small.learning_rates(HERE / "mnist_learning_rates.csv", task, METHODS, CONDITIONS)
    small.study(HERE / "out" / "mnist", task, METHODS, CONDITIONS, rates, seeds=SEEDS)
    seeds = small.by_seed(HERE / "out" / "mnist" / "cells.csv")
    seeds = seeds[seeds["method"].isin(METHODS)]
    seeds.to_csv(HERE / "mnist_seeds.csv", index=False, lineterminator="\n")
    table = chosen(seeds)
    table.round(3).to_csv(HERE / "mnist.csv", index=False, lineterminator="\n")
    print(table.round(2).to_string(index=False))
    (HERE / "mnist.png").write_bytes(render(draw, table)[1])
    print(f"{(time.perf_counter() - start) / 60:.1f} minutes")


if __name__ == "__main__":
    main()
