"""Drift laws. To add one, write a file here and import it below."""

from driftproof.laws._drift.law import Drift, DriftLaw
from driftproof.laws._drift.log_relaxation import LogRelaxation
from driftproof.laws._drift.power import PowerDrift
