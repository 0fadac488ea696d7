"""Methods: each makes one update of the weights, in driftproof's loop or in any other.

A new method is a class in a file, and one line here that imports it; it is known by its ``name`` from then on.
"""

# in the order in which messages list their names
# isort: off
from driftproof.training._methods.diagnostics import Diagnostics
from driftproof.training._methods.method import Method
from driftproof.training._methods.plain import Plain
from driftproof.training._methods.rwp import RWP
from driftproof.training._methods.two_point import TwoPointRWP
from driftproof.training._methods.mixed_rwp import MixedRWP
from driftproof.training._methods.adaptive_rwp import AdaptiveRWP
from driftproof.training._methods.sam import SAM
from driftproof.training._methods.multi_step_sam import MultiStepSAM
from driftproof.training._methods.asam import ASAM
from driftproof.training._methods.gsam import GSAM
from driftproof.training._methods.looksam import LookSAM
from driftproof.training._methods.sam_rwp import SAMRWP
from driftproof.training._methods.noise_injection import NoiseInjection
# isort: on
