"""The four plots of a device's card as one figure. The same card gives the same bytes."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby, pairwise
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator

from driftproof._drawing import COLOURS, GRID, INK, SOFT, letter_size, magnified
from driftproof._presets.card import Card, WeightError
from driftproof._reporting.time_axis import TimeAxis
from driftproof.times import format_time

_DASHED = (0, (3, 2))
_EXACT = "no error: every weight is exact"


def card_figure(card: Card) -> Figure:
    """Draw the spread against the target, the drift, the courses over time, and the errors of weights."""
    figure = Figure(figsize=(8.2, 5.7), layout="constrained")
    panels = figure.subplots(2, 2)
    for panel, draw, title in zip(panels.flat, (_spread, _drift, _courses, _errors), titles(card), strict=True):
        panel.set_title(title, fontsize=letter_size(), loc="left", fontweight="bold")
        draw(panel, card)
    if isinstance(layout := figure.get_layout_engine(), ConstrainedLayoutEngine):
        layout.set(w_pad=0.1, h_pad=0.1)
    return figure


PANELS = ("programming", "drift", "conductance", "weights")
"""What the panels show, by the words of :func:`driftproof.figures.plot_device`."""


def draw_panel(axes: Axes, card: Card, of: str) -> None:
    """Draw one panel of :func:`card_figure` into axes, without its title."""
    dict(zip(PANELS, (_spread, _drift, _courses, _errors), strict=True))[of](axes, card)


def titles(card: Card) -> tuple[str, str, str, str]:
    """Return the titles of the four panels."""
    drift = "Drift exponent" if card.exponent else "Shift and spread" if card.shift else "Drift"
    if card.unit == "µS":
        return "Spread of programmed conductance", drift, "Conductance over time", "Error of a tile's weights"
    return "Error of a programmed weight", drift, "Weights over time", "Error of a tile's weights"


def _spread(axes: Axes, card: Card) -> None:
    largest = max(value for row in card.spreads for value in row.sigma)
    if not largest:
        _message(axes, _EXACT)
        return
    for place, row in enumerate(card.spreads):
        label = f"at {format_time(row.t_s)}"
        axes.plot(card.targets, row.sigma, color=COLOURS[place % len(COLOURS)], lw=1.8 * magnified(), label=label)
    several = len(card.spreads) > 1
    _target_axis(axes, card)
    axes.set_ylabel("σ in µS" if card.unit == "µS" else "rms error in % of maximum")
    axes.set_ylim(0, (1.28 if several else 1.12) * largest)
    if several:
        _legend(axes, columns=3)


def _drift(axes: Axes, card: Card) -> None:
    if card.exponent:
        mean, sd = np.array(card.exponent.mean), np.array(card.exponent.sd)
        axes.fill_between(card.targets, mean - sd, mean + sd, color=COLOURS[0], alpha=0.18, lw=0)
        axes.plot(card.targets, mean, color=COLOURS[0], lw=1.8 * magnified())
        _target_axis(axes, card)
        axes.set_ylabel("ν  (mean ± sd of devices)")
        axes.set_ylim(0, 1.12 * float((mean + sd).max()) or 1.0)
    elif card.shift:
        _through_time(axes, card, card.shift.mean, COLOURS[0], "mean shift from target")
        _through_time(axes, card, card.shift.sd, COLOURS[1], "spread σ")
        _time_axis(axes, card)
        axes.axhline(0, color=INK, lw=0.6 * magnified())
        unit = "µS" if card.unit == "µS" else "% of maximum"
        axes.set_ylabel(f"{unit}, for a target of {card.shift.target:.3g} {unit}")
        low, high = axes.get_ylim()
        axes.set_ylim(low, high + 0.2 * (high - low))
        _legend(axes, columns=2)
    else:
        _message(axes, "no drift law in this preset")


def _courses(axes: Axes, card: Card) -> None:
    for course in card.courses:
        _through_time(axes, card, course.mean, COLOURS[0], band=(course.low, course.high))
    _time_axis(axes, card)
    axes.set_ylabel("G in µS  (mean, 5 to 95 %)" if card.unit == "µS" else "weight in %  (mean, 5 to 95 %)")


def _errors(axes: Axes, card: Card) -> None:
    if not any(error.normal for error in card.errors):
        _message(axes, _EXACT)
        return
    count = len(card.errors[0].shares)
    edges = np.linspace(-card.limit, card.limit, count + 1)
    for place, (shares, group) in enumerate(groupby(card.errors, key=lambda error: error.shares)):
        same = list(group)
        valid = any(card.in_validity(error.t_s) for error in same)
        style = _line(COLOURS[place % len(COLOURS)], 1.5, valid)
        axes.stairs(shares, edges, label=_error_label(card, same), **style)
    axes.set_xlim(-card.limit, card.limit)
    axes.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    axes.set_ylim(0, 1.45 * max(max(error.shares) for error in card.errors))  # room for the legend
    axes.set_xlabel(f"error in % of {'layer' if 'layer' in card.unit else 'column'}'s maximum")
    axes.set_ylabel(f"% of weights per {2 * card.limit / count:.2g} %")
    _legend(axes, columns=1)
    if not all(card.in_validity(error.t_s) for error in card.errors):
        _remark(axes, "* outside validity")
    _grid(axes)


def _error_label(card: Card, same: Sequence[WeightError]) -> str:
    """Return the times that share a histogram, with a star outside validity, and its root mean square."""
    times = ", ".join(format_time(e.t_s) + ("" if card.in_validity(e.t_s) else "*") for e in same)
    return f"{times}: rms {same[0].normal:.2g} %"


# --- parts of a panel ---


def _line(colour: str, width: float, valid: bool) -> dict[str, Any]:
    """Return the style of a line: solid within validity, pale and dashed outside."""
    if valid:
        return {"color": colour, "lw": width * magnified(), "ls": "-", "alpha": 1.0}
    return {"color": colour, "lw": 1.1 * magnified(), "ls": _DASHED, "alpha": 0.65}


def _through_time(
    axes: Axes,
    card: Card,
    row: Sequence[float],
    colour: str,
    label: str = "",
    band: tuple[Sequence[float], Sequence[float]] | None = None,
) -> None:
    """Draw a row over the card's times, in one part per change between times within validity and outside."""
    x = np.log10(card.times_s)
    inside = [card.in_validity(t_s) for t_s in card.times_s]
    ends = [i for i in range(1, len(x) - 1) if inside[i] and inside[i - 1] != inside[i + 1]]
    for start, end in pairwise([0, *ends, len(x) - 1]):
        part, valid = slice(start, end + 1), inside[start] and inside[end]
        if band:
            low, high = (np.array(side)[part] for side in band)
            axes.fill_between(x[part], low, high, color=colour, alpha=0.22 if valid else 0.09, lw=0)
        name = label if label and start == 0 else None
        axes.plot(x[part], np.array(row)[part], label=name, **_line(colour, 1.6, valid))


