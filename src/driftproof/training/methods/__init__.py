"""Methods: each makes one update of the weights, in our loop or in anybody's.

A new method is a class in a file, and one line here that imports it; it is known by its ``name`` from then on.
"""

# in the order in which messages list their names
# isort: off
from driftproof.training.methods.method import Diagnostics, Method
from driftproof.training.methods.plain import Plain
from driftproof.training.methods.rwp import RWP
from driftproof.training.methods.two_point import TwoPointRWP
from driftproof.training.methods.mixed_rwp import MixedRWP
from driftproof.training.methods.adaptive_rwp import AdaptiveRWP
from driftproof.training.methods.sam import SAM
from driftproof.training.methods.multi_step_sam import MultiStepSAM
from driftproof.training.methods.asam import ASAM
from driftproof.training.methods.gsam import GSAM
from driftproof.training.methods.looksam import LookSAM
from driftproof.training.methods.sam_rwp import SAMRWP
from driftproof.training.methods.noise_injection import NoiseInjection
# isort: on

__all__ = [
    # What all share
    "Diagnostics",
    "Method",
    # Random perturbations
    "AdaptiveRWP",
    "MixedRWP",
    "NoiseInjection",
    "RWP",
    "TwoPointRWP",
    # The worst one nearby
    "ASAM",
    "GSAM",
    "LookSAM",
    "MultiStepSAM",
    "SAM",
    # Both, and neither
    "Plain",
    "SAMRWP",
]
