"""Training that makes networks hold: perturbations drawn by the sampler that evaluations draw from."""

from driftproof.training.bound import AtTestNoise, Bound, binary_kl, gaussian_kl, kl_inverse, pac_bayes_bound
from driftproof.training.clipping import ClipWeights
from driftproof.training.distillation import Distillation
from driftproof.training.loop import Training, Validate, train
from driftproof.training.measured_bound import measure_bound
from driftproof.training.methods import (
    ASAM,
    GSAM,
    RWP,
    SAM,
    SAMRWP,
    AdaptiveRWP,
    Diagnostics,
    LookSAM,
    Method,
    MixedRWP,
    MultiStepSAM,
    NoiseInjection,
    Plain,
    TwoPointRWP,
)
from driftproof.training.noise import DeviceNoise, GaussianNoise, Key, Noise, as_noise, check_noise_validity
from driftproof.training.norms import recalibrate_norms
from driftproof.training.schedule_text import as_schedule
from driftproof.training.schedules import Adaptive, Constant, Ramp, Sampled, Schedule, ramp
from driftproof.training.settings import Settings
from driftproof.training.surface import Surface, loss_surface
from driftproof.training.weights import AnalogWeights, OnTiles

__all__ = [
    # The loop
    "Distillation",
    "Settings",
    "Training",
    "Validate",
    "train",
    # Methods
    "ASAM",
    "AdaptiveRWP",
    "Diagnostics",
    "GSAM",
    "LookSAM",
    "Method",
    "MixedRWP",
    "MultiStepSAM",
    "NoiseInjection",
    "Plain",
    "RWP",
    "SAM",
    "SAMRWP",
    "TwoPointRWP",
    # What is put on the weights
    "DeviceNoise",
    "GaussianNoise",
    "Key",
    "Noise",
    "as_noise",
    "check_noise_validity",
    # How strong it is
    "Adaptive",
    "Constant",
    "Ramp",
    "Sampled",
    "Schedule",
    "as_schedule",
    "ramp",
    # The norms' statistics
    "recalibrate_norms",
    # Which weights
    "AnalogWeights",
    "ClipWeights",
    "OnTiles",
    # What is around the trained weights
    "Surface",
    "loss_surface",
    # A bound on new samples
    "AtTestNoise",
    "Bound",
    "binary_kl",
    "gaussian_kl",
    "kl_inverse",
    "measure_bound",
    "pac_bayes_bound",
]
