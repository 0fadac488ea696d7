"""Measured arrays: the conductances of real chips, evaluated as chips."""

from driftproof.measured.device import MeasuredArray, MeasuredDevice
from driftproof.measured.export import save_conductances
from driftproof.measured.folder import load_measured
from driftproof.measured.likeness import LayerError

__all__ = [
    # Reading
    "LayerError",
    "MeasuredArray",
    "MeasuredDevice",
    "load_measured",
    # Writing
    "save_conductances",
]
