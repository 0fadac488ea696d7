"""Your own device from measurements: a CSV file of conductances → a preset with intervals, and a figure."""

from driftproof._old_paths import old_names
from driftproof.fitting._fit import fit_measurements
from driftproof.fitting._preset_file import preset_text
from driftproof.fitting._reading import read_measurements

__all__ = ["fit_measurements", "preset_text", "read_measurements"]

__getattr__ = old_names(__name__)
