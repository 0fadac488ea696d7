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
from driftproof.energy._pulses import PulsedUpdates
from driftproof.energy._repair import Repair, repair

__all__ = [
    "CenteredCpL",
    "CenteredEP",
    "ContrastiveLearning",
    "HopfieldNetwork",
    "NegativeCpL",
    "NegativeEP",
    "PositiveCpL",
    "PositiveEP",
    "PulsedUpdates",
    "Repair",
    "dchn",
    "hopfield_dense",
    "repair",
]
