"""The device laws in plain torch: program, drift, read. This package is the only source of device randomness."""

from driftproof._devices.array import ProgrammedArray
from driftproof._devices.device import Array, Device, DeviceLaws
from driftproof._devices.keys import canonical_name, generator
from driftproof._devices.mvm_read_noise import MvmReadNoise, SampleNormals
from driftproof._devices.normals import LayerKey
from driftproof._devices.programming import Programmed, Target, program, program_layers, restore
from driftproof._devices.read_outs import ONE_READ_OUT, USE, ReadOut, ReadOuts
