"""Noise of an array's sums that is new in every MVM: output noise, and weights whose noise is new in every MVM.

All of it is Gaussian and independent: a sum y = Σ ŵ x̂ gets σ ξ with σ² = σ_out² + Σ v x̂², v the variances of the
weights (read noise that is new in every MVM, noise of the weights), and one number ξ per line and MVM.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from driftproof.periphery.sums import Sums


@dataclass(frozen=True)
class MvmNoise:
    """The first stage behind every array.

    Attributes:
        output_noise: σ_out of each line, in units of one full-scale input times one full-scale weight.
    """

    output_noise: float

    def apply(self, sums: Sums) -> Tensor:
        """Return the sums with their noise."""
        if sums.variance is None and not self.output_noise:
            return sums.values
        xi = sums.new("")
        if sums.variance is None:
            return sums.values + self.output_noise * xi
        squares = sums.times(sums.inputs.square(), sums.variance)
        return sums.values + (squares.clamp(min=0) + self.output_noise**2).sqrt() * xi
