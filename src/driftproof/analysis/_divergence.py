"""Kullback-Leibler divergences in nats, of normal weights and of two shares, and the inverse of the latter."""

from __future__ import annotations

from collections.abc import Callable

import torch
from scipy.special import rel_entr
from torch import Tensor
from torch.distributions import Normal, kl_divergence

from driftproof._errors import DriftproofError


def gaussian_kl(mean: Tensor, spread: Tensor, start: Tensor, start_spread: Tensor | float) -> float:
    """Return KL(N(mean, spread²) ‖ N(start, start_spread²)) of independent weights, in nats.

    ½ Σ [(s/s₀)² − 1 − ln (s/s₀)² + ((w − w₀)/s₀)²], with spreads that are standard deviations. It is infinite if a
    weight has no noise.

    Raises:
        DriftproofError: a spread is negative or not finite, or a spread of the start is zero.

    >>> gaussian_kl(torch.tensor([1.0]), torch.tensor([2.0]), torch.tensor([0.0]), 2.0)
    0.125
    """
    before = torch.as_tensor(start_spread, dtype=torch.float64, device=mean.device)
    if not bool((torch.isfinite(before) & (before > 0)).all()):
        raise DriftproofError("the prior's spread is zero, negative or not finite somewhere; wanted it above 0")
    if not bool((torch.isfinite(spread) & (spread >= 0)).all()):
        raise DriftproofError("the noise's spread is negative or not finite somewhere")
    now = Normal(mean.double(), spread.double(), validate_args=False)
    then = Normal(start.double(), before, validate_args=False)
    return max(0.0, float(kl_divergence(now, then).sum()))  # rounding may give less than 0


def binary_kl(q: float, p: float) -> float:
    """Return kl(q ‖ p) of two shares in nats."""
    return float(rel_entr(q, p) + rel_entr(1 - q, 1 - p))


def kl_inverse(q: float, nats: float) -> float:
    """Return the largest p with kl(q ‖ p) ≤ nats, rounded up.

    >>> import math
    >>> round(kl_inverse(0.0, 0.1), 6) == round(1 - math.exp(-0.1), 6)
    True
    """
    return _last(q, lambda p: binary_kl(q, p) <= nats)


def largest_before(p: float, nats: float) -> float:
    """Return the largest q with kl(q ‖ p) ≤ nats, rounded up."""
    return _last(p, lambda q: binary_kl(q, p) <= nats)


def _last(low: float, holds: Callable[[float], bool]) -> float:
    """Return the end of the interval from ``low`` in which a condition holds, rounded up, at most 1."""
    high = 1.0
    if holds(high):
        return high
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return high
