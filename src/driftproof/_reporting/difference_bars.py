"""The figure of paired differences over time, with their intervals."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from driftproof._drawing import COLOURS, GRID, INK, MARKERS, letters_in, magnified, wrapped
from driftproof._errors import DriftproofError
from driftproof._record import Quantity
from driftproof._reporting.legend import legend_above, line_handle
from driftproof._reporting.time_axis import TimeAxis


def draw_differences(
    axes: Axes, table: pd.DataFrame, quantity: Quantity, labels: Mapping[str, str] | None = None, legend: bool = True
) -> None:
    """Draw a table of :func:`driftproof.compare` into axes: one series per pair, b minus a, with 95 % intervals.

    Args:
        axes: The axes.
        table: The table.
        quantity: The metric of the values.
        labels: Other words for the names of presets and configurations.
        legend: Whether the axes get a legend.
    """
    time, size = TimeAxis(table["t_s"].tolist()), magnified()
    groups = list(table.groupby(["a", "b"], sort=False))
    same, names = _names([(str(a), str(b)) for (a, b), _ in groups], labels or {})
    # beside each other, since all pairs have the same times
    shifts = 0.14 * (np.arange(len(groups)) - (len(groups) - 1) / 2) * min(1.0, 4 / len(groups))
    handles = []
    for number, ((_, rows), name, shift) in enumerate(zip(groups, names, shifts, strict=True)):
        colour, marker = COLOURS[number % len(COLOURS)], MARKERS[(number + number // 6) % len(MARKERS)]
        kind = "ci95_new" if rows["ci95_new_low"].notna().all() else "ci95"
        x, y = time.place(rows["t_s"]) + shift, rows["difference"].to_numpy(dtype=np.float64)
        axes.plot(x, y, color=colour, lw=0.8 * size, alpha=0.5)
        axes.vlines(x, rows[f"{kind}_low"], rows[f"{kind}_high"], color=colour, lw=1.8 * size)
        for xi, yi, valid in zip(x, y, rows["in_validity"], strict=True):
            axes.plot([xi], [yi], marker, color=colour, ms=5 * size, mfc=colour if valid else "white", mew=1.2 * size)
        axes.plot([], [], color=colour, marker=marker, ms=5 * size, label=name)
        handles.append(line_handle(name, colour, marker))
    axes.axhline(0, color=INK, lw=1.1 * size, ls=(0, (5, 3)), zorder=1)
    time.finish(axes)
    left, right = axes.get_xlim()
    axes.set_xlim(left - abs(float(shifts[0])), right + abs(float(shifts[0])))
    axes.grid(axis="y", color=GRID, lw=0.8 * size)
    unit = " in points" if quantity.percent else ""
    letters = round(1.15 * letters_in(axes.get_window_extent().height, axes))
    axes.set_ylabel(
        "\n".join(wrapped(part, letters) for part in (f"difference of {quantity.title}{unit}{same}").splitlines())
    )
    if legend:
        legend_above(axes, handles)


def _names(pairs: list[tuple[str, str]], labels: Mapping[str, str]) -> tuple[str, list[str]]:
    """Return what all pairs have in common, for the axis, and a name for each pair."""
    known = {side for pair in pairs for side in pair}
    for name in labels:
        if not any(_renamed(side, {name: ""}) != side for side in known):
            raise DriftproofError(f"labels: nothing that is compared is called {name!r}; there are {', '.join(known)}")
    parts = [tuple(tuple(_renamed(side, labels).split(", ")) for side in pair) for pair in pairs]
    firsts = {", ".join(a) for a, _ in parts}
    if len(pairs) == 1:
        return "", [f"{', '.join(parts[0][1])} − {', '.join(parts[0][0])}"]
    if len(firsts) == 1:
        return f"\nfrom {firsts.pop()}", [", ".join(pair[1]) for pair in parts]
    # pairs of configurations on several devices: only what differs within a pair is in its name
    shared = [", ".join(part for part in b if part in a) for a, b in parts]
    own = [tuple(", ".join(part for part in side if part not in other) for side, other in ((a, b), (b, a)))
           for a, b in parts]  # fmt: skip
    if len(set(own)) == 1 and len(set(shared)) == len(shared):
        return f"\n{own[0][1]} − {own[0][0]}", shared
    if len({a for a, _ in own}) == 1:
        return f"\nfrom {own[0][0]}", [", ".join(filter(None, (b, on))) for (_, b), on in zip(own, shared, strict=True)]
    return "", [", ".join(filter(None, (f"{b} − {a}", on))) for (a, b), on in zip(own, shared, strict=True)]


def _renamed(side: str, labels: Mapping[str, str]) -> str:
    """Return one side of a comparison, a configuration and a preset or one of the two, in other words.

    >>> _renamed("noise, none, pcm", {"noise, none": "robust", "pcm": "PCM"})
    'robust, PCM'
    """
    for name, words in labels.items():
        if side == name:
            return words
        if side.startswith(f"{name}, "):
            side = words + side.removeprefix(name)
        elif side.endswith(f", {name}"):
            side = side.removesuffix(name) + words
    return side
