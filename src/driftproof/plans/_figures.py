"""Three figures of a chip's layers: the curve against the analog share, the drop by cause, the layers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from driftproof._drawing import COLOURS, COLUMN, FULL, GRID, INK, axes_of, letter_size, letters_in, magnified, wrapped
from driftproof._errors import check_choice
from driftproof._keywords import checks_keywords
from driftproof._record import Quantity
from driftproof.plans._causes import Causes
from driftproof.plans._free_place import free_place
from driftproof.plans._measure import Setting
from driftproof.plans._mixed_deployment import MixedDeployment
from driftproof.plans._per_chip import PerChip
from driftproof.plans._sensitivity import Sensitivity
from driftproof.times import format_time

BLUE, RED, GREEN = COLOURS[:3]
GREY = "#888888"


def draw_curve(found: MixedDeployment) -> Figure:
    """Draw the metric and its intervals against the analog share of multiply-accumulates. Mark the chosen point."""
    figure = _figure(8.2, 4.8, COLUMN, 3.6)
    axes = figure.subplots()
    _curve(axes, found)
    chips, choosers = len(found.chosen.report), len(found.chosen.selection)
    _title(
        axes,
        f"{_on(found.setting)}: the fewest digital layers",
        f"blue: mean and 95 % interval over {chips} chips, {found.report_samples:,} samples; filled: searched, open: "
        f"by the last ranking",
        f"dotted: the {choosers} other chips and {found.choose_samples:,} other samples on which the layers were "
        "chosen",
    )
    return figure


@checks_keywords
def plot_curve(found: MixedDeployment, ax: Axes | None = None, *, width: float = COLUMN) -> Axes:
    """Plot what :func:`draw_curve` draws, without a title, and return the axes.

    Args:
        found: What :func:`driftproof.plans.choose_digital_layers` returned.
        ax: Axes to draw into (default: a new figure with letters of 8 points).
        width: Width of a new figure in inches.
    """
    with axes_of(ax, width) as axes:
        _curve(axes, found)
    return axes


def draw_causes(found: Causes) -> Figure:
    """Draw the drop by cause as bars with intervals, and the whole drop below them."""
    figure = _figure(8.2, 3.6, COLUMN, 2.8)
    axes = figure.subplots()
    _causes(axes, found)
    _title(
        axes,
        f"{_on(found.setting)}: causes of the drop",
        f"each cause switched on after those above it, on the same {len(found.total)} chips, {found.n_samples:,} "
        "samples",
        f"line: 95 % interval of paired differences; digital {found.quantity.said(found.digital)}, the device "
        f"{found.quantity.said(found.causes[-1].values.mean)}",
    )
    return figure


@checks_keywords
def plot_causes(found: Causes, ax: Axes | None = None, *, width: float = COLUMN) -> Axes:
    """Plot what :func:`draw_causes` draws, without a title, and return the axes.

    Args:
        found: What :func:`driftproof.plans.causes` returned.
        ax: Axes to draw into (default: a new figure with letters of 8 points).
        width: Width of a new figure in inches.
    """
    with axes_of(ax, width, 0.55 + 0.22 * (len(found.causes) + 1)) as axes:
        _causes(axes, found)
    return axes


def draw_layers(found: Sensitivity) -> Figure:
    """Draw each layer's drop when only it is analog, and its gain when only it is digital, with intervals."""
    rows = len(found.layers)
    figure = _figure(8.2, 1.3 + 0.26 * rows, FULL, 1.1 + 0.17 * rows)
    panels = figure.subplots(1, 2, sharey=True)
    for axes, of in zip(panels, SIDES, strict=True):
        _layers(axes, found, of)
    if magnified() >= 1:
        figure.subplots_adjust(wspace=0.08)
    _title(
        panels[0],
        f"{_on(found.setting)}: layer by layer",
        f"mean and 95 % interval of paired differences over {len(found.analog)} chips, {found.n_samples:,} samples",
        f"digital {found.quantity.said(found.digital)}, all analog {found.quantity.said(found.analog.mean)}",
    )
    return figure


