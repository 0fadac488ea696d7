"""Finite levels: targets are rounded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from driftproof.laws.table import Table

if TYPE_CHECKING:
    from torch import Tensor


class Levels(Table):
    """Targets are rounded to the nearest of ``count`` evenly spaced levels.

    Net weights: from −max to max, an odd count has a level at zero (255 levels are 8 bits). Devices: g_min to g_max.
    """

    count: Annotated[int, Field(ge=2)]

    def rounded(self, x: Tensor, low: float) -> Tensor:
        """Return x [n] at the nearest of the levels between ``low`` and 1."""
        step = (1 - low) / (self.count - 1)
        return x.sub(low).div_(step).round_().mul_(step).add_(low)

    def words(self) -> str:
        """Return what it does, in a sentence."""
        return f"Targets are rounded to the nearest of {self.count} evenly spaced levels."
