"""Measured arrays: the conductances of real chips, evaluated as chips."""

from driftproof.measured.device import MeasuredArray, MeasuredDevice, load_measured
from driftproof.measured.export import save_conductances

__all__ = [
    "MeasuredArray",
    "MeasuredDevice",
    "load_measured",
    "save_conductances",
]
