"""Write a periphery of 6-bit converters."""

import sys

from driftproof.periphery import load_periphery, write_periphery

six = load_periphery("standard").with_changes(name="six-bits", dac_bits=6, adc_bits=6)
write_periphery(six, sys.argv[1])
