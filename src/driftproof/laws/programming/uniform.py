"""Uniform noise on the net weight."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from driftproof.laws.law import Plot
from driftproof.laws.programming.law import ProgrammingLaw, Target
from driftproof.laws.table import NotNegative

if TYPE_CHECKING:
    from torch import Tensor


class UniformProgramming(ProgrammingLaw):
    """Net weight: w' = w + h · (largest weight) · u, u uniform in [−1, 1]."""

    plots: ClassVar[tuple[Plot, ...]] = ("spread",)
    acts_on: ClassVar[tuple[Target, ...]] = ("weights",)

    law: Literal["uniform"]
    half_width: NotNegative

    @property
    def declares_noise(self) -> bool:
        """Whether h is above zero."""
        return self.half_width != 0

    def programmed(self, w: Tensor, xi: Tensor) -> Tensor:
        """Return w' = w + h u; u = 2 Φ(ξ) − 1 = erf(ξ/√2) is uniform in [−1, 1]."""
        uniform: Tensor = (xi * 0.5**0.5).erf_()
        return uniform.mul_(self.half_width).add_(w)

    def words(self) -> str:
        """Return what programming does, in a sentence."""
        return (
            f"Programming adds uniform noise to a weight: w' = w + h u, h = {self.half_width:g} times the largest "
            "weight, u uniform from -1 to 1."
        )
