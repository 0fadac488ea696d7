"""The numbers behind the plots of a device's card, as data: what its laws come to when devices are sampled."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from driftproof.laws.encoding import Unit
from driftproof.laws.table import NotNegative, Number, Positive, Table

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
    """What becomes of one target: mean of G − target and standard deviation of G, at each of the card's times."""

    target: Number
    mean: Numbers
    sd: Spreads


class Course(Table):
    """What becomes of one target when it is read: mean, 5th and 95th percentile at each of the card's times."""

    target: Number
    mean: Numbers
    low: Numbers
    high: Numbers


class WeightError(Table):
    """Errors of a tile's weights at one time, in % of the column's maximum, drift compensated per tile.

    Attributes:
        t_s: seconds after programming.
        half: root mean square of the errors of weights at half the range.
        normal: root mean square of the errors of normally distributed weights.
        shares: percent of the latter in each of the bins that evenly divide −limit to limit.
    """

    t_s: NotNegative
    half: NotNegative
    normal: NotNegative
    shares: Spreads


class Card(Table):
    """The numbers behind the plots of a device's card; :func:`driftproof.device_card.device_card` makes it.

    Conductances are in µS. A preset that acts on net weights has these in their place, in percent of the largest.

    Attributes:
        version: of this class: a card of another one is made anew.
        unit: of targets, spreads, shifts and courses.
        valid_s: range of validity in time.
        targets: [m], ascending.
        spreads: at the earliest valid time, and at later ones if the law itself changes in time; [m] each.
        exponent: of power-law drift, if the preset has it; [m].
        times_s: [T], from 1 s to 10 years.
        shift: of laws that change in time without an exponent; [T].
        read_noise: whether courses and errors have read noise: that of each read-out, not that of each product.
        courses: of five targets; [T] each.
        limit: end of the histograms' range in percent.
        errors: at 1 s, 1 day, 1 year.
        notes: what a reader of the plots must know about this device.
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
        """Whether a time after programming, in s, lies in the range of validity."""
        low, high = self.valid_s
        return low <= t_s <= high


def known_card(value: Any) -> Any:
    """Return a stored card, or None for one of another version, so that records outlive their cards.

    >>> known_card({"version": 0, "pictures": []}) is None
    True
    """
    return None if isinstance(value, dict) and value.get("version") != VERSION else value
