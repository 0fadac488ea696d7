"""A logarithmic time axis with tick labels such as "1 h", and a position for t = 0."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes

from driftproof._drawing import letters_in
from driftproof.times import format_time, parse_times

_TICKS = parse_times("1s,1min,1h,1d,30d,1y,10y,100y")

# Distance in decades between the position of t = 0 and the earliest later time.
_GAP = 0.8


class TimeAxis:
    """Maps times to log10 of seconds. The position of t = 0, which has no logarithm, is left of all others.

    >>> TimeAxis([0.0, 1.0, 100.0]).place([0.0, 1.0, 100.0]).tolist()
    [-0.8, 0.0, 2.0]
    """

    def __init__(self, times_s: Iterable[float], since: str = "after the first read") -> None:
        self.since = since
        self.times = sorted(set(times_s))
        self._later = [t for t in self.times if t > 0]
        self._zero = (math.log10(self._later[0]) if self._later else 0.0) - _GAP

    def place(self, times_s: Iterable[float]) -> npt.NDArray[np.float64]:
        """Return the x coordinates of times in s."""
        return np.array([math.log10(t) if t > 0 else self._zero for t in times_s])

    def ticks(self) -> dict[float, str]:
        """Return time → label: round times within the measured range, or the measured times if those are too few.

        >>> list(TimeAxis([1.0, 86400.0]).ticks().values())
        ['1 s', '1 min', '1 h', '1 d']
        """
        times = [t for t in _TICKS if self._later and self._later[0] <= t <= self._later[-1]]
        if len(times) < 2:
            times = self._later
        return {t: format_time(t) for t in ([0.0] if 0.0 in self.times else []) + times}

    def _apart(self, ticks: dict[float, str], axes: Axes) -> dict[float, str]:
        """Return the ticks whose labels have room beside the one before."""
        left, right = axes.get_xlim()
        letter = 1.03 * (right - left) / letters_in(axes.get_window_extent().width, axes)
        kept: dict[float, str] = {}
        end = -math.inf
        for (t_s, label), x in zip(ticks.items(), self.place(ticks), strict=True):
            half = letter * len(label) / 2
            if x - half >= end:
                kept[t_s], end = label, x + half + letter
        return kept

    def finish(self, axes: Axes) -> None:
        """Set ticks, limits and label of the x axis; a dotted line separates t = 0 from the logarithmic part."""
        x = self.place(self.times) if self.times else np.zeros(1)
        margin = max(0.25, 0.03 * float(x[-1] - x[0]))
        axes.set_xlim(float(x[0]) - margin, float(x[-1]) + margin)
        ticks = self._apart(self.ticks(), axes)
        axes.set_xticks(self.place(ticks), list(ticks.values()))
        axes.tick_params(axis="x", length=3)
        if 0.0 in ticks and len(self.times) > 1:
            axes.axvline(self._zero + _GAP / 2, color="#bbbbbb", lw=0.8, ls=":")
        axes.set_xlabel(f"time {self.since}")
