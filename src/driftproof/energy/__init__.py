"""Energy-based learning: Hopfield networks, and seven algorithms that train them by their own relaxation."""

from driftproof._hopfield import HopfieldNetwork, dchn, hopfield_dense
from driftproof.energy._algorithms import (
    CenteredCpL,
    CenteredEP,
    ContrastiveLearning,
    NegativeCpL,
    NegativeEP,
    PositiveCpL,
    PositiveEP,
)

__all__ = [
    "CenteredCpL",
    "CenteredEP",
    "ContrastiveLearning",
    "HopfieldNetwork",
    "NegativeCpL",
    "NegativeEP",
    "PositiveCpL",
    "PositiveEP",
    "dchn",
    "hopfield_dense",
]
