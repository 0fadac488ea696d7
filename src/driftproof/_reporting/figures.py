"""The two figures of a report. They are drawn without pyplot, and the same record gives the same bytes."""

from __future__ import annotations

import io
import math
import re
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import matplotlib
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from scipy.optimize import isotonic_regression

from driftproof._record import DIGITAL
from driftproof._reporting.gather import Evidence
from driftproof._reporting.statistics import PRELIMINARY_BELOW
from driftproof._reporting.time_axis import TimeAxis
from driftproof._reporting.value_axis import in_decades, scale_axis
from driftproof.times import format_time

# Okabe and Ito's colours, which suit all kinds of colour vision, without the yellow that is hard to see on white.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
MARKERS = ("o", "s", "^", "D", "v", "P")
INK = "#333333"

# Any: matplotlib types its settings by name, which differ between versions.
_STYLE: Any = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 10.0,
    # A dollar sign in a preset's name is text.
    "text.parse_math": False,
    "svg.hashsalt": "driftproof",
    "svg.fonttype": "path",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#888888",
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.axisbelow": True,
    "savefig.dpi": 150,
}


def render[Content](draw: Callable[[Content], Figure], content: Content) -> tuple[bytes, bytes]:
    """Return a figure as SVG and PNG, independent of the user's matplotlib settings and of the date."""
    with _settings():
        figure = draw(content)
        return _save(figure, "svg"), _save(figure, "png")


def render_small[Content](
    draw: Callable[[Content], Figure], content: Content, form: Literal["svg", "png"] = "svg", mark: str = ""
) -> bytes:
    """Return a figure as SVG or PNG, with a mark of the program that wrote it.

    The SVG has a third of the size of that of :func:`render`: letters are text instead of outlines, and coordinates
    have two decimals.
    """
    with _settings({"svg.fonttype": "none"}):
        image = _save(draw(content), form, mark or None)
    if form == "png":
        return image
    image = re.sub(rb' d="[^"]*"', lambda path: re.sub(rb"(\.\d\d)\d+", rb"\1", path[0]), image)
    return image.replace(b"<svg ", f"<!-- {mark} -->\n<svg ".encode(), 1) if mark else image


@contextmanager
def _settings(more: Mapping[str, Any] | None = None) -> Iterator[None]:
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_STYLE | dict(more or {}))
        yield


def _save(figure: Figure, form: Literal["svg", "png"], software: str | None = None) -> bytes:
    file = io.BytesIO()
    metadata = {"Software": software} if form == "png" else dict.fromkeys(("Date", "Creator", "Format", "Type"))
    figure.savefig(file, format=form, bbox_inches="tight", pad_inches=0.1, metadata=metadata)
    return file.getvalue()


def over_time(evidence: Evidence) -> Figure:
    """Draw the mean over logarithmic time with the band of the chips.

    With one configuration, the figure is one panel with one colour per preset. With several, or with more presets than
    colours, it has one panel per preset and one colour per configuration.
    """
    keys, presets = list(evidence.names), evidence.measured_presets
    if len(keys) > 1 or len(presets) > len(COLOURS):
        return _panels(evidence, keys, presets)
    figure = Figure(figsize=(8.2, 4.6))
    axes = figure.subplots()
    ends = [_draw_series(axes, evidence, keys[0], preset, i) for i, preset in enumerate(presets)]
    _finish_panel(axes, evidence)
    digital = evidence.digital(keys[0])
    ends.append((digital, f"digital {evidence.quantity.said(digital)}", INK))
    scale_axis(axes.yaxis, evidence)
    _label_ends(axes, [end for end in ends if end])
    axes.set_ylabel(evidence.quantity.label)
    return figure


