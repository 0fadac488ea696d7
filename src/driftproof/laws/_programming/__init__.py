"""Programming laws. To add one, write a file here and import it below."""

from driftproof.laws._programming.exact import ExactProgramming
from driftproof.laws._programming.gaussian import GaussianProgramming
from driftproof.laws._programming.law import Programming, ProgrammingLaw
from driftproof.laws._programming.polynomial import PolynomialProgramming
from driftproof.laws._programming.polynomial_in_time import PolynomialInTime
from driftproof.laws._programming.saturating_in_time import SaturatingInTime
from driftproof.laws._programming.uniform import UniformProgramming
from driftproof.laws._programming.weight_curve import WeightCurveProgramming
