"""Which weights go on tiles, and how. Conversion, evaluation and training share this answer."""

from driftproof._calls.network import plain, plain_copy, unwrap
from driftproof._mapping.network import LayerEntry, Mapping, map_model, map_plain, untie_tables
from driftproof._mapping.options import MappingOptions
from driftproof._mapping.unasked import unasked_text
from driftproof._mapping.weight import MappedWeight, Scale, TileSize, map_weight, split_sizes
from driftproof._mapping.where import Where
