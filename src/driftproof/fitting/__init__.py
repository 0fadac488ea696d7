"""Your own device from measurements: a CSV file of conductances → a preset with intervals, and a figure."""

from driftproof.fitting.device import DriftTable, FittedDevice, ReadNoise
from driftproof.fitting.fit import fit_measurements
from driftproof.fitting.measurements import Measurements, read_measurements

__all__ = [
    # What came
    "Measurements",
    "read_measurements",
    # What was fitted
    "DriftTable",
    "FittedDevice",
    "ReadNoise",
    "fit_measurements",
]
