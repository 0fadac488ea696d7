"""Products that a network's own code computes by torch functions, recognised by the weights that they multiply by."""

from driftproof._calls.geometry import Convolution, Dense, Geometry, geometry_of
from driftproof._calls.interception import Interception
from driftproof._calls.layout import Layout
from driftproof._calls.parameters import Located, Parameters
from driftproof._calls.products import Product
