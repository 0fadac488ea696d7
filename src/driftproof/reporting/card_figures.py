"""The four plots of a device's card as one figure; the same card gives the same bytes."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator

from driftproof.presets.card import Card, WeightError
from driftproof.reporting.figures import COLOURS, INK
from driftproof.reporting.time_axis import TimeAxis
from driftproof.times import format_time

SOFT = "#777777"
_DASHED = (0, (3, 2))
_EXACT = "no error: every weight is exact"


def card_figure(card: Card) -> Figure:
    """Draw spread against target, drift, courses through time, and the errors of weights, in this order."""
    figure = Figure(figsize=(8.2, 5.7), layout="constrained")
    panels = figure.subplots(2, 2)
    for panel, draw, title in zip(panels.flat, (_spread, _drift, _courses, _errors), titles(card), strict=True):
        panel.set_title(title, fontsize=10, loc="left", fontweight="bold")
        draw(panel, card)
    if isinstance(layout := figure.get_layout_engine(), ConstrainedLayoutEngine):
        layout.set(w_pad=0.1, h_pad=0.1)
    return figure


def titles(card: Card) -> tuple[str, str, str, str]:
    """Return what each panel shows, in words."""
    devices = card.unit == "µS"
    spread = "Spread of programmed conductance" if devices else "Error of a programmed weight"
    drift = "Drift exponent" if card.exponent else "Shift and spread" if card.shift else "Drift"
    return spread, drift, "Conductance over time" if devices else "Weights over time", "Error of a tile's weights"


def _short(card: Card) -> str:
    """The card's unit where there is little room."""
    return "µS" if card.unit == "µS" else "% of maximum"


def _spread(axes: Axes, card: Card) -> None:
    if not any(value for row in card.spreads for value in row.sigma):
        _message(axes, _EXACT)
        return
    for place, row in enumerate(card.spreads):
        label = f"at {format_time(row.t_s)}"
        axes.plot(card.targets, row.sigma, color=COLOURS[place % len(COLOURS)], lw=1.8, label=label)
    several = len(card.spreads) > 1
    _target_axis(axes, card)
    axes.set_ylabel(f"σ in {_short(card)}" if card.unit == "µS" else f"rms error in {_short(card)}")
    _from_zero(axes, [value for row in card.spreads for value in row.sigma], room=1.28 if several else 1.12)
    if several:
        _legend(axes, columns=3)


def _drift(axes: Axes, card: Card) -> None:
    if card.exponent:
        mean, sd = np.array(card.exponent.mean), np.array(card.exponent.sd)
        axes.fill_between(card.targets, mean - sd, mean + sd, color=COLOURS[0], alpha=0.18, lw=0)
        axes.plot(card.targets, mean, color=COLOURS[0], lw=1.8)
        _target_axis(axes, card)
        axes.set_ylabel("ν  (mean ± sd of devices)")
        _from_zero(axes, [float(end) for end in mean + sd])
    elif card.shift:
        for row, colour, label in (
            (card.shift.mean, COLOURS[0], "mean shift from target"),
            (card.shift.sd, COLOURS[1], "spread σ"),
        ):
            _through_time(axes, card, row, colour, label)
        _time_axis(axes, card)
        axes.axhline(0, color=INK, lw=0.6)
        axes.set_ylabel(f"{_short(card)}, for a target of {card.shift.target:.3g} {_short(card)}")
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
    top = 0.0
    for place, (shares, group) in enumerate(groupby(card.errors, key=lambda error: error.shares)):
        same = list(group)
        valid = any(card.in_validity(error.t_s) for error in same)
        colour = COLOURS[place % len(COLOURS)]
        axes.stairs(
            shares,
            edges,
            color=colour,
            lw=1.5 if valid else 1.1,
            ls="-" if valid else _DASHED,
            alpha=1.0 if valid else 0.65,
            label=_error_label(card, same),
        )
        top = max(top, *shares)
    axes.set_xlim(-card.limit, card.limit)
    axes.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    axes.set_ylim(0, 1.45 * top)  # room for the legend
    axes.set_xlabel(f"error in % of {'layer' if 'layer' in card.unit else 'column'}'s maximum")
    axes.set_ylabel(f"% of weights per {2 * card.limit / count:.2g} %")
    _legend(axes, columns=1)
    if not all(card.in_validity(error.t_s) for error in card.errors):
        _remark(axes, "* outside validity")
    _grid(axes)


def _error_label(card: Card, same: Sequence[WeightError]) -> str:
    """Times that share one histogram, those outside validity with a star, and its root mean square."""
    times = ", ".join(format_time(e.t_s) + ("" if card.in_validity(e.t_s) else "*") for e in same)
    return f"{times}: rms {same[0].normal:.2g} %"


# --- parts of a panel ---


def _through_time(
    axes: Axes,
    card: Card,
    row: Sequence[float],
    colour: str,
    label: str = "",
    band: tuple[Sequence[float], Sequence[float]] | None = None,
) -> None:
    """Draw a row over the card's times: solid within validity, pale and dashed outside."""
    x = np.log10(card.times_s)
    inside = [card.in_validity(t_s) for t_s in card.times_s]
    ends = [i for i in range(1, len(x) - 1) if inside[i] and inside[i - 1] != inside[i + 1]]
    named = False
    for start, end in zip([0, *ends], [*ends, len(x) - 1], strict=True):
        part, sound = slice(start, end + 1), inside[start] and inside[end]
        if band:
            low, high = (np.array(end)[part] for end in band)
            axes.fill_between(x[part], low, high, color=colour, alpha=0.22 if sound else 0.09, lw=0)
        axes.plot(
            x[part],
            np.array(row)[part],
            color=colour,
            lw=1.6 if sound else 1.1,
            ls="-" if sound else _DASHED,
            alpha=1.0 if sound else 0.65,
            label=label if label and not named else None,
        )
        named = True


def _time_axis(axes: Axes, card: Card) -> None:
    """Log time from 1 s to 10 years, shaded where the preset is not valid."""
    scale = TimeAxis(card.times_s)
    scale.finish(axes)
    left, right = axes.get_xlim()
    low, high = (np.log10(max(t_s, 1e-9)) for t_s in card.valid_s)
    outside = [(left, min(low, right)), (max(high, left), right)]
    for start, end in outside:
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


def _from_zero(axes: Axes, values: Sequence[float], room: float = 1.12) -> None:
    axes.set_ylim(0, room * max(values) or 1.0)


def _grid(axes: Axes) -> None:
    axes.grid(axis="y", color="#e6e6e6", lw=0.8)
    axes.tick_params(labelsize=9, length=3)
    axes.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    axes.yaxis.labelpad = 6


def _legend(axes: Axes, columns: int) -> None:
    axes.legend(
        frameon=False,
        fontsize=8.5,
        loc="upper center",
        ncols=columns,
        labelspacing=0.25,
        borderpad=0.1,
        columnspacing=1.4,
        handlelength=1.6,
    )


def _remark(axes: Axes, text: str) -> None:
    """Write a few words at the right end of the title's line."""
    axes.set_title(text, loc="right", fontsize=8, color=SOFT)


def _message(axes: Axes, text: str) -> None:
    """Write why a panel has nothing to draw."""
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", color=SOFT)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_facecolor("#f7f7f7")
    axes.spines[:].set_visible(False)
