"""The figure of every chip: dots, with their mean and its interval."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from driftproof._drawing import COLUMN, GRID, INK, letter_size, letters_in, magnified, wrapped
from driftproof._reporting.curves import Line, Numbers, digital_lines, lines_of
from driftproof._reporting.gather import Evidence
from driftproof._reporting.value_axis import COMPRESSED, scale_axis
from driftproof.times import format_time


@dataclass(frozen=True)
class Dots:
    """The chips of a series at one time: its row of the summary, and the values, which ascend."""

    line: Line
    row: Any
    values: Numbers


def chips(evidence: Evidence) -> Figure:
    """Draw every chip at the last valid time of each preset, with the mean and its interval, for a report's page."""
    found = dots_of(evidence, _numbered(evidence))
    figure = Figure(figsize=(8.2, 1.0 + 0.55 * max(1, len(found))))
    draw_chips(figure.subplots(), evidence, found)
    return figure


def paper_chips(evidence: Evidence, width: float | None = None) -> Figure:
    """Draw the same for one column of a paper, or of a given width."""
    return column_of_chips(evidence, dots_of(evidence, _numbered(evidence)), Figure, width or COLUMN)


def column_of_chips(evidence: Evidence, found: Sequence[Dots], make: Any, width: float) -> Figure:
    """Draw the dots into a new figure of a width in inches that has the height for them.

    Args:
        evidence: The contents of the records.
        found: The dots.
        make: What makes a figure.
        width: Its width.
    """
    lines = sum(max(1.0, 0.8 * text.count("\n") + 0.8) + 0.8 for text in _labels(found, width)) or 1
    figure: Figure = make(figsize=(width, 0.6 + 0.145 * lines), layout="constrained")
    draw_chips(figure.subplots(), evidence, found, width)
    return figure


def dots_of(evidence: Evidence, lines: Sequence[Line], t_s: float | None = None) -> list[Dots]:
    """Return the chips of each series at a time (default: its last valid time); series without it are left out."""
    found = []
    for line in lines:
        series = evidence.series(line.key, line.preset)
        at = series[series["in_validity"] if t_s is None else series["t_s"] == t_s]
        if len(at):
            row = at.iloc[-1]
            found.append(Dots(line, row, np.sort(evidence.chips(line.key, line.preset, float(row["t_s"])))))
    return found


def draw_chips(axes: Axes, evidence: Evidence, found: Sequence[Dots], width: float | None = None) -> None:
    """Draw the chips of each series as dots in a row of the axes.

    Args:
        axes: The axes.
        evidence: The contents of the records.
        found: The dots.
        width: Width of the figure in inches (default: that of the axes' figure).
    """
    size, font = magnified(), letter_size()
    wide = axes.get_figure(root=True).get_figwidth() if width is None else width  # type: ignore[union-attr]
    digital = digital_lines(evidence)
    ends = [np.array([dots.row["mean"], dots.row["ci95_low"], dots.row["ci95_high"]], dtype=float) for dots in found]
    series = [np.concatenate([dots.values, end]) for dots, end in zip(found, ends, strict=True)]
    compressed = scale_axis(axes.xaxis, evidence, series)

    def place(values: Numbers) -> Numbers:
        scaled: Numbers = axes.transScale.transform(np.column_stack([values, np.zeros(len(values))]))[:, 0]
        return scaled

    span = float(np.ptp(place(np.concatenate([[value for value, _ in digital], *(dots.values for dots in found)]))))
    for y, dots in enumerate(found):
        colour = dots.line.colour
        offset = swarm(place(dots.values), width=max(0.011 * span, 1e-9))
        axes.plot(dots.values, y - 0.06 + offset, "o", ms=4 * size, mfc=colour, mec="white", mew=0.4 * size, alpha=0.75)
        _mean_and_interval(axes, y, dots.row, size)
    for value, colour in digital:
        axes.axvline(value, color=colour, lw=size, ls=(0, (5, 3)), zorder=0)
    axes.set_yticks(range(len(found)), _labels(found, wide), fontsize=0.9 * font)
    axes.set_ylim(max(1, len(found)) - 0.45, -0.55)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", color=GRID, lw=0.8 * size)
    axes.spines["left"].set_visible(False)
    key = f"dot: one chip; bar: mean and 95 % interval; dashed: digital{f'; {COMPRESSED}' if compressed else ''}"
    at = f" at {format_time(_times(found).pop())}" if len(_times(found)) == 1 else ""
    letters = round(1.1 * letters_in(axes.get_window_extent().width, axes))
    axes.set_xlabel(wrapped(f"{evidence.quantity.label}{at}   ({key})", letters), loc="right")


def swarm(values: npt.NDArray[np.float64], width: float) -> npt.NDArray[np.float64]:
    """Return heights for dots at ascending values: dots closer than ``width`` are in different lanes.

    Nothing is random, so that the same chips give the same picture. Many lanes are closer together than few.

    >>> swarm(np.array([1.0, 1.0, 1.0, 5.0]), width=0.1).tolist()
    [0.0, 0.1, -0.1, 0.0]
    """
    last: list[float] = []
    lanes = []
    for value in values:
        lane = next((i for i, end in enumerate(last) if value - end >= width), len(last))
        last[lane : lane + 1] = [float(value)]
        lanes.append(lane)
    # The heights of lanes 0, 1, 2, 3, 4 are 0, 1, -1, 2, -2.
    signed = np.array([(lane + 1) // 2 * (1 if lane % 2 else -1) for lane in lanes], dtype=float)
    return signed * min(0.1, 0.24 / max(1, len(last) // 2)) + 0.0


def _numbered(evidence: Evidence) -> list[Line]:
    """Return the series with the colours that they have in the figure over time of a report."""
    if not evidence.measured_presets:
        return []
    presets, keys, lines = evidence.measured_presets, list(evidence.names), []
    for line in lines_of(evidence):
        number = keys.index(line.key) if len(keys) > 1 else presets.index(line.preset)
        name = ", ".join(filter(None, (evidence.shown(line.preset), evidence.names[line.key])))
        lines.append(Line(line.key, line.preset, name, number))
    return lines


def _times(found: Sequence[Dots]) -> set[float]:
    return {float(dots.row["t_s"]) for dots in found}


def _labels(found: Sequence[Dots], width: float) -> list[str]:
    """Return the names of the rows in lines of less than half of a figure's width, with their times if these differ."""
    letters = round(72 * width * 0.36 / (letter_size(0.55)))
    apart = len(_times(found)) > 1
    times = [f", {format_time(float(dots.row['t_s']))}" if apart else "" for dots in found]
    return [wrapped(dots.line.name + time, letters) for dots, time in zip(found, times, strict=True)]


def _mean_and_interval(axes: Axes, y: float, row: Any, size: float) -> None:
    if not math.isnan(row["ci95_low"]):
        ends = [row["ci95_low"], row["ci95_high"]]
        axes.plot(ends, [y + 0.27] * 2, color=INK, lw=1.6 * size, solid_capstyle="butt")
    axes.plot([row["mean"]], [y + 0.27], marker="|", ms=9 * size, mew=2.2 * size, color=INK)
