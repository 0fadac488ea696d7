"""Normal noise on the net weight, its spread a curve of the weight."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from driftproof.laws.curve import Curve, curve_text, curve_values
from driftproof.laws.law import Plot
from driftproof.laws.programming.law import ProgrammingLaw, Target
from driftproof.laws.table import NotNegative

if TYPE_CHECKING:
    from torch import Tensor


class WeightCurveProgramming(ProgrammingLaw):
    """Net weight: w' = w + σ(r) · (largest weight) · ξ; below ``zero_below_r`` the weight is exactly zero."""

    plots: ClassVar[tuple[Plot, ...]] = ("spread",)
    acts_on: ClassVar[tuple[Target, ...]] = ("weights",)
    is_normal: ClassVar[bool] = True

    law: Literal["weight-curve"]
    sigma: Curve
    zero_below_r: NotNegative = 0.0

    def programmed(self, w: Tensor, xi: Tensor) -> Tensor:
        """Return w' = w + σ(|w|) ξ, or 0."""
        r = w.abs()
        noisy = curve_values(self.sigma, r).mul_(xi).add_(w)
        return noisy.mul_(r.ge_(self.zero_below_r)) if self.zero_below_r else noisy

    def words(self) -> str:
        """Return what programming does, in a sentence."""
        zero = f"; weights below r = {self.zero_below_r:.3g} are exactly zero" if self.zero_below_r else ""
        return (
            "Programming adds normal noise to a weight: w' = w + s xi, s = sigma(r) times the largest weight, "
            f"xi standard normal and r = |w|/(the largest weight): sigma = {curve_text(self.sigma)}{zero}."
        )
