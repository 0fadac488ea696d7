"""Encodings of weights as conductances. To add one, write a file here and import it below."""

from driftproof.laws._encoding.encoding import Bank, Conductance, Conductances, DeviceEncoding, Encoding, Unit
from driftproof.laws._encoding.offset import OffsetEncoding
from driftproof.laws._encoding.pair import PairEncoding
from driftproof.laws._encoding.weight import WeightEncoding
