"""What arrays compute: multiplications by a weight on its tiles and by its transpose, with everything around them."""

from driftproof.arrays.array import AnalogArray
from driftproof.arrays.passes import Calls, Passes, by_sample, first_tensor
from driftproof.arrays.ranges import Ranges, back_name, input_ranges
from driftproof.arrays.read_noise import NoisyProducts
from driftproof.arrays.reading import ArrayReading

__all__ = [
    # One weight as a linear operator
    "AnalogArray",
    "ArrayReading",
    # Its static input ranges
    "Ranges",
    "back_name",
    "input_ranges",
    # Which samples come
    "Calls",
    "Passes",
    "by_sample",
    "first_tensor",
    # Read noise behind a layer
    "NoisyProducts",
]
