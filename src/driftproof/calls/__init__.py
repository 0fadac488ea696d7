"""The products that a network's own code computes, function by function."""

from driftproof.calls.geometry import Convolution, Dense, Geometry, geometry_of
from driftproof.calls.interception import Interception
from driftproof.calls.layout import Layout
from driftproof.calls.parameters import Located, Parameters
from driftproof.calls.products import Product, recognise

__all__ = [
    # A product, and how its vectors and its matrix lie
    "Convolution",
    "Dense",
    "Geometry",
    "Layout",
    "Product",
    "geometry_of",
    "recognise",
    # Seeing and taking over the products of a network
    "Interception",
    "Located",
    "Parameters",
]
