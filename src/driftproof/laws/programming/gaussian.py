"""Normal noise on the net weight."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from driftproof.laws.law import Plot
from driftproof.laws.programming.law import ProgrammingLaw, Target
from driftproof.laws.table import NotNegative

if TYPE_CHECKING:
    from torch import Tensor


class GaussianProgramming(ProgrammingLaw):
    """Net weight: w' = w + σ · (largest weight, or the weight itself) · ξ."""

    plots: ClassVar[tuple[Plot, ...]] = ("spread",)
    acts_on: ClassVar[tuple[Target, ...]] = ("weights",)
    is_normal: ClassVar[bool] = True

    law: Literal["gaussian"]
    sigma: NotNegative
    relative_to: Literal["largest", "weight"]

    @property
    def declares_noise(self) -> bool:
        """Whether σ is above zero."""
        return self.sigma != 0

    def programmed(self, w: Tensor, xi: Tensor) -> Tensor:
        """Return w' = w + σ ξ, or w + σ w ξ."""
        spread = xi * self.sigma
        return spread.add_(w) if self.relative_to == "largest" else spread.mul_(w).add_(w)

    def words(self) -> str:
        """Return what programming does, in a sentence."""
        what = "largest weight" if self.relative_to == "largest" else "weight itself"
        return (
            f"Programming adds normal noise to a weight: w' = w + s xi, s = {self.sigma:g} times the {what}, "
            "xi standard normal."
        )
