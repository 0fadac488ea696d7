"""Uniform noise on the net weight."""

from __future__ import annotations

from typing import Literal

from driftproof.laws._programming.law import ProgrammingLaw
from driftproof.laws._table import NotNegative, Tensor


class UniformProgramming(ProgrammingLaw):
    """w' = w + h · (largest weight) · u for the net weight w, with u uniform in [−1, 1]."""

    plots = ("spread",)
    acts_on = ("weights",)

    law: Literal["uniform"]
    half_width: NotNegative

    @property
    def declares_noise(self) -> bool:
        """Whether h is above zero."""
        return self.half_width != 0

    def programmed(self, w: Tensor, xi: Tensor) -> Tensor:
        """Return w' = w + h u, where u = 2 Φ(ξ) − 1 = erf(ξ/√2) is uniform in [−1, 1]."""
        uniform: Tensor = (xi * 0.5**0.5).erf_()
        return uniform.mul_(self.half_width).add_(w)

    def words(self) -> str:
        """Return a sentence about the noise."""
        return (
            f"Programming adds uniform noise to a weight: w' = w + h u, h = {self.half_width:g} times the largest "
            "weight, u uniform from -1 to 1."
        )
