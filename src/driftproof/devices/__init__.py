"""The laws of the devices in plain torch: program, drift, read. The only source of device randomness."""

from driftproof.devices.array import ProgrammedArray
from driftproof.devices.device import Array, Device, DeviceLaws
from driftproof.devices.fixed_normals import LayerKey
from driftproof.devices.keys import canonical_name, generator
from driftproof.devices.product_noise import ProductNoise, SampleNormals
from driftproof.devices.programming import program
from driftproof.devices.stored import restore

__all__ = [
    # One layer of one chip
    "ProductNoise",
    "ProgrammedArray",
    "program",
    "restore",
    # What a device is
    "Array",
    "Device",
    "DeviceLaws",
    # Randomness
    "LayerKey",
    "SampleNormals",
    "canonical_name",
    "generator",
]
