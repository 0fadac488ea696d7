"""Write a periphery of 6-bit converters."""

import sys

from driftproof.periphery import load_periphery, write_periphery

six = load_periphery("standard").with_changes(dac_bits=6, adc_bits=6, summary="6 bits in, 6 bits out")
write_periphery(six, sys.argv[1])
