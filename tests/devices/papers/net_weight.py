"""Laws of the net weight, relative to the largest of its column (or layer)."""

from __future__ import annotations

import math

from devices.papers.device import nearest_level


def foundation(w: float, xi: float) -> float:
    """Analog foundation models, arXiv:2505.09663: |w| of each column is scaled to 180, below 0.6 it is 0."""
    x = 180 * abs(w)
    if x < 0.6:
        return 0.0
    if x <= 52.5:
        sigma = 2.5797 + 0.2242 * x - 3.7158e-3 * x**2 + 2.9398e-5 * x**3
    else:
        sigma = 2.1103 + 0.24535 * x - 3.0550e-3 * x**2 + 1.2330e-5 * x**3
    return (180 * w + sigma * xi) / 180


def gaussian(w: float, xi: float) -> float:
    """5 % of the largest weight."""
    return w + 0.05 * xi


def gaussian_multiplicative(w: float, xi: float) -> float:
    """5 % of the weight itself."""
    return w * (1 + 0.05 * xi)


def uniform(w: float, xi: float) -> float:
    """Within 5 % of the largest weight: Φ(ξ) is evenly spread over [0, 1]."""
    return w + 0.05 * (math.erfc(-xi / math.sqrt(2)) - 1)


def levels(w: float, xi: float) -> float:
    """8 bits: 255 levels from −1 to 1."""
    return nearest_level(w, -1.0, 255)


def ideal(w: float, xi: float) -> float:
    return w
