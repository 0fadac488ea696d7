"""Figures in the style of the reports: plots of records for papers and notebooks, and drawings of other results.

Functions named ``plot_...`` draw into axes and return them; functions named ``draw_...`` return a whole figure, which
:func:`render` turns into bytes.
"""

from driftproof._device_plot import plot_device
from driftproof._drawing import render, save_figure
from driftproof._reporting.plots import plot_chips, plot_differences, plot_over_time
from driftproof.analysis._figures import draw_surface
from driftproof.plans._figures import draw_causes, draw_curve, draw_layers, plot_causes, plot_curve, plot_layers

__all__ = [
    "draw_causes",
    "draw_curve",
    "draw_layers",
    "draw_surface",
    "plot_causes",
    "plot_chips",
    "plot_curve",
    "plot_device",
    "plot_differences",
    "plot_layers",
    "plot_over_time",
    "render",
    "save_figure",
]
