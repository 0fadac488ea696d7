"""Which weights go on tiles, and how: the one answer that conversion, evaluation and training share."""

from driftproof.calls.network import plain, plain_copy, unwrap
from driftproof.mapping.network import LayerEntry, Mapping, map_model, untie_tables
from driftproof.mapping.weight import MappedWeight, Scale, TileSize, map_weight, split_sizes
from driftproof.mapping.where import Where

__all__ = [
    # A whole network
    "LayerEntry",
    "Mapping",
    "Where",
    "map_model",
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
