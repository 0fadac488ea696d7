"""Analog arrays: multiplication by a weight on its tiles, and by its transpose, with their periphery."""

from driftproof._old_paths import old_names
from driftproof.arrays._array import AnalogArray
from driftproof.arrays._ranges import input_ranges

__all__ = ["AnalogArray", "input_ranges"]

__getattr__ = old_names(__name__)
