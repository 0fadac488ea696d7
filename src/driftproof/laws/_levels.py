"""Finite levels, to which targets are rounded."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from driftproof.laws._table import Table, Tensor


class Levels(Table):
    """Targets are rounded to the nearest of ``count`` evenly spaced levels.

    The levels of net weights reach from −max to max, and an odd count has a level at zero (255 levels are 8 bits). The
    levels of devices reach from g_min to g_max.
    """

    count: Annotated[int, Field(ge=2)]

    def rounded(self, x: Tensor, low: float) -> Tensor:
        """Return x [n], rounded to the nearest of the levels between ``low`` and 1."""
        step = (1 - low) / (self.count - 1)
        return x.sub(low).div_(step).round_().mul_(step).add_(low)

    def words(self) -> str:
        """Return a sentence about the levels."""
        return f"Targets are rounded to the nearest of {self.count} evenly spaced levels."
