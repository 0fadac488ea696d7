"""The figure of a loss surface, drawn without pyplot."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Circle
from matplotlib.patheffects import AbstractPathEffect, withStroke
from matplotlib.ticker import MaxNLocator

from driftproof.analysis._surface import Grid, Surface

# Okabe and Ito's colours, as in reports
BLUE, RED, GREY, INK = "#0072B2", "#D55E00", "#888888", "#333333"
_WORSE = LinearSegmentedColormap.from_list("worse", ["#ffffff", "#a9cfe5", "#3f94c4", "#00558a"])
_HALO: list[AbstractPathEffect] = [withStroke(linewidth=2.5, foreground="white")]
_ACCURACIES = (10, 20, 30, 40, 50, 60, 70, 80, 90, 95, 98, 99, 99.5, 99.9)


def draw_surface(surface: Surface) -> Figure:
    """Draw maps of the loss and, if there is one, the accuracy around the weights, with the chips; darker is worse."""
    maps = [("loss", surface.loss, _loss_levels(surface.loss), False)]
    if surface.accuracy is not None:
        levels = _accuracy_levels(surface.accuracy, surface.n_samples)
        maps.append(("accuracy in %", surface.accuracy, levels, True))
    figure = Figure(figsize=(4.2 * len(maps) + 0.6, 4.3))
    panels = figure.subplots(1, len(maps), sharey=True, squeeze=False)[0]
    figure.subplots_adjust(wspace=0.1)
    for axes, (name, grid, levels, high_is_good) in zip(panels, maps, strict=True):
        _draw_map(axes, surface.axis, grid, levels, high_is_good)
        _mark(axes, surface)
        axes.set_xlabel("along the error of chip 1")
        axes.annotate(name, (0, 1), (0, 5), xycoords="axes fraction", textcoords="offset points", fontweight="bold")
    panels[0].set_ylabel("across it, on the side of chip 2")
    _title(panels[0], surface)
    return figure


def _draw_map(axes: Axes, axis: Grid, grid: Grid, levels: Sequence[float], high_is_good: bool) -> None:
    shown = np.ma.masked_invalid(grid)
    shades = _WORSE(np.linspace(0, 1, len(levels) + 1))
    if shown.count():
        ends = float(shown.min()) - 1, float(shown.max()) + 1
        colours = shades[::-1] if high_is_good else shades
        axes.contourf(axis, axis, shown, levels=[ends[0], *levels, ends[1]], colors=colours)
    if levels:
        lines = axes.contour(axis, axis, shown, levels=levels, colors=INK, linewidths=0.6, alpha=0.7)
        for label in axes.clabel(lines, fontsize=8, fmt=lambda level: f"{level:g}", inline_spacing=3):
            label.set(color=INK, path_effects=_HALO, clip_on=False)
    axes.set_facecolor("#dddddd")  # where the network overflows
    axes.set_aspect("equal")
    end = float(axis[-1])
    axes.set(xlim=(-end, end), ylim=(-end, end))
    ticks = MaxNLocator(4, steps=[1, 2, 5, 10]).tick_values(-end, end)
    inner = [tick for tick in ticks if abs(tick) <= end * (1 + 1e-9)]
    axes.set(xticks=inner, yticks=inner)


def _mark(axes: Axes, surface: Surface) -> None:
    axes.add_patch(Circle((0, 0), 1, fill=False, ec=RED, lw=1.2, ls=(0, (5, 3)), zorder=4))
    axes.plot([0], [0], "o", ms=6, color=INK, mec="white", mew=0.8, zorder=5)
    _name(axes, "trained", (0, 0), INK, below=True)  # no chip is there: chip 1 is to the right, chip 2 above
    for number, (a, b) in enumerate(surface.chips, start=1):
        axes.plot([0, a], [0, b], color=RED, lw=1, zorder=4)
        axes.plot([a], [b], "o", ms=7, color=RED, mec="white", mew=0.8, zorder=5)
        _name(axes, f"chip {number}", (a, b), RED)


def _name(axes: Axes, text: str, place: tuple[float, float], colour: str, below: bool = False) -> None:
    offset, ha, va = ((-5, -5), "right", "top") if below else ((6, 6), "left", "bottom")
    style: dict[str, Any] = {"color": colour, "fontsize": 9, "ha": ha, "va": va, "path_effects": _HALO, "zorder": 6}
    axes.annotate(text, place, offset, textcoords="offset points", annotation_clip=True, **style)


def _title(axes: Axes, surface: Surface) -> None:
    more = (
        f"{surface.data}, {surface.n_samples:,} samples; darker is worse; 1 on both axes: the error of chip 1, "
        f"{100 * surface.error:.1f} % of the weights' norm\nring: as far from the trained weights as chip 1; cosine of "
        f"the two chips' errors {surface.cosine:z.2f}"
    )
    title = f"{surface.noise}: around the trained weights"
    axes.annotate(title, (0, 1), (0, 50), xycoords="axes fraction", textcoords="offset points", fontweight="bold")
    axes.annotate(more, (0, 1), (0, 25), xycoords="axes fraction", textcoords="offset points", fontsize=8.5, color=GREY)


def _loss_levels(loss: Grid) -> list[float]:
    """Return round numbers between the smallest and the largest loss, in decades if the two differ much."""
    finite = loss[np.isfinite(loss)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    if low <= 0 or high < 3 * low:
        return _inside(list(MaxNLocator(7).tick_values(low, high)), finite)
    decades = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
    steps = (1, 2, 5) if high > 100 * low else (1, 1.5, 2, 3, 5, 7)
    return _inside([step * 10.0**decade for decade in decades for step in steps], finite)


def _accuracy_levels(accuracy: Grid, n_samples: int) -> list[float]:
    """Return round numbers, at most that of five wrong samples: a higher line would follow single samples."""
    known = [level for level in _ACCURACIES if (100 - level) * n_samples >= 5 * 100]
    return _inside(known, accuracy)


def _inside(levels: Sequence[float], grid: Grid) -> list[float]:
    """Return the levels that a map crosses."""
    finite = grid[np.isfinite(grid)]
    return [level for level in levels if finite.size and finite.min() < level < finite.max()]
