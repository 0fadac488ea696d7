"""The numbers behind the plots of a device's card: statistics of devices that are drawn from its laws."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from driftproof.laws._encoding import Unit
from driftproof.laws._table import NotNegative, Number, Positive, Table
from driftproof.laws._validity import contains

VERSION: Literal[1] = 1

Numbers = Annotated[tuple[Number, ...], Field(min_length=1)]
Spreads = Annotated[tuple[NotNegative, ...], Field(min_length=1)]


class Spread(Table):
    """Standard deviation over devices at each of the card's targets, at one time and without read noise."""

    t_s: NotNegative
    sigma: Spreads


class Exponent(Table):
    """Mean and standard deviation over devices of the drift exponent ν, at each of the card's targets; no unit."""

    mean: Numbers
    sd: Spreads


class Shift(Table):
    """One target over time: mean of G − target and standard deviation of G, at each of the card's times."""

    target: Number
    mean: Numbers
    sd: Spreads


class Course(Table):
    """One target over time as it is read: mean, 5th and 95th percentile at each of the card's times."""

    target: Number
    mean: Numbers
    low: Numbers
    high: Numbers


class WeightError(Table):
    """Errors of a tile's weights at one time, in % of the column's maximum, with drift compensation per tile.

    Attributes:
        t_s: Seconds after the first read.
        half: Root mean square of the errors of weights at half the range.
        normal: Root mean square of the errors of normally distributed weights.
        shares: Percentage of the errors of normally distributed weights in each bin. The bins divide −limit to limit
            evenly.
    """

    t_s: NotNegative
    half: NotNegative
    normal: NotNegative
    shares: Spreads


class Card(Table):
    """The numbers behind the plots of a device's card; :func:`driftproof._device_card.device_card` makes it.

    Conductances are in µS. A preset that acts on net weights has weights in their place, in percent of the largest.

    Attributes:
        version: Version of this class. A card of another version is computed again.
        unit: Unit of targets, spreads, shift and courses.
        valid_s: Range of validity in time, in s.
        targets: Targets [m], ascending.
        spreads: Standard deviations [m] at the earliest valid time, and at later times if the law changes with time.
        exponent: Drift exponents [m], if the preset has a power law of drift.
        times_s: Times [T] from 1 s to 10 years.
        shift: Shift of one target [T], for laws that change with time without an exponent.
        read_noise: Whether courses and errors include the read noise of each read-out. They never include read noise
            that is new in every MVM.
        courses: Five targets over time, [T] each.
        limit: End of the histograms' range in percent.
        errors: Errors of weights at 1 s, 1 day and 1 year.
        notes: Remarks that a reader of the plots needs.
    """

    version: Literal[1] = VERSION
    unit: Unit
    valid_s: tuple[NotNegative, NotNegative]
    targets: Numbers
    spreads: Annotated[tuple[Spread, ...], Field(min_length=1)]
    exponent: Exponent | None = None
    times_s: Numbers
    shift: Shift | None = None
    read_noise: bool
    courses: Annotated[tuple[Course, ...], Field(min_length=1)]
    limit: Positive
    errors: Annotated[tuple[WeightError, ...], Field(min_length=1)]
    notes: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _shapes_agree(self) -> Self:
        by_target = [row.sigma for row in self.spreads]
        by_time = [row for course in self.courses for row in (course.mean, course.low, course.high)]
        if self.exponent:
            by_target += [self.exponent.mean, self.exponent.sd]
        if self.shift:
            by_time += [self.shift.mean, self.shift.sd]
        for wanted, rows in ((self.targets, by_target), (self.times_s, by_time)):
            for row in rows:
                if len(row) != len(wanted):
                    raise ValueError(f"a row has {len(row)} numbers, wanted {len(wanted)}")
        return self

    def in_validity(self, t_s: float) -> bool:
        """Whether a time after the first read, in s, lies in the range of validity."""
        return contains(self.valid_s, t_s)


def known_card(value: Any) -> Any:
    """Return a stored card, or None for a card of another version, so that older records stay readable.

    >>> known_card({"version": 0, "pictures": []}) is None
    True
    """
    return None if isinstance(value, dict) and value.get("version") != VERSION else value
