"""The figure of a metric over time: one panel for everything, or one panel per preset."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from scipy.optimize import isotonic_regression

from driftproof._drawing import COLOURS, COLUMN, FULL, GRID, INK, letter_size, letters_in, magnified, wrapped
from driftproof._record import DIGITAL
from driftproof._reporting.curves import Band, Course, Line, Numbers, Of, course, digital_lines, lines_of
from driftproof._reporting.gather import Evidence
from driftproof._reporting.legend import legend_above, line_handle
from driftproof._reporting.time_axis import TimeAxis
from driftproof._reporting.value_axis import COMPRESSED, scale_axis

_DIGITAL_DASHES = (0, (5, 3))


def over_time(evidence: Evidence) -> Figure:
    """Draw the mean over logarithmic time with the band of the chips, for the page of a report.

    With one configuration, the figure is one panel with one colour per preset. With several, or with more presets than
    colours, it has one panel per preset and one colour per configuration.
    """
    if in_panels(evidence):
        return _panels(evidence, 4.4, 3.4)
    figure = Figure(figsize=(8.2, 4.6))
    axes = figure.subplots()
    (key,) = evidence.names
    found = [(line, course(evidence, key, line.preset, "mean", "chips")) for line in _page_lines(evidence)]
    for line, values in found:
        draw_course(axes, evidence, line, values)
    finish_panel(axes, evidence, "mean")
    compressed = scale_axis(axes.yaxis, evidence, drawn([values for _, values in found]))
    digital = evidence.digital(key)
    ends = [(float(values.mean[-1]), line.name, line.colour) for line, values in found]
    _label_ends(axes, [*ends, (digital, f"digital {evidence.quantity.said(digital)}", INK)])
    axes.set_ylabel(_value_label(axes, evidence, "mean", compressed))
    return figure


def paper_over_time(evidence: Evidence, width: float | None = None) -> Figure:
    """Draw the same for a paper: one column wide, or as wide as a page where there are panels, or of a given width."""
    if in_panels(evidence):
        columns = min(2, len(evidence.measured_presets))
        wide = width or (FULL if columns == 2 else COLUMN)
        return _panels(evidence, wide / columns, 2.6 if columns == 2 else 2.9)
    figure = Figure(figsize=(width or COLUMN, 2.7), layout="constrained")
    draw_over_time(figure.subplots(), evidence, _page_lines(evidence), "mean", "chips", legend=True)
    return figure


def in_panels(evidence: Evidence) -> bool:
    """Whether a report's figure has one panel per preset."""
    return len(evidence.names) > 1 or len(evidence.measured_presets) > len(COLOURS)


def draw_over_time(
    axes: Axes,
    evidence: Evidence,
    lines: Sequence[Line],
    of: Of,
    band: Band,
    legend: bool,
) -> None:
    """Draw series into axes, with a legend above them."""
    found = [course(evidence, line.key, line.preset, of, band) for line in lines]
    for line, values in zip(lines, found, strict=True):
        draw_course(axes, evidence, line, values)
        axes.plot([], [], color=line.colour, marker=line.marker, ms=4.5 * magnified(), lw=1.8 * magnified(),
                  label=line.name)  # fmt: skip
    finish_panel(axes, evidence, of)
    handles = [line_handle(line.name, line.colour, line.marker) for line in lines]
    compressed = False
    if of == "mean":
        compressed = scale_axis(axes.yaxis, evidence, drawn(found))
        handles += _digital_handles(evidence)
    axes.set_ylabel(_value_label(axes, evidence, of, compressed))
    if legend:
        legend_above(axes, handles)


def draw_course(axes: Axes, evidence: Evidence, line: Line, values: Course) -> None:
    """Draw one series: the mean with its band, dashed and with hollow markers outside the preset's validity."""
    x, size, colour = _axis(evidence).place(values.t_s), magnified(), line.colour
    for i in range(len(x) - 1):
        part, sound = slice(i, i + 2), bool(values.valid[i] and values.valid[i + 1])
        width = (1.8 if sound else 1.2) * size
        axes.plot(x[part], values.mean[part], color=colour, lw=width, ls="-" if sound else (0, (3, 2)))
        shade = 0.15 if sound else 0.06
        axes.fill_between(x[part], values.low[part], values.high[part], color=colour, alpha=shade, lw=0)
    if len(x) == 1:
        axes.vlines(x, values.low, values.high, color=colour, lw=5 * size, alpha=0.2)
        axes.axhline(values.mean[0], color=colour, lw=0.8 * size, alpha=0.6)
    for xi, yi, sound in zip(x, values.mean, values.valid, strict=True):
        face = colour if sound else "white"
        axes.plot([xi], [yi], line.marker, color=colour, ms=5.5 * size, mfc=face, mew=1.2 * size)


def drawn(found: Sequence[Course]) -> list[Numbers]:
    """Return the values that a figure shows, by series."""
    return [np.concatenate([values.mean, values.low, values.high]) for values in found]


def finish_panel(axes: Axes, evidence: Evidence, of: Of) -> None:
    """Draw the digital lines, the time axis and the grid."""
    for value, colour in [(0.0, INK)] if of == "drop" else digital_lines(evidence):
        axes.axhline(value, color=colour, lw=1.1 * magnified(), ls=_DIGITAL_DASHES, zorder=1)
    _axis(evidence).finish(axes)
    axes.grid(axis="y", color=GRID, lw=0.8 * magnified())


def _page_lines(evidence: Evidence) -> list[Line]:
    return lines_of(evidence) if evidence.measured_presets else []


