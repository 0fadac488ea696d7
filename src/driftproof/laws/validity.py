"""Where a device's numbers hold."""

from __future__ import annotations

from pydantic import field_validator

from driftproof.laws.table import NotNegative, Number, Table

Range = tuple[NotNegative, NotNegative]


class Validity(Table):
    """Where the numbers hold: conductance in µS (devices only), time after programming in s, temperature in °C.

    The temperature is given where the source states it; no law here depends on it.
    """

    g_us: Range | None = None
    t_s: Range
    temperature_c: tuple[Number, Number] | None = None

    @field_validator("g_us", "t_s", "temperature_c")
    @classmethod
    def _ascending(cls, value: tuple[float, float] | None) -> tuple[float, float] | None:
        if value is not None and value[0] >= value[1]:
            raise ValueError(f"the range must ascend, got {list(value)}")
        return value

    def holds_at(self, t_s: float) -> bool:
        """Whether a time after programming, in s, lies in the range."""
        low, high = self.t_s
        return low <= t_s <= high
