"""Three figures: the curve against the analog share, the drop by cause, the layers. Without pyplot."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from driftproof.plans.causes import Causes
from driftproof.plans.measure import Setting
from driftproof.plans.mixed_deployment import MixedDeployment, Point
from driftproof.plans.per_chip import PerChip
from driftproof.plans.sensitivity import Sensitivity
from driftproof.record import Quantity
from driftproof.times import format_time

# of Okabe and Ito, for all kinds of colour vision, as in reports
BLUE, RED, GREEN, GREY, INK = "#0072B2", "#D55E00", "#009E73", "#888888", "#333333"


def draw_curve(found: MixedDeployment) -> Figure:
    """Draw the metric against the analog share of the multiply-accumulates, with intervals; the chosen point marked."""
    figure = Figure(figsize=(8.2, 4.8))
    axes = figure.subplots()
    points = sorted(found.points, key=lambda point: point.analog_macs)
    shares = [point.analog_macs for point in points]
    means, arms = [point.report.mean for point in points], [_arms(point.report, found.quantity) for point in points]
    axes.plot(shares, [point.selection.mean for point in points], color=GREY, lw=1, ls=(0, (1, 1.5)), zorder=2)
    axes.plot(shares, means, color=BLUE, lw=1.8, zorder=3)
    axes.errorbar(shares, means, yerr=list(zip(*arms, strict=True)), fmt="none", ecolor=BLUE, elinewidth=1.2, zorder=3)
    for point in points:
        searched = point.kind != "rest"
        axes.plot([point.analog_macs], [point.report.mean], "o", ms=5.5, color=BLUE, mfc=BLUE if searched else "white")
    _line(axes, found.report_digital, f"digital {found.quantity.said(found.report_digital)}", INK)
    _line(axes, found.target, f"target {found.quantity.said(found.target)}", RED)
    axes.set_xlim(-2, 102)
    _mark_chosen(axes, found, found.chosen)
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
    bars = [*((cause.name, cause.drop, BLUE) for cause in found.causes), ("all", found.total, GREY)]
    reach = max(abs(end) for _, drop, _ in bars for end in (drop.mean, *_ends(drop))) or 1.0
    for y, (_, drop, colour) in enumerate(bars):
        axes.barh(y, drop.mean, height=0.62, color=colour, alpha=0.6)
        low, high = _ends(drop)
        axes.plot([low, high], [y, y], color=INK, lw=1.4, solid_capstyle="butt")
        text = found.quantity.number(drop.mean)
        axes.text(max(high, drop.mean, 0) + 0.015 * reach, y, text, va="center", fontsize=9.5)
    axes.axvline(0, color=GREY, lw=0.8)
    axes.set_yticks(range(len(bars)), [name for name, _, _ in bars])
    axes.set_ylim(len(bars) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x", color="#e6e6e6", lw=0.8)
    axes.set_xlabel(_worse(found.quantity))
    _title(
        axes,
        f"{_on(found.setting)}: what the drop is made of",
        f"each cause switched on after those above it, on the same {len(found.total)} chips, {found.n_samples:,} "
        f"samples\nline: 95 % interval of paired differences; digital {found.quantity.said(found.digital)}, the device "
        f"{found.quantity.said(found.causes[-1].values.mean)}",
    )
    return figure


def draw_layers(found: Sensitivity) -> Figure:
    """Draw every layer's drop when only it is analog and gain when only it is digital, with intervals."""
    count = len(found.layers)
    figure = Figure(figsize=(8.2, 1.3 + 0.26 * count))
    panels = figure.subplots(1, 2, sharey=True)
    sides = (
        (RED, "drop{}, only this layer analog", [layer.drop for layer in found.layers]),
        (GREEN, "gain{}, only this layer digital", [layer.gain for layer in found.layers]),
    )
    for axes, (colour, title, values) in zip(panels, sides, strict=True):
        _dots(axes, values, colour)
        axes.set_xlabel(title.format(" in points" if found.quantity.percent else ""), fontsize=9.5)
        axes.axvline(0, color=GREY, lw=0.8, zorder=1)
        axes.grid(axis="x", color="#e6e6e6", lw=0.8)
        axes.spines["left"].set_visible(False)
        axes.tick_params(axis="y", length=0)
    panels[0].set_yticks(range(count), [layer.name or "(root)" for layer in found.layers], fontsize=9)
    panels[0].set_ylim(count - 0.4, -0.6)
    figure.subplots_adjust(wspace=0.08)
    _title(
        panels[0],
        f"{_on(found.setting)}: layer by layer",
        f"mean and 95 % interval of paired differences over {len(found.analog)} chips, {found.n_samples:,} samples\n"
        f"digital {found.quantity.said(found.digital)}, all analog {found.quantity.said(found.analog.mean)}",
    )
    return figure


def _dots(axes: Axes, values: Sequence[PerChip], colour: str) -> None:
    for y, value in enumerate(values):
        axes.plot(_ends(value), [y, y], color=colour, lw=1.6, alpha=0.6, solid_capstyle="butt")
        axes.plot([value.mean], [y], "o", color=colour, ms=5)


def _mark_chosen(axes: Axes, found: MixedDeployment, chosen: Point) -> None:
    count = len(chosen.digital)
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
    # beside the axis, where no curve runs
    axes.annotate(text, (1.01, value), xycoords=("axes fraction", "data"), color=colour, fontsize=9, va="center")


def _title(axes: Axes, title: str, more: str) -> None:
    lines = more.count("\n") + 1
    axes.annotate(
        title, (0, 1), (0, 8 + 12 * lines), xycoords="axes fraction", textcoords="offset points", fontweight="bold"
    )
    axes.annotate(more, (0, 1), (0, 7), xycoords="axes fraction", textcoords="offset points", fontsize=8.5, color=GREY)


def _on(setting: Setting) -> str:
    outside = "" if setting.in_validity else " (outside its range of validity)"
    return f"{setting.device} at {format_time(setting.t_s)}{outside}"


def _worse(quantity: Quantity) -> str:
    what = "drop" if quantity.higher_is_better else "rise"
    return f"{what} of {quantity.title}{' in points' if quantity.percent else ''}"


def _ends(values: PerChip) -> tuple[float, float]:
    """Return the interval; the mean twice where one chip leaves none."""
    low, high = values.interval
    return (values.mean, values.mean) if low != low else (low, high)


def _arms(values: PerChip, quantity: Quantity) -> tuple[float, float]:
    low, high = values.within(quantity.ends)
    return (0.0, 0.0) if low != low else (values.mean - low, high - values.mean)
