"""The axis of a metric's values: linear, logarithmic over decades, or with a second scale for a collapsed series."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.axis import Axis, YAxis
from matplotlib.ticker import FixedFormatter, FixedLocator, FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from driftproof._reporting.gather import Evidence

COMPRESSED = "shaded: compressed scale"
"""What the label of an axis says whose one part has another scale."""
_STRIP = 0.2
"""Share of the axis for the compressed part."""
_SQUEEZED = 0.18
"""Largest share of a linear axis that the other series may have for a collapsed one to get its own scale."""
_COLLAPSED_POINTS = 20.0
"""Smallest span in points of an axis of percentages for a series to be called collapsed."""
_SHADE = "#f0f0f0"

Numbers = npt.NDArray[np.float64]


def in_decades(evidence: Evidence) -> bool:
    """Whether values without an upper limit, such as perplexities, span more than a decade."""
    values = evidence.cells["value"]
    return not evidence.quantity.percent and bool(values.min() > 0) and bool(values.max() > 10 * values.min())


@dataclass(frozen=True)
class Split:
    """An axis in two parts: all series but the collapsed ones on the good side of ``edge``.

    Attributes:
        edge: Where the scale changes.
        good: The end of the axis on the good side.
        bad: The end of the axis on the bad side.
        ends: The lowest and the highest possible value, beyond which nothing is labelled.
    """

    edge: float
    good: float
    bad: float
    ends: tuple[float, float]

    @property
    def functions(self) -> tuple[Callable[[Numbers], Numbers], Callable[[Numbers], Numbers]]:
        """The scale, which is continuous and linear on both sides of the edge, and its inverse."""
        side = 1.0 if self.good > self.edge else -1.0
        ratio = _STRIP / (1 - _STRIP) * (self.good - self.edge) / (self.edge - self.bad)

        def forward(values: Numbers) -> Numbers:
            x = np.asarray(values, dtype=np.float64) - self.edge
            return np.where(x * side >= 0, x, x * ratio)

        def inverse(places: Numbers) -> Numbers:
            x = np.asarray(places, dtype=np.float64)
            return np.where(x * side >= 0, x, x / ratio) + self.edge

        return forward, inverse

    def ticks(self) -> list[float]:
        """Return round values: several on the good side, one or two on the bad side."""
        room = 0.3 * abs(self.edge - self.bad)
        fine, coarse = self._round(self.good, 5), self._round(self.bad, 2)
        return [*fine, *(t for t in coarse if abs(t - self.edge) > room)]

    def _round(self, end: float, number: int) -> list[float]:
        low, high = (float(np.clip(value, *self.ends)) for value in sorted((self.edge, end)))
        ticks = MaxNLocator(number, steps=[1, 2, 5, 10]).tick_values(low, high)
        return [float(tick) for tick in ticks if low <= tick <= high]


def split_of(series: Iterable[Numbers], digital: Iterable[float], sign: int, ends: tuple[float, float]) -> Split | None:
    """Return how an axis is split if one or more series are so much worse that they squeeze the others together.

    Args:
        series: The drawn values of each series.
        digital: The values of the digital network, which are drawn too.
        sign: 1 if higher is better, else -1.
        ends: The lowest and the highest possible value.

    >>> good, also_good, collapsed = np.array([91.0, 90.0]), np.array([91.0, 90.5]), np.array([10.0, 10.5])
    >>> split_of([good, also_good, collapsed], [92.0], 1, (0, 100)).edge
    89.8
    >>> split_of([collapsed], [92.0], 1, (0, 100)) is None
    True
    """
    rows = [values[np.isfinite(values)] * sign for values in series]
    rows = sorted((row for row in rows if len(row)), key=lambda row: float(row.min()))
    if len(rows) < 2:
        return None
    always, foot = np.array(list(digital), dtype=np.float64) * sign, float(rows[0].min())
    best = float(np.concatenate([*rows, always]).max())
    if ends == (0.0, 100.0) and best - foot < _COLLAPSED_POINTS:
        return None
    for place in range(1, len(rows) // 2 + 1):  # half of the series, or more, have not collapsed
        rest = np.concatenate([*rows[place:], always])
        low, high = float(rest.min()), float(rest.max())
        # all series but the collapsed ones: where these were good, they are drawn on the fine scale too
        if high - low < _SQUEEZED * (high - foot):
            span = max(high - low, 0.02 * (high - foot))
            edge, top = low - 0.1 * span, best + 0.08 * span
            bottom = max(foot - 0.15 * (edge - foot), min(*(end * sign for end in ends), foot - 0.02 * (edge - foot)))
            return Split(round(edge * sign, 12), top * sign, bottom * sign, ends)
    return None


def scale_axis(axis: Axis, evidence: Evidence, series: Iterable[Numbers]) -> bool:
    """Set the scale of the axis of values, with plain numbers at its ticks.

    It is logarithmic if values span more than a decade. Otherwise a series that is much worse than all others gets a
    scale of its own, so that the others can still be told apart; the part of the axis where it is gets a shade.

    Args:
        axis: The axis.
        evidence: The contents of the records.
        series: The drawn values of each series.

    Returns:
        Whether a part of the axis has a scale of its own, which a label must say (:data:`COMPRESSED`).
    """
    if in_decades(evidence):
        values = evidence.cells["value"]
        (axis.axes.set_yscale if isinstance(axis, YAxis) else axis.axes.set_xscale)("log")
        plain_decades(axis, float(values.min()), float(values.max()))
        return False
    digital = [evidence.digital(key) for key in evidence.names]
    split = split_of(series, digital, evidence.quantity.sign, evidence.quantity.ends)
    if split is not None:
        split_axis(axis, split)
    return split is not None


def split_axis(axis: Axis, split: Split) -> None:
    """Give a linear axis its second scale, with a shade there, for all axes that share it."""
    axes: Axes = axis.axes
    vertical = isinstance(axis, YAxis)
    (axes.set_yscale if vertical else axes.set_xscale)("function", functions=split.functions)
    (axes.set_ylim if vertical else axes.set_xlim)(*sorted((split.good, split.bad)))
    ticks = split.ticks()
    axis.set_major_locator(FixedLocator(ticks))
    axis.set_major_formatter(FixedFormatter([f"{tick:.10g}" for tick in ticks]))
    shared = axes.get_shared_y_axes() if vertical else axes.get_shared_x_axes()
    for one in shared.get_siblings(axes):
        (one.axhspan if vertical else one.axvspan)(*sorted((split.edge, split.bad)), color=_SHADE, lw=0, zorder=0)


def plain_decades(axis: Axis, low: float, high: float) -> None:
    """Label a logarithmic axis with plain numbers: decades, 1, 2 and 5 of each, or round numbers within one decade."""
    if high < 8 * low:
        axis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
    else:
        axis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 300 * low else (1,)))
    axis.set_major_formatter(FuncFormatter(lambda x, _: _number(x)))
    axis.set_minor_formatter(NullFormatter())


def _number(x: float) -> str:
    """Return a number of a logarithmic axis without mathematical typesetting, which figures do not use.

    >>> [_number(x) for x in (0.002, 500.0, 1e6, 2e-5)]
    ['0.002', '500', '10⁶', '2·10⁻⁵']
    """
    if not x or 1e-3 <= abs(x) < 1e5:
        return f"{x:g}"
    mantissa, exponent = f"{x:e}".split("e")
    power = "10" + str(int(exponent)).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return power if float(mantissa) == 1 else f"{float(mantissa):g}·{power}"
