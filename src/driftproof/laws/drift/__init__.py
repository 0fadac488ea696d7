"""What time does to a programmed conductance. A new law: a file here, and its line below."""

from driftproof.laws.drift.law import Drift, DriftLaw
from driftproof.laws.drift.log_relaxation import LogRelaxation
from driftproof.laws.drift.power import PowerDrift

__all__ = [
    # What all have
    "Drift",
    "DriftLaw",
    # The laws
    "LogRelaxation",
    "PowerDrift",
]
