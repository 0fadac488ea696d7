"""The periphery of a crossbar array: DAC, input ranges, output noise and ADC, as settings and functions of tensors.

aihwkit is not imported, and nothing random is drawn here: noise comes in as numbers.
"""

from driftproof._old_paths import old_names
from driftproof.periphery._importing import periphery_from_rpu_config
from driftproof.periphery._load import load_periphery, periphery_names, write_periphery
from driftproof.periphery._settings import DynamicRange, Periphery, StaticRange
from driftproof.periphery._stage import Stage
from driftproof.periphery._sums import Sums

__all__ = [
    "DynamicRange",
    "Periphery",
    "Stage",
    "StaticRange",
    "Sums",
    "load_periphery",
    "periphery_from_rpu_config",
    "periphery_names",
    "write_periphery",
]

__getattr__ = old_names(__name__)
