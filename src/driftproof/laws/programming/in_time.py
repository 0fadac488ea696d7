"""Programming laws that are tables in time: spreads at several times, and how a device goes through them."""

from __future__ import annotations

import math
from bisect import bisect_right
from itertools import pairwise
from typing import TYPE_CHECKING, ClassVar, Literal, Self

from driftproof.laws.law import Plot
from driftproof.laws.programming.law import ProgrammingLaw, Target

if TYPE_CHECKING:
    from driftproof.laws.table import Increasing

# How one device goes through a table of spreads. "common": ξ is one number for life. "increments": from each time of
# the table to the next it takes a step of its own, of variance σ(next)² − σ(this)²: only for a spread that grows.
TimeCorrelation = Literal["common", "increments"]

CORRELATION = {
    "common": "xi is a standard normal number that each device keeps for life",
    "increments": "from each time of the table to the next each device takes a normal step of its own",
}


class TableInTime(ProgrammingLaw):
    """A law whose tuples have one entry per time of ``t_s``, seconds after programming; held before and after.

    ``time_correlation``: see :data:`TimeCorrelation`.
    """

    unfinished: ClassVar[bool] = True
    plots: ClassVar[tuple[Plot, ...]] = ("spread", "spread in time", "shift")
    acts_on: ClassVar[tuple[Target, ...]] = ("devices",)

    if TYPE_CHECKING:  # each law has its keys in its own order
        t_s: Increasing
        time_correlation: TimeCorrelation

    @property
    def changes_in_time(self) -> bool:
        """Whether the table has several times."""
        return len(self.t_s) > 1

    @property
    def times_s(self) -> tuple[float, ...]:
        """The times of the table."""
        return self.t_s

    def steps_until(self, t_s: float) -> tuple[float, ...]:
        """Return the times of the steps by ``t_s``, if a device goes through the table by increments."""
        if self.time_correlation == "common" or t_s <= self.t_s[0]:
            return ()
        end = min(t_s, self.t_s[-1])
        return (*(time for time in self.t_s[1:] if time < end), end) if len(self.t_s) > 1 else ()

    def without_time(self) -> Self:
        """Return the law whose first time holds for ever."""
        first = {key: value[:1] for key, value in self.model_dump().items() if isinstance(value, tuple)}
        return type(self).model_validate(self.model_dump() | first)

    def check_spreads(self, r: float, spreads_us: list[float]) -> None:
        """Refuse increments of a spread that falls."""
        super().check_spreads(r, spreads_us)
        if self.time_correlation != "increments":
            return
        for place, (before, after) in enumerate(pairwise(spreads_us)):
            if after < before:
                raise ValueError(
                    f'programming.time_correlation "increments" wants a spread that grows, but at r = {r} it '
                    f"falls from {before:.4g} µS at {self.t_s[place]:g} s to {after:.4g} µS at "
                    f'{self.t_s[place + 1]:g} s: use "common", or other times'
                )

    def times_text(self) -> str:
        """Return for which times the table is, and how a device goes through them."""
        if not self.changes_in_time:
            return f"of {self.t_s[0]:g} s at all times; {CORRELATION['common']}"
        return (
            f"of {len(self.t_s)} times from {self.t_s[0]:g} to {self.t_s[-1]:g} s; {CORRELATION[self.time_correlation]}"
        )


def place_in(times: tuple[float, ...], t_s: float, logarithmic: bool) -> tuple[int, float]:
    """Return the table's column before a time, and the share of the way to the next; held outside."""
    after = bisect_right(times, t_s)
    if after == 0:
        return 0, 0.0
    if after == len(times):
        return len(times) - 1, 0.0
    low, high = times[after - 1], times[after]
    share = math.log(t_s / low) / math.log(high / low) if logarithmic else (t_s - low) / (high - low)
    return after - 1, share