def _panels(evidence: Evidence, keys: Sequence[str], presets: Sequence[str]) -> Figure:
    """Draw one panel per preset."""
    columns = min(2, len(presets)) or 1
    rows = max(1, math.ceil(len(presets) / columns))
    figure = Figure(figsize=(4.4 * columns + (2.2 if columns == 1 else 0), 3.4 * rows), layout="constrained")
    if isinstance(layout := figure.get_layout_engine(), ConstrainedLayoutEngine):
        layout.set(h_pad=0.09)  # room between a panel's time axis and the title of the panel below
    panels = figure.subplots(rows, columns, sharey=True, squeeze=False)
    for panel, preset in zip(panels.flat, presets, strict=False):
        for i, key in enumerate(keys):
            _draw_series(panel, evidence, key, preset, i)
        _finish_panel(panel, evidence)
        panel.set_title(
            "\n".join(textwrap.wrap(evidence.shown(preset), 44)), fontsize=10, loc="left", fontweight="bold"
        )
    for panel in panels.flat[len(presets) :]:
        panel.set_visible(False)
    for panel in panels[:, 0]:
        scale_axis(panel.yaxis, evidence)
        panel.set_ylabel(evidence.quantity.label)
    if len(keys) > 1:
        _legend(figure, evidence, keys)
    return figure


def chips(evidence: Evidence) -> Figure:
    """Draw every chip at the last valid time of each preset, with the mean and its interval."""
    rows = []
    for preset in evidence.measured_presets:
        for i, key in enumerate(evidence.names):
            series = evidence.series(key, preset)
            if series["in_validity"].any():
                row = series[series["in_validity"]].iloc[-1]
                number = i if len(evidence.names) > 1 else evidence.measured_presets.index(preset)
                rows.append((preset, key, number, row, np.sort(evidence.chips(key, preset, float(row["t_s"])))))
    figure = Figure(figsize=(8.2, 1.0 + 0.55 * max(1, len(rows))))
    axes, labels, digital = figure.subplots(), [], _digital_lines(evidence)
    place = np.log if in_decades(evidence) else np.array
    span = float(np.ptp(place(np.concatenate([[value for value, _ in digital], *(values for *_, values in rows)]))))
    for y, (preset, key, number, row, values) in enumerate(rows):
        colour = COLOURS[number % len(COLOURS)]
        offset = swarm(place(values), width=max(0.011 * span, 1e-9))
        axes.plot(values, y - 0.06 + offset, "o", ms=4, mfc=colour, mec="white", mew=0.4, alpha=0.75)
        _mean_and_interval(axes, y, row)
        tell = ", ".join(part for part in (evidence.names[key], format_time(float(row["t_s"]))) if part)
        labels.append(f"{textwrap.shorten(evidence.shown(preset), 44, placeholder=' …')}\n{tell}")
    for value, colour in digital:
        axes.axvline(value, color=colour, lw=1, ls=(0, (5, 3)), zorder=0)
    axes.set_yticks(range(len(rows)), labels, fontsize=9)
    axes.set_ylim(max(1, len(rows)) - 0.45, -0.55)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", color="#e6e6e6", lw=0.8)
    axes.spines["left"].set_visible(False)
    scale_axis(axes.xaxis, evidence)
    axes.set_xlabel(f"{evidence.quantity.label}   (dot: one chip; bar: mean and 95 % interval; dashed: digital)")
    return figure


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


def band_is_percentiles(evidence: Evidence) -> bool | None:
    """Whether all bands are the middle 90 % of chips (True), the range of all chips (False), or both occur (None)."""
    measured = evidence.summary[evidence.summary["chips"] > 0]
    enough = measured["chips"] >= PRELIMINARY_BELOW
    return True if enough.all() else None if enough.any() else False


def _mean_and_interval(axes: Axes, y: float, row: Any) -> None:
    if not math.isnan(row["ci95_low"]):
        axes.plot([row["ci95_low"], row["ci95_high"]], [y + 0.27] * 2, color=INK, lw=1.6, solid_capstyle="butt")
    axes.plot([row["mean"]], [y + 0.27], marker="|", ms=9, mew=2.2, color=INK)


def _axis(evidence: Evidence) -> TimeAxis:
    return TimeAxis(evidence.summary.loc[evidence.summary["chips"] > 0, "t_s"].tolist())