@checks_keywords
def plot_layers(
    found: Sensitivity, ax: Axes | None = None, *, of: Literal["drop", "gain"] = "drop", width: float = COLUMN
) -> Axes:
    """Plot one side of what :func:`draw_layers` draws, without a title, and return the axes.

    Args:
        found: What :func:`driftproof.plans.sensitivity` returned.
        ax: Axes to draw into (default: a new figure with letters of 8 points).
        of: ``drop``, when only one layer is analog, or ``gain``, when only one layer is digital.
        width: Width of a new figure in inches.

    Raises:
        DriftproofError: ``of`` is another word.
    """
    check_choice("of", of, SIDES)
    with axes_of(ax, width, 0.5 + 0.17 * len(found.layers)) as axes:
        _layers(axes, found, of)
    return axes


SIDES = ("drop", "gain")


def _figure(width: float, height: float, paper_width: float, paper_height: float) -> Figure:
    """Return a figure for the screen, or for a paper if letters are that small, which then has its very width."""
    if magnified() >= 1:
        return Figure(figsize=(width, height))
    return Figure(figsize=(paper_width, paper_height), layout="constrained")


def _curve(axes: Axes, found: MixedDeployment) -> None:
    size = magnified()
    points = sorted(found.points, key=lambda point: point.analog_macs)
    shares, means = [point.analog_macs for point in points], [point.report.mean for point in points]
    lows, highs = zip(*(_ends(point.report, found.quantity.ends) for point in points), strict=True)
    chosen_on = [point.selection.mean for point in points]
    axes.plot(shares, chosen_on, color=GREY, lw=size, ls=(0, (1, 1.5)), zorder=2)
    axes.plot(shares, means, color=BLUE, lw=1.8 * size, zorder=3)
    axes.vlines(shares, lows, highs, colors=BLUE, lw=1.2 * size, zorder=3)
    for point in points:
        face = BLUE if point.kind != "rest" else "white"
        axes.plot([point.analog_macs], [point.report.mean], "o", ms=5.5 * size, color=BLUE, mfc=face)
    lines = ((found.report_digital, "digital", INK), (found.target, "target", RED))
    for value, _, colour in lines:
        axes.axhline(value, color=colour, lw=1.1 * size, ls=(0, (5, 3)), zorder=1)
    axes.set_xlim(-2, 102)
    axes.set_ylim(axes.get_ylim())
    drawn: list[tuple[Sequence[float], Sequence[float]]] = [(shares, means), (shares, chosen_on)]
    drawn += [([x, x], [low, high]) for x, low, high in zip(shares, lows, highs, strict=True)]
    drawn += [([-2.0, 102.0], [value, value]) for value, _, _ in lines]
    _name_lines(axes, [(value, f"{name} {found.quantity.said(value)}", colour) for value, name, colour in lines])
    _mark_chosen(axes, found, drawn)
    axes.set_xlabel("analog share of the multiply-accumulates in %")
    axes.set_ylabel(found.quantity.label)
    axes.grid(axis="y", color=GRID, lw=0.8 * size)


def _causes(axes: Axes, found: Causes) -> None:
    size, font = magnified(), letter_size()
    drops = [*(cause.drop for cause in found.causes), found.total]
    lows, highs = zip(*map(_ends, drops), strict=True)
    means = [drop.mean for drop in drops]
    rows, colours = range(len(drops)), [BLUE] * len(found.causes) + [GREY]
    axes.barh(rows, means, height=0.62, color=colours, alpha=0.6)
    axes.hlines(rows, lows, highs, colors=INK, lw=1.4 * size)
    for y, mean, low, high in zip(rows, means, lows, highs, strict=True):
        # beyond the end of the bar and of its interval, on the side to which the bar points
        below = mean < 0
        axes.annotate(
            found.quantity.number(mean),
            (min(low, mean) if below else max(high, mean), y),
            (-4 if below else 4, 0),
            textcoords="offset points",
            ha="right" if below else "left",
            va="center",
            fontsize=0.95 * font,
        )
    axes.margins(x=0.16)  # room for the numbers
    _name_rows(axes, [*(cause.name for cause in found.causes), "all"])
    change, points = "drop" if found.quantity.higher_is_better else "rise", _points(found.quantity)
    axes.set_xlabel(f"{change} of {found.quantity.title}{points}")


