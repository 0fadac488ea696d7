"""Measured arrays: the conductances of real chips, evaluated as chips."""

from driftproof._old_paths import old_names
from driftproof.measured._export import save_conductances
from driftproof.measured._folder import load_measured

__all__ = ["load_measured", "save_conductances"]

__getattr__ = old_names(__name__)
