"""The stages between array and ADC for tiles that other code multiplies, tile by tile."""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

from driftproof._calls import Product
from driftproof.arrays._forward import ForwardReads
from driftproof.arrays._loaded import Loaded
from driftproof.periphery import Sums
from driftproof.periphery._counts import Counts


class TileStages:
    """The stages of one product, for tiles that other code multiplies.

    Args:
        reads: Forward reads of the array.
        loaded: Loaded reading of the array.
        product: Product of the network.
        vectors: Inputs of the product, [..., groups, in of a group].
        columns: Columns of the array that the product uses, or None for all.
    """

    def __init__(
        self, reads: ForwardReads, loaded: Loaded, product: Product, vectors: Tensor, columns: slice | None
    ) -> None:
        self.reads, self.loaded, self.mapped = reads, loaded, reads.mapped
        reads.begin()
        # the tiles clip silently, so saturation is counted here; each patch of a convolution is converted by itself
        for rows, reach in zip(self.mapped.rows, reads.ranges, strict=False):
            reads.counts.beyond("saturated_inputs", vectors[..., rows], reach)
        outputs = len(self.mapped.target) if columns is None else columns.stop - columns.start
        shape = (*vectors.shape[:-2], outputs)

        @cache
        def normals(split: int, stage: str) -> Tensor:
            return reads.normals(loaded, product, shape, f"sum{split}", stage).reshape(-1, outputs)

        self._normals = normals

    def __call__(
        self, split: int, rows: slice, columns: slice, wanted: slice, count: int, x: Tensor, sums: Tensor
    ) -> Tensor:
        """Return the inputs of one tile's ADCs; arguments as for ``between`` of ``_conversion.grid.TileGrid``."""
        lines, readout = self.loaded.columns(split, rows, columns), self.reads.readout
        groups = len(self.mapped.groups_of(columns))
        counts = self.reads.counts if groups == 1 else Counts()

        def new(stage: str) -> Tensor:
            return self._placed(self._normals(split, stage), columns, wanted, count)

        y = readout.analog(
            Sums(sums, -1, x, lambda x, matrix: x @ matrix.T, lines.net, lines.variance, new, lines.fixed, counts)
        )
        if groups > 1:  # only a group's columns read the group's vector
            readout.count(y.view(count, groups, groups, -1).diagonal(dim1=1, dim2=2), self.reads.counts)
        return y

    def _placed(self, numbers: Tensor, columns: slice, wanted: slice, count: int) -> Tensor:
        """Return the numbers [N, wanted] in the order of one tile, [N · its groups, its columns]."""
        width = columns.stop - columns.start
        mine = numbers.new_zeros(count, width)
        low, high = max(columns.start, wanted.start), min(columns.stop, wanted.stop)
        mine[:, low - columns.start : high - columns.start] = numbers[:, low - wanted.start : high - wanted.start]
        groups = len(self.mapped.groups_of(columns))
        if groups == 1:
            return mine
        spread = torch.zeros(count, groups, groups, width // groups, device=numbers.device)
        spread.diagonal(dim1=1, dim2=2).copy_(mine.view(count, groups, -1).transpose(1, 2))
        return spread.view(count * groups, width)