def _draw_series(axes: Axes, evidence: Evidence, key: str, preset: str, number: int) -> tuple[float, str, str] | None:
    """Draw one series and return the height, the text and the colour of its label."""
    rows = evidence.series(key, preset)
    if rows.empty:
        return None
    colour, marker = COLOURS[number % len(COLOURS)], MARKERS[number % len(MARKERS)]
    x = _axis(evidence).place(rows["t_s"])
    mean, valid = rows["mean"].to_numpy(), rows["in_validity"].to_numpy(dtype=bool)
    bands = [_band(evidence.chips(key, preset, float(t))) for t in rows["t_s"]]
    low, high = (np.array(ends) for ends in zip(*bands, strict=True))
    for i in range(len(x) - 1):
        part, sound = slice(i, i + 2), bool(valid[i] and valid[i + 1])
        axes.plot(x[part], mean[part], color=colour, lw=1.8 if sound else 1.2, ls="-" if sound else (0, (3, 2)))
        axes.fill_between(x[part], low[part], high[part], color=colour, alpha=0.15 if sound else 0.06, lw=0)
    if len(x) == 1:
        axes.vlines(x, low, high, color=colour, lw=5, alpha=0.2)
        axes.axhline(mean[0], color=colour, lw=0.8, alpha=0.6)
    for xi, yi, sound in zip(x, mean, valid, strict=True):
        axes.plot([xi], [yi], marker, color=colour, ms=5.5, mfc=colour if sound else "white", mew=1.2)
    return float(mean[-1]), evidence.shown(preset), colour


def _band(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    if not len(values):  # chips that saw parts of the samples: there is no band
        return np.full(2, np.nan)
    return np.quantile(values, [0, 1] if len(values) < PRELIMINARY_BELOW else [0.05, 0.95])


def _digital_lines(evidence: Evidence) -> list[tuple[float, str]]:
    """Return value and colour of each digital line: one neutral line if all configurations have the same value."""
    values = [evidence.digital(key) for key in evidence.names]
    if len(set(values)) == 1:
        return [(values[0], INK)]
    return [(value, COLOURS[i % len(COLOURS)]) for i, value in enumerate(values)]


def _finish_panel(axes: Axes, evidence: Evidence) -> None:
    for value, colour in _digital_lines(evidence):
        axes.axhline(value, color=colour, lw=1.1, ls=(0, (5, 3)), zorder=1)
    _axis(evidence).finish(axes)
    axes.grid(axis="y", color="#e6e6e6", lw=0.8)


def _label_ends(axes: Axes, ends: list[tuple[float, str, str]]) -> None:
    """Write the name of each series beside its last point, such that no two names overlap."""
    axes.set_ylim(axes.get_ylim())  # labels must not change the limits of the axis
    left, _ = axes.get_xlim()
    ends = sorted(ends, reverse=True)
    places = [float((axes.transScale + axes.transLimits).transform((left, y))[1]) for y, _, _ in ends]
    texts = ["\n".join(textwrap.wrap(text, 26)) for _, text, _ in ends]
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
    stacked = np.concatenate([[0.0], np.cumsum((np.array(sizes[:-1]) + np.array(sizes[1:])) / 2)])
    shifts = isotonic_regression(np.array(wanted) + stacked, increasing=False).x
    top, foot = high - sizes[0] / 2, low + sizes[-1] / 2 + stacked[-1]
    centres: list[float] = (np.maximum(np.minimum(shifts, top), min(foot, top)) - stacked).tolist()
    return centres


def _legend(figure: Figure, evidence: Evidence, keys: Sequence[str]) -> None:
    handles = [
        Line2D([], [], color=COLOURS[i % len(COLOURS)], marker=MARKERS[i % len(MARKERS)], label=evidence.names[key])
        for i, key in enumerate(keys)
    ]
    handles.append(Line2D([], [], color=INK, ls=(0, (5, 3)), lw=1.1, label=DIGITAL))
    figure.legend(handles=handles, loc="outside upper left", ncols=3, frameon=False, fontsize=9)
