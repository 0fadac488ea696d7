"""The range of validity of a device's numbers."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator

from driftproof.laws._table import NotNegative, Number, Table, increasing

Range = tuple[NotNegative, NotNegative]
_ROUNDING = 1e-9
"""Part of a time that units and digits may change: 1.1 h are 3960.0000000000005 s as a product and 3960 s in a file."""


def contains(t_s: Range, time_s: float) -> bool:
    """Return whether a time in s lies in a range of times, up to rounding.

    >>> contains((0.0, 3960.0), 1.1 * 3600), contains((0.0, 3960.0), 3960.1)
    (True, False)
    """
    low, high = t_s
    return low * (1 - _ROUNDING) <= time_s <= high * (1 + _ROUNDING)


class Validity(Table):
    """The ranges in which a device's numbers hold.

    Attributes:
        g_us: Lowest and highest conductance in µS; only of presets that have devices.
        t_s: First and last time after the first read, in s.
        temperature_c: Lowest and highest temperature in °C, where the source states it. No law here depends on it.
    """

    g_us: Annotated[Range, AfterValidator(increasing)] | None = None
    t_s: Annotated[Range, AfterValidator(increasing)]
    temperature_c: Annotated[tuple[Number, Number], AfterValidator(increasing)] | None = None
