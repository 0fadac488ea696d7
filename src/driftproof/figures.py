"""Figures in the style of the reports: what a report, a sensitivity run and a loss surface draw."""

from driftproof._reporting.figures import render
from driftproof.analysis._figures import draw_surface
from driftproof.plans._figures import draw_causes, draw_curve, draw_layers

__all__ = ["draw_causes", "draw_curve", "draw_layers", "draw_surface", "render"]
