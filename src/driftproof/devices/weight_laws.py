"""Laws of the net weight: what programming does to a weight whose devices are not modelled.

All act on w relative to the largest weight of its column (or layer), in [−1, 1].
"""

from __future__ import annotations

import torch
from torch import Tensor

from driftproof.devices.laws import curve
from driftproof.presets.laws import (
    ExactProgramming,
    GaussianProgramming,
    UniformProgramming,
    WeightCurveProgramming,
)

WeightLaw = ExactProgramming | GaussianProgramming | UniformProgramming | WeightCurveProgramming


def programmed_weight(law: WeightLaw, w: Tensor, xi: Tensor) -> Tensor:
    """Programmed weight w' of one law; ``xi`` is standard normal (its distribution function makes it uniform)."""
    if isinstance(law, GaussianProgramming):
        spread = xi * law.sigma
        return spread.add_(w) if law.relative_to == "largest" else spread.mul_(w).add_(w)
    if isinstance(law, UniformProgramming):
        # u = 2 Φ(ξ) − 1 = erf(ξ/√2) is uniform in [−1, 1]
        return torch.erf(xi * 0.5**0.5).mul_(law.half_width).add_(w)
    if isinstance(law, WeightCurveProgramming):
        r = w.abs()
        noisy = curve(law.sigma, r).mul_(xi).add_(w)
        return noisy.mul_(torch.ge(r, law.zero_below_r, out=r)) if law.zero_below_r else noisy
    return w.clone()
