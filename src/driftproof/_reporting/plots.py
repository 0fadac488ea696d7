"""Figures of records for papers and notebooks: functions that take records and return matplotlib's Axes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import get_args

from matplotlib.axes import Axes

from driftproof._drawing import COLUMN, axes_of, new_figure, paper
from driftproof._errors import DriftproofError, check_choice
from driftproof._keywords import checks_keywords
from driftproof._reporting.chip_dots import column_of_chips, dots_of, draw_chips
from driftproof._reporting.comparisons import compared
from driftproof._reporting.curves import Band, Of, lines_of
from driftproof._reporting.difference_bars import draw_differences
from driftproof._reporting.gather import Source, gather
from driftproof._reporting.over_time import draw_over_time
from driftproof.times import format_time, parse_time


@checks_keywords
def plot_over_time(
    records: Source | Sequence[Source],
    ax: Axes | None = None,
    *,
    presets: Sequence[str] | None = None,
    configurations: Sequence[str] | None = None,
    labels: Mapping[str, str] | None = None,
    of: Of = "mean",
    band: Band = "chips",
    legend: bool = True,
    width: float = COLUMN,
) -> Axes:
    """Plot the metric over logarithmic time, one line per device and configuration, and return the axes.

    Points outside a preset's range of validity are hollow, and their lines dashed. A series that is much worse than
    all others gets a scale of its own, in a shaded part of the axis.

    Args:
        records: A record, its folder or its file; or several of them.
        ax: Axes to draw into, with your own settings of matplotlib (default: a new figure with letters of 8 points).
        presets: Names of the devices' presets, in the order of the legend (default: all, as the record was asked).
        configurations: Names of the configurations, such as labels, in the order of the legend (default: all).
        labels: Other words for the names of presets and configurations: ``{"pcm-nandakumar-2019": "PCM"}``.
        of: ``mean``, or ``drop``: how much worse than the digital network on the same samples.
        band: ``chips`` (the middle 90 % of chips, or all of them below 20), ``these`` or ``new`` (the 95 % interval of
            the mean for all chips, on these or on new samples), or ``none``.
        legend: Whether a legend is placed above the axes. The lines have labels, so that ``ax.legend()`` works too.
        width: Width of a new figure in inches: 3.5 is one column of most journals, 7.16 a page.

    Raises:
        DriftproofError: There are no cells to draw, a name is unknown, or the interval for new samples is wanted of
            records without outcomes of samples.

    >>> import driftproof as dp
    >>> from driftproof.data import digits
    >>> from driftproof.zoo import trained_digits_cnn
    >>> network, data = trained_digits_cnn(), digits().head(50)
    >>> record = dp.evaluate(network, data, presets=["reram-wan-2022"], times="1s,1d", chips=2)
    >>> axes = plot_over_time(record, labels={"reram-wan-2022": "ReRAM"})
    >>> axes.get_ylabel(), float(axes.get_figure().get_figwidth())
    ('accuracy in %', 3.5)
    """
    check_choice("of", of, get_args(Of))
    check_choice("band", band, get_args(Band))
    evidence = gather(records)
    if band == "new" and not evidence.by_sample:
        raise DriftproofError(
            "band 'new': these records have no outcomes of single samples, so there is no interval for new samples; "
            "choose the band 'these'"
        )
    lines = lines_of(evidence, presets, configurations, labels)
    with axes_of(ax, width) as axes:
        draw_over_time(axes, evidence, lines, of, band, legend)
    return axes


@checks_keywords
def plot_chips(
    records: Source | Sequence[Source],
    ax: Axes | None = None,
    *,
    time: str | float | None = None,
    presets: Sequence[str] | None = None,
    configurations: Sequence[str] | None = None,
    labels: Mapping[str, str] | None = None,
    width: float = COLUMN,
) -> Axes:
    """Plot every chip as a dot, one row per device and configuration, with the mean, and return the axes.

    Args:
        records: As in :func:`plot_over_time`.
        ax: As in :func:`plot_over_time`.
        time: A measured time, such as ``1d`` (default: the last time in the range of validity of each preset).
        presets: As in :func:`plot_over_time`; in this order from top to bottom.
        configurations: As in :func:`plot_over_time`.
        labels: As in :func:`plot_over_time`.
        width: As in :func:`plot_over_time`. A new figure is as high as its rows.

    Raises:
        DriftproofError: There are no cells to draw, a name is unknown, or no series was measured at the time.

    >>> import driftproof as dp
    >>> from driftproof.data import digits
    >>> from driftproof.zoo import trained_digits_cnn
    >>> network, data = trained_digits_cnn(), digits().head(50)
    >>> record = dp.evaluate(network, data, presets=["reram-wan-2022"], times="1s,1d", chips=2)
    >>> [label.get_text() for label in plot_chips(record, time="1s").get_yticklabels()]
    ['reram-wan-2022']
    """
    evidence = gather(records)
    found = dots_of(evidence, lines_of(evidence, presets, configurations, labels), _time(time))
    if not found:
        times = evidence.summary.loc[evidence.summary["chips"] > 0, "t_s"].unique()
        known = "at " + ", ".join(map(format_time, sorted(times))) if time is not None else "outside validity only"
        raise DriftproofError(f"no chip to draw at {'a valid time' if time is None else time}; there are chips {known}")
    if ax is not None:
        draw_chips(ax, evidence, found)
        return ax
    with paper():
        return column_of_chips(evidence, found, new_figure, width).axes[0]


@checks_keywords
def plot_differences(
    records: Source | Sequence[Source],
    ax: Axes | None = None,
    *,
    against: str | None = None,
    labels: Mapping[str, str] | None = None,
    legend: bool = True,
    width: float = COLUMN,
) -> Axes:
    """Plot paired differences over time with their 95 % intervals, and return the axes.

    What is compared is that of :func:`driftproof.compare`: configurations with the first one on each preset, or the
    presets of one configuration with the first preset. Intervals hold for new samples and other chips where the
    outcomes of samples are known. Points outside a range of validity are hollow.

    Args:
        records: As in :func:`plot_over_time`.
        ax: As in :func:`plot_over_time`.
        against: Name of the configuration or the preset that the others are compared with (default: the first).
        labels: As in :func:`plot_over_time`.
        legend: As in :func:`plot_over_time`.
        width: As in :func:`plot_over_time`.

    Raises:
        DriftproofError: There is nothing to compare, as :func:`driftproof.compare` says.

    >>> import driftproof as dp
    >>> from driftproof.data import digits
    >>> from driftproof.zoo import trained_digits_cnn
    >>> network, data = trained_digits_cnn(), digits().head(50)
    >>> devices = ["reram-wan-2022", "gaussian:0.1"]
    >>> record = dp.evaluate(network, data, presets=devices, times="1s,1d", chips=2)
    >>> plot_differences(record).get_ylabel()
    'difference of accuracy in points'
    """
    table, quantity = compared(records, against=against)
    with axes_of(ax, width) as axes:
        draw_differences(axes, table, quantity, labels, legend)
    return axes


def _time(time: str | float | None) -> float | None:
    return None if time is None else parse_time(time)