def _layers(axes: Axes, found: Sensitivity, of: str) -> None:
    names = [layer.name or "(root)" for layer in found.layers]
    size, font = magnified(), letter_size()
    colour, kept = (RED, "analog") if of == "drop" else (GREEN, "digital")
    values: list[PerChip] = [getattr(layer, of) for layer in found.layers]
    lows, highs = zip(*map(_ends, values), strict=True)
    axes.hlines(range(len(names)), lows, highs, colors=colour, lw=1.6 * size, alpha=0.6)
    axes.plot([value.mean for value in values], range(len(names)), "o", color=colour, ms=5 * size)
    axes.set_xlabel(f"{of}{_points(found.quantity)}, only this layer {kept}", fontsize=0.95 * font)
    _name_rows(axes, names, fontsize=0.9 * font)


def _name_rows(axes: Axes, names: Sequence[str], fontsize: float | None = None) -> None:
    """Name the rows of axes from top to bottom, and draw a line at zero."""
    axes.axvline(0, color=GREY, lw=0.8 * magnified(), zorder=1)
    axes.set_yticks(range(len(names)), names, fontsize=fontsize)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x", color=GRID, lw=0.8 * magnified())


def _mark_chosen(axes: Axes, found: MixedDeployment, drawn: Sequence[tuple[Sequence[float], Sequence[float]]]) -> None:
    """Ring the chosen point, and write what it is where nothing is drawn."""
    chosen, count, size = found.chosen, len(found.chosen.digital), magnified()
    text = (
        f"chosen: {count} digital layer{'s' if count != 1 else ''},\n{100 - chosen.analog_macs:.1f} % of the "
        f"multiply-accumulates:\n{found.quantity.said(chosen.report.mean)}"
    )
    point = (chosen.analog_macs, chosen.report.mean)
    axes.plot(*([value] for value in point), "o", ms=12 * size, mfc="none", mec=RED, mew=1.6 * size, zorder=4)
    axes.annotate(
        text,
        point,
        xytext=free_place(axes, text, point, drawn),
        textcoords="axes fraction",
        color=RED,
        fontsize=letter_size(0.95),
        ha="left",
        va="bottom",
        arrowprops={"arrowstyle": "-", "color": RED, "lw": 0.8 * size, "shrinkA": 1, "shrinkB": 7 * size},
    )


def _name_lines(axes: Axes, lines: Sequence[tuple[float, str, str]]) -> None:
    """Name horizontal lines at the right end of the axes, such that two near ones do not overlap."""
    low, high = axes.get_ylim()
    narrow = magnified() < 1
    rows = 2 if narrow else 1
    between = 2.0 * rows * (high - low) / letters_in(axes.get_window_extent().height, axes)
    upper, lower = sorted(lines, reverse=True)
    apart = max(0.0, between - (upper[0] - lower[0])) / 2
    for (value, text, colour), shift in ((upper, apart), (lower, -apart)):
        axes.annotate(
            text.replace(" ", "\n", 1) if narrow else text,
            (1.01, value + shift),
            xycoords=("axes fraction", "data"),
            color=colour,
            fontsize=letter_size(0.9),
            va="center",
            annotation_clip=False,
        )


def _title(axes: Axes, title: str, *more: str) -> None:
    """Write a title and notes above axes, which a figure for a paper breaks into lines."""
    font = letter_size()
    figure = axes.get_figure(root=True)
    assert isinstance(figure, Figure)
    if magnified() < 1:  # at the left end of the figure: a column has no room beside the axes
        letters = round(1.1 * letters_in(figure.get_figwidth() * figure.dpi, axes))
        text = "\n".join(wrapped(line, letters) for line in (title, *more))
        figure.suptitle(text, x=0.01, ha="left", fontsize=0.85 * font)
        return
    notes = "\n".join(more)
    above = 0.8 * font + 1.2 * font * len(more)
    place: dict[str, Any] = {"xycoords": "axes fraction", "textcoords": "offset points"}
    axes.annotate(title, (0, 1), (0, above), fontweight="bold", **place)
    axes.annotate(notes, (0, 1), (0, 0.7 * font), fontsize=0.85 * font, color=GREY, **place)


def _on(setting: Setting) -> str:
    outside = "" if setting.in_validity else " (outside its range of validity)"
    return f"{setting.device} at {format_time(setting.t_s)}{outside}"


def _points(quantity: Quantity) -> str:
    return " in points" if quantity.percent else ""


def _ends(values: PerChip, limits: tuple[float, float] = (-math.inf, math.inf)) -> tuple[float, float]:
    """Return the ends of the interval, or the mean twice if there is one chip only."""
    low, high = values.within(limits)
    return (values.mean, values.mean) if math.isnan(low) else (low, high)
