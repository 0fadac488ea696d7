"""The axis of a metric's values: linear, or logarithmic if values span more than a decade."""

from __future__ import annotations

from matplotlib.axis import Axis
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

from driftproof._reporting.gather import Evidence


def in_decades(evidence: Evidence) -> bool:
    """Whether values without an upper limit, such as perplexities, span more than a decade."""
    values = evidence.cells["value"]
    return not evidence.quantity.percent and bool(values.min() > 0) and bool(values.max() > 10 * values.min())


def scale_axis(axis: Axis, evidence: Evidence) -> None:
    """Make the axis of values logarithmic if values span more than a decade, with plain numbers at its ticks."""
    if not in_decades(evidence):
        return
    values = evidence.cells["value"]
    (axis.axes.set_yscale if axis.axis_name == "y" else axis.axes.set_xscale)("log")  # type: ignore[attr-defined]
    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if values.max() < 300 * values.min() else (1,)))
    axis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axis.set_minor_formatter(NullFormatter())
