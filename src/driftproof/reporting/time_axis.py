"""A logarithmic time axis with ticks in words and a place for t = 0."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes

from driftproof.times import SECONDS, format_time

_TICKS = {
    1.0: "1 s",
    60.0: "1 min",
    SECONDS["h"]: "1 h",
    SECONDS["d"]: "1 d",
    30 * SECONDS["d"]: "30 d",
    SECONDS["y"]: "1 y",
    10 * SECONDS["y"]: "10 y",
    100 * SECONDS["y"]: "100 y",
}

# How far, in decades, the place of t = 0 lies left of the earliest later time.
_GAP = 0.8


class TimeAxis:
    """Places times in log10 of seconds; t = 0, which has no logarithm, left of all others.

    >>> TimeAxis([0.0, 1.0, 100.0]).place([0.0, 1.0, 100.0]).tolist()
    [-0.8, 0.0, 2.0]
    """

    def __init__(self, times_s: Iterable[float]) -> None:
        self.times = sorted(set(times_s))
        later = [t for t in self.times if t > 0]
        self._zero = (math.log10(later[0]) if later else 0.0) - _GAP

    def place(self, times_s: Iterable[float]) -> npt.NDArray[np.float64]:
        """Return the x coordinates of times in s."""
        return np.array([math.log10(t) if t > 0 else self._zero for t in times_s])

    def ticks(self) -> dict[float, str]:
        """Return time → text: round times within the measured range, or the measured ones if there are too few.

        >>> list(TimeAxis([1.0, 86400.0]).ticks().values())
        ['1 s', '1 min', '1 h', '1 d']
        """
        later = [t for t in self.times if t > 0]
        found = {t: text for t, text in _TICKS.items() if later and later[0] <= t <= later[-1]}
        if len(found) < 2:
            found = {t: format_time(t) for t in later}
        return ({0.0: "0 s"} if 0.0 in self.times else {}) | found

    def finish(self, axes: Axes) -> None:
        """Set ticks, limits and label; a dotted line marks where t = 0 stands apart from the logarithm."""
        ticks = self.ticks()
        axes.set_xticks(self.place(ticks), list(ticks.values()))
        axes.tick_params(axis="x", length=3)
        x = self.place(self.times) if self.times else np.zeros(1)
        margin = max(0.25, 0.03 * float(x[-1] - x[0]))
        axes.set_xlim(float(x[0]) - margin, float(x[-1]) + margin)
        if ticks and 0.0 in ticks and len(self.times) > 1:
            axes.axvline(self._zero + _GAP / 2, color="#bbbbbb", lw=0.8, ls=":")
        axes.set_xlabel("time after programming")
