"""The laws of devices, one file each: the numbers of a preset, the formula, words and plots. No torch at import.

A new law is a file in its family's folder and the line that imports it in that folder's ``__init__``; a user's own law
is a file anywhere, imported before a preset that names it is loaded. :class:`Law` says what must stand in it.
"""

from driftproof.laws.curve import Curve, Piece, curve_values
from driftproof.laws.drift import DriftLaw, LogRelaxation, PowerDrift
from driftproof.laws.effects import Effect
from driftproof.laws.encoding import Bank, Conductances, Encoding, OffsetEncoding, PairEncoding, WeightEncoding
from driftproof.laws.law import Law, Plot
from driftproof.laws.levels import Levels
from driftproof.laws.programming import (
    ExactProgramming,
    GaussianProgramming,
    PolynomialInTime,
    PolynomialProgramming,
    ProgrammingLaw,
    SaturatingInTime,
    TableInTime,
    UniformProgramming,
    WeightCurveProgramming,
)
from driftproof.laws.read import LogConductanceRead, OneOverFRead, ReadLaw, SaturatingRead
from driftproof.laws.stuck import Stuck
from driftproof.laws.validity import Validity
from driftproof.laws.words import FAMILIES, in_words

__all__ = [
    # What a law is, and the families
    "FAMILIES",
    "DriftLaw",
    "Encoding",
    "Law",
    "Plot",
    "ProgrammingLaw",
    "ReadLaw",
    "in_words",
    # How a weight stands in conductances
    "Bank",
    "Conductances",
    "OffsetEncoding",
    "PairEncoding",
    "WeightEncoding",
    # Programming
    "ExactProgramming",
    "GaussianProgramming",
    "PolynomialInTime",
    "PolynomialProgramming",
    "SaturatingInTime",
    "TableInTime",
    "UniformProgramming",
    "WeightCurveProgramming",
    # Change in time
    "LogRelaxation",
    "PowerDrift",
    # Read noise
    "LogConductanceRead",
    "OneOverFRead",
    "SaturatingRead",
    # The rest of a device
    "Effect",
    "Levels",
    "Stuck",
    "Validity",
    # Functions of a conductance
    "Curve",
    "Piece",
    "curve_values",
]