def _panels(evidence: Evidence, width: float, height: float) -> Figure:
    """Draw one panel per preset, each of a width and height in inches."""
    keys, presets = list(evidence.names), evidence.measured_presets
    columns = min(2, len(presets)) or 1
    rows = max(1, math.ceil(len(presets) / columns))
    paper = magnified() < 1
    wide = width * columns + (2.2 if columns == 1 and not paper else 0)
    figure = Figure(figsize=(wide, height * rows), layout="constrained")
    if isinstance(layout := figure.get_layout_engine(), ConstrainedLayoutEngine):
        layout.set(h_pad=0.09)  # room between a panel's time axis and the title of the panel below
    panels = figure.subplots(rows, columns, sharey=True, squeeze=False)
    size, found = letter_size(), []
    for panel, preset in zip(panels.flat, presets, strict=False):
        for i, key in enumerate(keys):
            if len(evidence.series(key, preset)):
                found.append(course(evidence, key, preset, "mean", "chips"))
                draw_course(panel, evidence, Line(key, preset, "", i), found[-1])
        finish_panel(panel, evidence, "mean")
        title = wrapped(evidence.shown(preset), round(0.9 * 72 * width / (0.62 * size)))
        panel.set_title(title, fontsize=size, loc="left", fontweight="bold")
    for panel in panels.flat[len(presets) :]:
        panel.set_visible(False)
    compressed = scale_axis(panels[0, 0].yaxis, evidence, drawn(found))
    for panel in panels[:, 0]:
        panel.set_ylabel(_value_label(panel, evidence, "mean", compressed))
    if len(keys) > 1:
        _legend(figure, evidence, keys)
    return figure


def _axis(evidence: Evidence) -> TimeAxis:
    return TimeAxis(evidence.summary.loc[evidence.summary["chips"] > 0, "t_s"].tolist(), evidence.origin.since)


def _value_label(axes: Axes, evidence: Evidence, of: Of, compressed: bool) -> str:
    quantity = evidence.quantity
    if of == "drop":
        change = "drop" if quantity.higher_is_better else "rise"
        return f"{change} of {quantity.title}{' in points' if quantity.percent else ''}"
    if not compressed:
        return quantity.label
    letters = round(letters_in(axes.get_window_extent().height, axes))
    return f"{quantity.label}\n{wrapped(f'({COMPRESSED})', letters)}"


def _digital_handles(evidence: Evidence) -> list[Line2D]:
    """Return the legend of the digital line, with its value if there is one only."""
    lines = digital_lines(evidence)
    text = f"{DIGITAL} {evidence.quantity.said(lines[0][0])}" if len(lines) == 1 else DIGITAL
    return [Line2D([], [], color=INK, ls=_DIGITAL_DASHES, lw=1.1 * magnified(), label=text)]


def _legend(figure: Figure, evidence: Evidence, keys: Sequence[str]) -> None:
    size = letter_size()
    letters = round(72 * figure.get_figwidth() / (0.6 * size))
    names = [wrapped(evidence.names[key], letters // 2) for key in keys]
    lines = [Line(key, "", name, i) for i, (key, name) in enumerate(zip(keys, names, strict=True))]
    handles = [line_handle(line.name, line.colour, line.marker) for line in lines]
    handles += [Line2D([], [], color=INK, ls=_DIGITAL_DASHES, lw=1.1 * magnified(), label=DIGITAL)]
    longest = max(len(part) for name in [*names, DIGITAL] for part in name.splitlines()) + 6
    columns = max(1, min(len(handles), letters // longest))
    figure.legend(handles=handles, loc="outside upper left", ncols=columns, frameon=False, fontsize=0.9 * size)


def _label_ends(axes: Axes, ends: list[tuple[float, str, str]]) -> None:
    """Write the name of each series beside its last point, such that no two names overlap."""
    axes.set_ylim(axes.get_ylim())  # labels must not change the limits of the axis
    left, _ = axes.get_xlim()
    ends = sorted(ends, reverse=True)
    places = [float((axes.transScale + axes.transLimits).transform((left, y))[1]) for y, _, _ in ends]
    texts = [wrapped(text, 26) for _, text, _ in ends]
    # An axis of this figure's height holds some 22 lines of text.
    heights = spread(places, [(text.count("\n") + 1.15) / 22 for text in texts], 0.0, 1.0)
    for (_, _, colour), place, text, height in zip(ends, places, texts, heights, strict=True):
        axes.plot([1, 1.035], [place, height], color=colour, lw=0.8, clip_on=False, transform=axes.transAxes)
        axes.text(1.04, height, text, color=colour, va="center", fontsize=9, transform=axes.transAxes)


def spread(wanted: Sequence[float], sizes: Sequence[float], low: float, high: float) -> list[float]:
    """Return centres of labels of these sizes, near the wanted ones, which descend, such that no two labels overlap.

    Neighbours that would overlap form a block around the mean of their wanted centres (isotonic regression). Blocks
    stay between ``low`` and ``high`` as far as there is room.

    >>> spread([5.0, 5.0, 1.0], [2.0, 2.0, 2.0], low=0.0, high=10.0)
    [6.0, 4.0, 1.0]
    """
    # Relative to labels that are stacked without gaps, labels do not overlap if their centres do not ascend.
    stacked = np.array([0.0, *np.cumsum([(one + other) / 2 for one, other in pairwise(sizes)])])
    shifts = isotonic_regression(np.array(wanted) + stacked, increasing=False).x
    top, foot = high - sizes[0] / 2, low + sizes[-1] / 2 + stacked[-1]
    centres: list[float] = (np.maximum(np.minimum(shifts, top), min(foot, top)) - stacked).tolist()
    return centres
