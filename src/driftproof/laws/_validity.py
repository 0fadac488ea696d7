"""The range of validity of a device's numbers."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator

from driftproof.laws._table import NotNegative, Number, Table, increasing

Range = tuple[NotNegative, NotNegative]


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
