"""How a network is put on tiles: which layers, the size of the tiles, and the scale of the weights."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass, field

from torch import nn

from driftproof._defaults import SCALE, TILE
from driftproof._errors import DriftproofError
from driftproof._inputs import Inputs
from driftproof._keywords import ChecksKeywords
from driftproof._mapping.network import Mapping, map_model
from driftproof._mapping.weight import Scale, TileSize
from driftproof._mapping.where import Where


@dataclass(frozen=True, kw_only=True)
class MappingOptions(ChecksKeywords):
    """How a network is put on tiles.

    Attributes:
        tile: Size of the largest crossbar (default: 512 × 512).
        where: Layers that may be on tiles: names, patterns, ``inner`` (all but the first and the last), or a function
            of name and module (default: None, all that can be).
        scale: Whether weights are relative to the maximum of their tile's ``column`` or of the whole ``layer``.
        clip: Percentile of |w| that replaces the maximum; None without clipping.
        all_analog: Whether to raise an error if a weight that is used in a matrix multiplication stays digital although
            ``where`` does not exclude it (default: False). It does not change any number.

    >>> MappingOptions(tile=TileSize(256, 256)).scale
    'column'
    """

    tile: TileSize = field(default_factory=lambda: TileSize(*TILE))
    where: Where | None = None
    scale: Scale = SCALE
    clip: float | None = None
    all_analog: bool = False

    def __post_init__(self) -> None:
        """Turn a list of names into a tuple, so that options can be compared and hashed."""
        object.__setattr__(self, "tile", TileSize.of(self.tile))
        if self.where is not None and not isinstance(self.where, str) and not callable(self.where):
            names = sorted(self.where) if isinstance(self.where, Set) else list(self.where)
            if not names:
                raise DriftproofError("where: an empty list chooses no layer; leave where out for all, or name some")
            object.__setattr__(self, "where", tuple(names))
        if self.clip is not None:
            object.__setattr__(self, "clip", float(self.clip))

    def map(self, network: nn.Module, example: Inputs | None = None) -> Mapping:
        """Return the mapping of a network (:func:`map_model`)."""
        return map_model(network, example=example, **vars(self))
