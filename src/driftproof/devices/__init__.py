"""The laws of the devices in plain torch: program, drift, read. The only source of device randomness."""

from driftproof.devices.array import ProgrammedArray, program
from driftproof.devices.keys import canonical_name, generator
from driftproof.devices.product_noise import ProductNoise, SampleNormals
from driftproof.devices.stored import restore, stored

__all__ = [
    # One layer of one chip
    "ProductNoise",
    "ProgrammedArray",
    "program",
    "restore",
    "stored",
    # Randomness
    "SampleNormals",
    "canonical_name",
    "generator",
]
