"""What an array's products are besides weights times inputs: noise that is new in each, and converters around it."""

from driftproof.products.converted import ConvertedProducts
from driftproof.products.passes import Passes, first_tensor
from driftproof.products.ranges import Ranges, input_ranges
from driftproof.products.read_noise import NoisyProducts
from driftproof.products.tile_noise import TileSumNoise

__all__ = [
    # Which samples come
    "Passes",
    "first_tensor",
    # With an ideal periphery
    "NoisyProducts",
    # Between converters
    "ConvertedProducts",
    "Ranges",
    "TileSumNoise",
    "input_ranges",
]
