"""Legends above axes, where no data are."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from driftproof._drawing import letter_size, letters_in, magnified, wrapped


def line_handle(name: str, colour: str, marker: str) -> Line2D:
    """Return the sample of a series in a legend."""
    size = magnified()
    return Line2D([], [], color=colour, marker=marker, ms=5.5 * size, lw=1.8 * size, label=name)


def legend_above(axes: Axes, handles: Sequence[Line2D]) -> None:
    """Add a legend above axes, in as many columns as their width has room for."""
    size = letter_size()
    figure = axes.get_figure(root=True)
    assert isinstance(figure, Figure)
    room = axes.get_window_extent().width
    letters = round(letters_in(room, axes)) - 4
    for handle in handles:
        handle.set_label(wrapped(str(handle.get_label()), letters))
    for columns in range(min(4, len(handles)), 0, -1):
        legend = axes.legend(
            handles=list(handles),
            loc="lower left",
            bbox_to_anchor=(0.0, 1.0),
            ncols=columns,
            frameon=False,
            fontsize=0.9 * size,
            borderaxespad=0.3,
            borderpad=0.1,
            labelspacing=0.3,
            columnspacing=1.2,
            handlelength=1.6,
            handletextpad=0.5,
        )
        canvas = figure.canvas if isinstance(figure.canvas, FigureCanvasAgg) else FigureCanvasAgg(figure)
        renderer = canvas.get_renderer()  # type: ignore[no-untyped-call]
        if columns == 1 or legend.get_window_extent(renderer).width <= 1.08 * room:
            return
