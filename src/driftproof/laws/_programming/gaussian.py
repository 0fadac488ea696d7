"""Normal noise on the net weight."""

from __future__ import annotations

from typing import Literal

from driftproof.laws._programming.law import ProgrammingLaw
from driftproof.laws._table import NotNegative, Tensor


class GaussianProgramming(ProgrammingLaw):
    """w' = w + σ · (largest weight, or the weight itself) · ξ for the net weight w."""

    plots = ("spread",)
    acts_on = ("weights",)
    is_normal = True

    law: Literal["gaussian"]
    sigma: NotNegative
    relative_to: Literal["largest", "weight"]

    @property
    def declares_noise(self) -> bool:
        """Whether σ is above zero."""
        return self.sigma != 0

    def programmed(self, w: Tensor, xi: Tensor) -> Tensor:
        """Return w' = w + σ ξ, or w + σ w ξ."""
        error = xi * self.sigma
        return error.add_(w) if self.relative_to == "largest" else error.mul_(w).add_(w)

    def words(self) -> str:
        """Return a sentence about the noise."""
        unit = "largest weight" if self.relative_to == "largest" else "weight itself"
        return (
            "Programming adds normal noise to a weight: w' = w + sigma xi, with the standard deviation sigma = "
            f"{self.sigma:g} times the {unit}, xi standard normal."
        )
