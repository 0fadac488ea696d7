"""How weights stand in conductances. A new encoding: a file here, and its line below."""

from driftproof.laws.encoding.encoding import Bank, Conductance, Conductances, DeviceEncoding, Encoding, Unit
from driftproof.laws.encoding.offset import OffsetEncoding
from driftproof.laws.encoding.pair import PairEncoding
from driftproof.laws.encoding.weight import WeightEncoding

__all__ = [
    # What all have
    "Bank",
    "Conductance",
    "Conductances",
    "DeviceEncoding",
    "Encoding",
    "Unit",
    # The encodings
    "OffsetEncoding",
    "PairEncoding",
    "WeightEncoding",
]
