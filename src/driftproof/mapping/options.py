"""How a network is put on tiles: which layers, on how large ones, relative to what."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass, field

from torch import nn

from driftproof.defaults import SCALE, TILE
from driftproof.errors import DriftproofError
from driftproof.inputs import Inputs
from driftproof.keywords import ChecksKeywords
from driftproof.mapping.network import Mapping, map_model
from driftproof.mapping.weight import Scale, TileSize
from driftproof.mapping.where import Where


@dataclass(frozen=True, kw_only=True)
class MappingOptions(ChecksKeywords):
    """How a network is put on tiles.

    Attributes:
        tile: largest crossbar.
        where: which layers may be on tiles: names, patterns, ``inner`` (all but the first and the last), or a function
            of name and module; None for all that can be.
        scale: weights relative to their tile's ``column`` or to the whole ``layer``.
        clip: percentile of |w| that takes the largest weight's place; None for no clipping.
        all_analog: whether a weight that multiplies and stays digital unasked is an error. It decides no number.

    >>> MappingOptions(tile=TileSize(256, 256)).scale
    'column'
    """

    tile: TileSize = field(default_factory=lambda: TileSize(*TILE))
    where: Where | None = None
    scale: Scale = SCALE
    clip: float | None = None
    all_analog: bool = False

    def __post_init__(self) -> None:
        """Make a tuple of a list of names, so that options can be compared and hashed."""
        if self.where is not None and not isinstance(self.where, str) and not callable(self.where):
            names = sorted(self.where) if isinstance(self.where, Set) else list(self.where)
            if not names:
                raise DriftproofError("where: an empty list chooses no layer; leave where out for all, or name some")
            object.__setattr__(self, "where", tuple(names))
        if self.clip is not None:
            object.__setattr__(self, "clip", float(self.clip))

    def map(self, network: nn.Module, example: Inputs | None = None) -> Mapping:
        """Return the mapping of a network (:func:`map_model`)."""
        return map_model(
            network,
            self.tile,
            example,
            where=self.where,
            scale=self.scale,
            clip=self.clip,
            all_analog=self.all_analog,
        )
