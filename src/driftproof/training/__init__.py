"""Noise-robust training: perturbations of the weights come from the sampler that evaluations use."""

from driftproof._old_paths import old_names
from driftproof.training._clipping import ClipWeights
from driftproof.training._loop import Training, train
from driftproof.training._losses import Distillation
from driftproof.training._methods import (
    ASAM,
    GSAM,
    RWP,
    SAM,
    SAMRWP,
    AdaptiveRWP,
    LookSAM,
    Method,
    MixedRWP,
    MultiStepSAM,
    NoiseInjection,
    Plain,
    TwoPointRWP,
)
from driftproof.training._schedules import ramp
from driftproof.training._weights import OnTiles

__all__ = [
    "ASAM",
    "AdaptiveRWP",
    "ClipWeights",
    "Distillation",
    "GSAM",
    "LookSAM",
    "Method",
    "MixedRWP",
    "MultiStepSAM",
    "NoiseInjection",
    "OnTiles",
    "Plain",
    "RWP",
    "SAM",
    "SAMRWP",
    "Training",
    "TwoPointRWP",
    "ramp",
    "train",
]

__getattr__ = old_names(__name__)
