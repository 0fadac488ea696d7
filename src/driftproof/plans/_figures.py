"""Three figures without pyplot: the curve against the analog share, the drop by cause, the layers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from driftproof._record import Quantity
from driftproof.plans._causes import Causes
from driftproof.plans._measure import Setting
from driftproof.plans._mixed_deployment import MixedDeployment
from driftproof.plans._per_chip import PerChip
from driftproof.plans._sensitivity import Sensitivity
from driftproof.times import format_time

# the palette of Okabe and Ito, which suits all kinds of colour vision, as in reports
BLUE, RED, GREEN, GREY, INK = "#0072B2", "#D55E00", "#009E73", "#888888", "#333333"


def draw_curve(found: MixedDeployment) -> Figure:
    """Draw the metric and its intervals against the analog share of multiply-accumulates. Mark the chosen point."""
    figure = Figure(figsize=(8.2, 4.8))
    axes = figure.subplots()
    points = sorted(found.points, key=lambda point: point.analog_macs)
    shares, means = [point.analog_macs for point in points], [point.report.mean for point in points]
    lows, highs = zip(*(_ends(point.report, found.quantity.ends) for point in points), strict=True)
    axes.plot(shares, [point.selection.mean for point in points], color=GREY, lw=1, ls=(0, (1, 1.5)), zorder=2)
    axes.plot(shares, means, color=BLUE, lw=1.8, zorder=3)
    axes.vlines(shares, lows, highs, colors=BLUE, lw=1.2, zorder=3)
    for point in points:
        searched = point.kind != "rest"
        axes.plot([point.analog_macs], [point.report.mean], "o", ms=5.5, color=BLUE, mfc=BLUE if searched else "white")
    _line(axes, found.report_digital, f"digital {found.quantity.said(found.report_digital)}", INK)
    _line(axes, found.target, f"target {found.quantity.said(found.target)}", RED)
    axes.set_xlim(-2, 102)
    _mark_chosen(axes, found)
    axes.set_xlabel("analog share of the multiply-accumulates in %")
    axes.set_ylabel(found.quantity.label)
    axes.grid(axis="y", color="#e6e6e6", lw=0.8)
    chips, choosers = len(found.chosen.report), len(found.chosen.selection)
    _title(
        axes,
        f"{_on(found.setting)}: the fewest digital layers",
        f"blue: mean and 95 % interval over {chips} chips, {found.report_samples:,} samples; filled: searched, open: "
        f"by the last ranking\ndotted: the {choosers} other chips and {found.choose_samples:,} other samples on which "
        "the layers were chosen",
    )
    return figure


def draw_causes(found: Causes) -> Figure:
    """Draw the drop by cause as bars with intervals, and the whole drop below them."""
    figure = Figure(figsize=(8.2, 3.6))
    axes = figure.subplots()
    drops = [*(cause.drop for cause in found.causes), found.total]
    lows, highs = zip(*map(_ends, drops), strict=True)
    means = [drop.mean for drop in drops]
    reach = max(map(abs, (*means, *lows, *highs))) or 1.0
    rows, colours = range(len(drops)), [BLUE] * len(found.causes) + [GREY]
    axes.barh(rows, means, height=0.62, color=colours, alpha=0.6)
    axes.hlines(rows, lows, highs, colors=INK, lw=1.4)
    for y, mean, high in zip(rows, means, highs, strict=True):
        text = found.quantity.number(mean)
        axes.text(max(high, mean, 0) + 0.015 * reach, y, text, va="center", fontsize=9.5)
    _name_rows(axes, [*(cause.name for cause in found.causes), "all"])
    change, points = "drop" if found.quantity.higher_is_better else "rise", _points(found.quantity)
    axes.set_xlabel(f"{change} of {found.quantity.title}{points}")
    _title(
        axes,
        f"{_on(found.setting)}: causes of the drop",
        f"each cause switched on after those above it, on the same {len(found.total)} chips, {found.n_samples:,} "
        f"samples\nline: 95 % interval of paired differences; digital {found.quantity.said(found.digital)}, the device "
        f"{found.quantity.said(found.causes[-1].values.mean)}",
    )
    return figure


def draw_layers(found: Sensitivity) -> Figure:
    """Draw each layer's drop when only it is analog, and its gain when only it is digital, with intervals."""
    names = [layer.name or "(root)" for layer in found.layers]
    figure = Figure(figsize=(8.2, 1.3 + 0.26 * len(names)))
    panels = figure.subplots(1, 2, sharey=True)
    points = _points(found.quantity)
    sides = (
        (RED, f"drop{points}, only this layer analog", [layer.drop for layer in found.layers]),
        (GREEN, f"gain{points}, only this layer digital", [layer.gain for layer in found.layers]),
    )
    for axes, (colour, title, values) in zip(panels, sides, strict=True):
        lows, highs = zip(*map(_ends, values), strict=True)
        axes.hlines(range(len(names)), lows, highs, colors=colour, lw=1.6, alpha=0.6)
        axes.plot([value.mean for value in values], range(len(names)), "o", color=colour, ms=5)
        axes.set_xlabel(title, fontsize=9.5)
        _name_rows(axes, names, fontsize=9)
    figure.subplots_adjust(wspace=0.08)
    _title(
        panels[0],
        f"{_on(found.setting)}: layer by layer",
        f"mean and 95 % interval of paired differences over {len(found.analog)} chips, {found.n_samples:,} samples\n"
        f"digital {found.quantity.said(found.digital)}, all analog {found.quantity.said(found.analog.mean)}",
    )
    return figure


