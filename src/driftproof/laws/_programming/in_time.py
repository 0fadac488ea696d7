"""Base class of programming laws that are tables in time: standard deviations at several times."""

from __future__ import annotations

import math
from bisect import bisect_right
from itertools import pairwise
from typing import TYPE_CHECKING, Literal, Self

from driftproof.laws._programming.law import ProgrammingLaw

if TYPE_CHECKING:
    from driftproof.laws._table import Increasing

TimeCorrelation = Literal["common", "increments"]
"""How one device moves through a table of standard deviations.

- ``common``: ξ is one number for life.
- ``increments``: From each time of the table to the next, the device takes an independent step of variance
  σ(next)² − σ(this)². The standard deviation must grow.
"""

CORRELATION = {
    "common": "xi is a standard normal number that each device keeps for life",
    "increments": "from each time of the table to the next each device takes an independent normal step",
}


class TableInTime(ProgrammingLaw):
    """Base class of laws whose tuples have one entry per time of ``t_s``, in seconds after the first read.

    The first entry also holds before the first time, and the last one after the last time. For ``time_correlation``
    see :data:`TimeCorrelation`.
    """

    unfinished = True
    plots = ("spread", "spread in time", "shift")
    acts_on = ("devices",)

    if TYPE_CHECKING:  # each law has its keys in its own order
        t_s: Increasing
        time_correlation: TimeCorrelation

    @property
    def changes_in_time(self) -> bool:
        """Whether the table has more than one time."""
        return len(self.t_s) > 1

    @property
    def times_s(self) -> tuple[float, ...]:
        """The times of the table."""
        return self.t_s

    def steps_until(self, t_s: float) -> tuple[float, ...]:
        """Return the times of a device's steps up to ``t_s``; none unless ``time_correlation`` is ``increments``."""
        if self.time_correlation == "common" or t_s <= self.t_s[0]:
            return ()
        end = min(t_s, self.t_s[-1])
        return (*(time for time in self.t_s[1:] if time < end), end) if len(self.t_s) > 1 else ()

    def without_time(self) -> Self:
        """Return the law with the first time only, which then holds at all times."""
        first = {key: value[:1] for key, value in self.model_dump().items() if isinstance(value, tuple)}
        return type(self).model_validate(self.model_dump() | first)

    def check_spreads(self, r: float, spreads_us: list[float]) -> None:
        """Raise ValueError for increments of a standard deviation that falls with time."""
        super().check_spreads(r, spreads_us)
        if self.time_correlation != "increments":
            return
        for place, (before, after) in enumerate(pairwise(spreads_us)):
            if after < before:
                raise ValueError(
                    f'programming.time_correlation "increments" needs a standard deviation that grows, but at r = {r} '
                    f"it falls from {before:.4g} µS at {self.t_s[place]:g} s to {after:.4g} µS at "
                    f'{self.t_s[place + 1]:g} s: use "common", or other times'
                )

    def times_text(self) -> str:
        """Return the times of the table, and how a device moves through them, in words."""
        if not self.changes_in_time:
            return f"of {self.t_s[0]:g} s at all times; {CORRELATION['common']}"
        return (
            f"of {len(self.t_s)} times from {self.t_s[0]:g} to {self.t_s[-1]:g} s; {CORRELATION[self.time_correlation]}"
        )


def place_in(times: tuple[float, ...], t_s: float, logarithmic: bool) -> tuple[int, float]:
    """Return the index of the last time before ``t_s``, and how far ``t_s`` is on the way to the next one, 0 to 1."""
    after = bisect_right(times, t_s)
    if after == 0:
        return 0, 0.0
    if after == len(times):
        return len(times) - 1, 0.0
    low, high = times[after - 1], times[after]
    share = math.log(t_s / low) / math.log(high / low) if logarithmic else (t_s - low) / (high - low)
    return after - 1, share
