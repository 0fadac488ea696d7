"""A stage in one file: each column's read-out amplifier has a gain error of its own, for the life of the chip."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from driftproof.periphery import Stage, Sums


class ColumnGain(Stage):
    """y → (1 + σ ξ) y before the ADC, one ξ per ADC.

    Attributes:
        sigma: standard deviation of the gain, relative to the wanted one.
    """

    stage: Literal["column-gain"] = "column-gain"
    sigma: float

    def apply(self, sums: Sums) -> Tensor:
        """Multiply every line's sums by its gain."""
        return sums.values * sums.along(1 + self.sigma * sums.fixed("column-gain"))

    def __str__(self) -> str:
        return f"column gain error {self.sigma:g}"
