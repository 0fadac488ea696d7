"""What programming does to a target. A new law: a file here, and its line below."""

from driftproof.laws.programming.exact import ExactProgramming
from driftproof.laws.programming.gaussian import GaussianProgramming
from driftproof.laws.programming.in_time import TableInTime, TimeCorrelation
from driftproof.laws.programming.law import Kept, Programming, ProgrammingLaw, Target
from driftproof.laws.programming.polynomial import PolynomialProgramming
from driftproof.laws.programming.polynomial_in_time import PolynomialInTime
from driftproof.laws.programming.saturating_in_time import SaturatingInTime
from driftproof.laws.programming.uniform import UniformProgramming
from driftproof.laws.programming.weight_curve import WeightCurveProgramming

__all__ = [
    # What all have
    "Kept",
    "Programming",
    "ProgrammingLaw",
    "TableInTime",
    "Target",
    "TimeCorrelation",
    # The laws
    "ExactProgramming",
    "GaussianProgramming",
    "PolynomialInTime",
    "PolynomialProgramming",
    "SaturatingInTime",
    "UniformProgramming",
    "WeightCurveProgramming",
]