def _time_axis(axes: Axes, card: Card) -> None:
    """Draw the time axis, logarithmic from 1 s to 10 years, with a shade where the preset is not valid."""
    TimeAxis(card.times_s).finish(axes)
    left, right = axes.get_xlim()
    low, high = (np.log10(max(t_s, 1e-9)) for t_s in card.valid_s)
    for start, end in ((left, min(low, right)), (max(high, left), right)):
        if end - start > 0.3:
            axes.axvspan(start, end, color="#f1f1f1", lw=0, zorder=0)
    if not all(card.in_validity(t_s) for t_s in card.times_s):
        _remark(axes, "grey: outside validity")
    _grid(axes)


def _target_axis(axes: Axes, card: Card) -> None:
    axes.set_xlabel("target conductance in µS" if card.unit == "µS" else f"|weight| in {card.unit}")
    low, high = card.targets[0], card.targets[-1]
    axes.set_xlim(low - 0.02 * (high - low), high + 0.02 * (high - low))
    axes.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    _grid(axes)


def _grid(axes: Axes) -> None:
    axes.grid(axis="y", color=GRID, lw=0.8 * magnified())
    axes.tick_params(labelsize=letter_size(0.9), length=3)
    axes.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    axes.yaxis.labelpad = 6


def _legend(axes: Axes, columns: int) -> None:
    room = {"labelspacing": 0.25, "borderpad": 0.1, "columnspacing": 1.4, "handlelength": 1.6}
    axes.legend(frameon=False, fontsize=letter_size(0.85), loc="upper center", ncols=columns, **room)


def _remark(axes: Axes, text: str) -> None:
    """Write a short text at the right end of the title's line."""
    axes.set_title(text, loc="right", fontsize=letter_size(0.8), color=SOFT)


def _message(axes: Axes, text: str) -> None:
    """Write why a panel has nothing to draw."""
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", color=SOFT)
    axes.set(xticks=[], yticks=[], facecolor="#f7f7f7")
    axes.spines[:].set_visible(False)
