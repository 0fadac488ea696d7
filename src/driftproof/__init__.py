"""driftproof: what a trained network does on analog in-memory hardware, chip after chip, year after year.

The names below load what they need when they are first used, so that a report needs no torch and ``folded`` needs no
aihwkit.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from driftproof.chip import Chip
    from driftproof.conversion import AnalogModel, ProgrammedChip, convert, load, program, save, to_aihwkit
    from driftproof.device_choice import load_device
    from driftproof.errors import DriftproofError, DriftproofWarning
    from driftproof.evaluation import Deployment, Evaluator, Recalibration, Trial
    from driftproof.mapping import MappingOptions, TileSize, map_model
    from driftproof.plans import ChipValidation, evaluate
    from driftproof.presets import DevicePreset, load_preset, preset_names
    from driftproof.record import Record
    from driftproof.reporting import report, summarise
    from driftproof.training import (
        ASAM,
        GSAM,
        RWP,
        SAM,
        SAMRWP,
        AdaptiveRWP,
        ClipWeights,
        Distillation,
        LookSAM,
        MixedRWP,
        MultiStepSAM,
        NoiseInjection,
        OnTiles,
        Plain,
        Training,
        TwoPointRWP,
        ramp,
        train,
    )

_HOME = {
    "ASAM": "driftproof.training",
    "AdaptiveRWP": "driftproof.training",
    "ClipWeights": "driftproof.training",
    "Distillation": "driftproof.training",
    "GSAM": "driftproof.training",
    "LookSAM": "driftproof.training",
    "MixedRWP": "driftproof.training",
    "MultiStepSAM": "driftproof.training",
    "NoiseInjection": "driftproof.training",
    "OnTiles": "driftproof.training",
    "Plain": "driftproof.training",
    "RWP": "driftproof.training",
    "SAM": "driftproof.training",
    "SAMRWP": "driftproof.training",
    "Training": "driftproof.training",
    "TwoPointRWP": "driftproof.training",
    "ramp": "driftproof.training",
    "train": "driftproof.training",
    "AnalogModel": "driftproof.conversion",
    "Chip": "driftproof.chip",
    "ChipValidation": "driftproof.plans",
    "Deployment": "driftproof.evaluation",
    "DevicePreset": "driftproof.presets",
    "DriftproofError": "driftproof.errors",
    "DriftproofWarning": "driftproof.errors",
    "Evaluator": "driftproof.evaluation",
    "MappingOptions": "driftproof.mapping",
    "ProgrammedChip": "driftproof.conversion",
    "Recalibration": "driftproof.evaluation",
    "Record": "driftproof.record",
    "TileSize": "driftproof.mapping",
    "Trial": "driftproof.evaluation",
    "convert": "driftproof.conversion",
    "evaluate": "driftproof.plans",
    "load": "driftproof.conversion",
    "load_device": "driftproof.device_choice",
    "load_preset": "driftproof.presets",
    "map_model": "driftproof.mapping",
    "preset_names": "driftproof.presets",
    "program": "driftproof.conversion",
    "report": "driftproof.reporting",
    "save": "driftproof.conversion",
    "summarise": "driftproof.reporting",
    "to_aihwkit": "driftproof.conversion",
}

__all__ = [
    # Devices
    "DevicePreset",
    "load_device",
    "load_preset",
    "preset_names",
    # Networks on tiles
    "AnalogModel",
    "Chip",
    "ProgrammedChip",
    "TileSize",
    "convert",
    "load",
    "map_model",
    "program",
    "save",
    "to_aihwkit",
    # Accuracy over time and chips
    "Deployment",
    "Evaluator",
    "MappingOptions",
    "Recalibration",
    "Record",
    "Trial",
    "evaluate",
    "report",
    "summarise",
    # Training that makes networks hold
    "ASAM",
    "AdaptiveRWP",
    "ChipValidation",
    "ClipWeights",
    "Distillation",
    "GSAM",
    "LookSAM",
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
    # What goes wrong
    "DriftproofError",
    "DriftproofWarning",
]


def __getattr__(name: str) -> Any:
    """Load a public name when it is first used."""
    if name not in _HOME:
        raise AttributeError(f"module 'driftproof' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
