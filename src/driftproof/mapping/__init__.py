"""Which weights go on tiles, and how: the one answer that conversion, evaluation and training share."""

from driftproof.calls.network import plain, plain_copy, unwrap
from driftproof.mapping.network import LayerEntry, Mapping, map_model, untie_tables
from driftproof.mapping.options import MappingOptions
from driftproof.mapping.unasked import unasked_text
from driftproof.mapping.weight import MappedWeight, Scale, TileSize, map_weight, split_sizes
from driftproof.mapping.where import Where

__all__ = [
    # A whole network
    "LayerEntry",
    "Mapping",
    "MappingOptions",
    "Where",
    "map_model",
    "unasked_text",
    "untie_tables",
    # One weight
    "MappedWeight",
    "Scale",
    "TileSize",
    "map_weight",
    "split_sizes",
    # The network as plain modules
    "plain",
    "plain_copy",
    "unwrap",
]
