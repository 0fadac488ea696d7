"""What is around a crossbar array: DAC, input ranges, output noise, ADC — settings and pure functions of tensors.

aihwkit is not imported and nothing random is drawn: noise comes in as numbers.
"""

from driftproof.periphery.aihwkit_fields import aihwkit_forward, aihwkit_input_range
from driftproof.periphery.calibration import QUANTILE_ERROR, RangeStatistics
from driftproof.periphery.converters import (
    adc,
    adc_codes,
    add_output_noise,
    converter_step,
    dac,
    dynamic_range,
    mvm_noise_variances,
    output_factor,
)
from driftproof.periphery.counts import Counts
from driftproof.periphery.importing import periphery_from_rpu_config
from driftproof.periphery.load import load_periphery, periphery_names, write_periphery
from driftproof.periphery.readout import Readout
from driftproof.periphery.settings import (
    DynamicRange,
    Periphery,
    PeripherySource,
    StaticRange,
    WeightNoise,
    WireDrop,
)
from driftproof.periphery.stage import Stage
from driftproof.periphery.sums import Sums

__all__ = [
    # Settings
    "DynamicRange",
    "Periphery",
    "PeripherySource",
    "StaticRange",
    "WeightNoise",
    "WireDrop",
    # What an array's sums go through
    "Counts",
    "Readout",
    "Stage",
    "Sums",
    # Files
    "load_periphery",
    "periphery_names",
    "write_periphery",
    # The converters
    "adc",
    "adc_codes",
    "add_output_noise",
    "converter_step",
    "dac",
    "dynamic_range",
    "mvm_noise_variances",
    "output_factor",
    # Calibration of static ranges
    "QUANTILE_ERROR",
    "RangeStatistics",
    # aihwkit's words
    "aihwkit_forward",
    "aihwkit_input_range",
    "periphery_from_rpu_config",
]