def _name_rows(axes: Axes, names: Sequence[str], fontsize: float | None = None) -> None:
    """Name the rows of axes from top to bottom, and draw a line at zero."""
    axes.axvline(0, color=GREY, lw=0.8, zorder=1)
    axes.set_yticks(range(len(names)), names, fontsize=fontsize)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x", color="#e6e6e6", lw=0.8)


def _mark_chosen(axes: Axes, found: MixedDeployment) -> None:
    chosen, count = found.chosen, len(found.chosen.digital)
    text = (
        f"chosen: {count} digital layer{'s' if count != 1 else ''},\n{100 - chosen.analog_macs:.1f} % of the "
        f"multiply-accumulates:\n{found.quantity.said(chosen.report.mean)}"
    )
    axes.plot([chosen.analog_macs], [chosen.report.mean], "o", ms=12, mfc="none", mec=RED, mew=1.6, zorder=4)
    left = chosen.analog_macs > 40  # where there is room: the curve comes from the upper left
    axes.annotate(
        text,
        (chosen.analog_macs, chosen.report.mean),
        xytext=(-45 if left else 45, -45),
        textcoords="offset points",
        color=RED,
        fontsize=9.5,
        ha="right" if left else "left",
        va="top",
        arrowprops={"arrowstyle": "-", "color": RED, "lw": 0.8, "shrinkB": 7},
    )


def _line(axes: Axes, value: float, text: str, colour: str) -> None:
    axes.axhline(value, color=colour, lw=1.1, ls=(0, (5, 3)), zorder=1)
    # next to the axis, where no curve runs
    axes.annotate(text, (1.01, value), xycoords=("axes fraction", "data"), color=colour, fontsize=9, va="center")


def _title(axes: Axes, title: str, more: str) -> None:
    above = 8 + 12 * len(more.splitlines())
    place: dict[str, Any] = {"xycoords": "axes fraction", "textcoords": "offset points"}
    axes.annotate(title, (0, 1), (0, above), fontweight="bold", **place)
    axes.annotate(more, (0, 1), (0, 7), fontsize=8.5, color=GREY, **place)


def _on(setting: Setting) -> str:
    outside = "" if setting.in_validity else " (outside its range of validity)"
    return f"{setting.device} at {format_time(setting.t_s)}{outside}"


def _points(quantity: Quantity) -> str:
    return " in points" if quantity.percent else ""


def _ends(values: PerChip, limits: tuple[float, float] = (-math.inf, math.inf)) -> tuple[float, float]:
    """Return the ends of the interval, or the mean twice if there is one chip only."""
    low, high = values.within(limits)
    return (values.mean, values.mean) if math.isnan(low) else (low, high)
