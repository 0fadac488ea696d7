"""Normal noise on the net weight, with a standard deviation that is a curve of the weight."""

from __future__ import annotations

from typing import Literal

from driftproof.laws._curve import Curve, curve_text, curve_values
from driftproof.laws._programming.law import ProgrammingLaw
from driftproof.laws._table import NotNegative, Tensor


class WeightCurveProgramming(ProgrammingLaw):
    """w' = w + σ(r) · (largest weight) · ξ for the net weight w. A weight below ``zero_below_r`` is exactly zero."""

    plots = ("spread",)
    acts_on = ("weights",)
    is_normal = True

    law: Literal["weight-curve"]
    sigma: Curve
    zero_below_r: NotNegative = 0.0

    def programmed(self, w: Tensor, xi: Tensor) -> Tensor:
        """Return w' = w + σ(|w|) ξ, or 0."""
        r = w.abs()
        noisy = curve_values(self.sigma, r).mul_(xi).add_(w)
        return noisy.mul_(r.ge_(self.zero_below_r)) if self.zero_below_r else noisy

    def words(self) -> str:
        """Return a sentence about the noise."""
        zero = f"; weights below r = {self.zero_below_r:.3g} are exactly zero" if self.zero_below_r else ""
        return (
            "Programming adds normal noise to a weight: w' = w + sigma xi, with the standard deviation sigma = s(r) "
            "times the largest weight, xi standard normal, r = |w|/(the largest weight): "
            f"s = {curve_text(self.sigma)}{zero}."
        )
