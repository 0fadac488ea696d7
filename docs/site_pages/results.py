"""The accuracy of ResNet-20 on every preset, from the tracked results of ``experiments/all_devices``."""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from driftproof._presets import load_preset
from driftproof.times import format_time
from site_pages.drawing import COLOURS, MARKERS, TimeAxis
from site_pages.places import TOP

FILE = "experiments/all_devices/summary.csv"


@cache
def _table() -> pd.DataFrame:
    return pd.read_csv(TOP / FILE)


def rows_of(preset: str) -> pd.DataFrame:
    """Return the rows of a preset, and of the same preset with other arguments; empty if it was not measured.

    A device that does not change in time has a row for the first time only.
    """
    table = _table()
    rows = table[table["preset"].str.partition(":")[0] == preset].sort_values(["preset", "t_s"])
    return rows if load_preset(preset).changes_in_time else rows.groupby("preset").head(1)


def accuracy_figure(preset: str) -> Figure:
    """Draw the mean accuracy over time, its 95 % interval on new inputs, and a dashed part outside validity."""
    rows, digital = rows_of(preset), _table().query("preset == 'digital'")["mean"].item()
    figure = Figure(figsize=(8.2, 3.2), layout="constrained")
    axes, axis = figure.subplots(), TimeAxis(rows["t_s"])
    for place, (name, part) in enumerate(rows.groupby("preset")):
        x, y = axis.place(part["t_s"]), part["mean"].to_numpy()
        ends = part[["ci95_new_low", "ci95_new_high"]].to_numpy()
        sizes = np.abs(ends - y[:, None]).T
        valid = part["in_validity"].to_numpy(bool)
        colour, marker = COLOURS[place % len(COLOURS)], MARKERS[place % len(MARKERS)]
        inside = int(valid.sum())
        axes.plot(x[max(inside - 1, 0) :], y[max(inside - 1, 0) :], color=colour, lw=1.1, ls=(0, (3, 2)), alpha=0.65)
        axes.plot(x[:inside], y[:inside], color=colour, lw=1.8, label=str(name))
        axes.errorbar(x, y, sizes, fmt=marker, color=colour, ms=5, capsize=3, lw=1.2)
    axes.axhline(digital, color="#777777", lw=0.9)
    axes.annotate(
        f"digital {digital:.2f} %",
        (0.01, digital),
        xycoords=("axes fraction", "data"),
        va="bottom",
        color="#777777",
        fontsize=8.5,
    )
    low, high = axes.get_ylim()
    axes.set_ylim(max(low, 0.0), min(high + 0.08 * (high - low), 100.0))
    axes.set_ylabel("accuracy in %")
    axes.grid(axis="y", color="#e6e6e6", lw=0.8)
    axis.finish(axes)
    if rows["preset"].nunique() > 1:
        axes.legend(frameon=False, fontsize=8.5, loc="upper left", bbox_to_anchor=(1, 1))
    return figure


def accuracy_text(preset: str) -> str:
    """Return the same numbers as a table in Markdown, with a star outside validity."""
    lines = ["| preset | time | accuracy in % | 95 % interval | drop | chips |", "|---|---|---|---|---|---|"]
    for row in rows_of(preset).to_dict("records"):
        time = format_time(row["t_s"]) + ("" if row["in_validity"] else "*")
        interval = f"{row['ci95_new_low']:.1f} to {row['ci95_new_high']:.1f}"
        cells = [f"`{row['preset']}`", time, f"{row['mean']:.1f}", interval, f"{row['drop']:.1f}", f"{row['chips']}"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)
