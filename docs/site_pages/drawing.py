"""What the pictures of the site share with those of reports: colours, markers and the time axis."""

from driftproof._drawing import COLOURS, MARKERS, render_small
from driftproof._reporting.time_axis import TimeAxis

__all__ = ["COLOURS", "MARKERS", "TimeAxis", "render_small"]
