"""An array's stages between the arrays and the ADCs of tiles that someone else computes, tile by tile."""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

from driftproof.arrays.forward import ForwardReads
from driftproof.arrays.loaded import Loaded
from driftproof.calls import Product
from driftproof.periphery import Counts, Sums


class TileStages:
    """The stages of one product, for tiles that are multiplied elsewhere.

    Args:
        reads: of the array.
        loaded: what it holds.
        product: as the network asks for it.
        vectors: its inputs, [..., groups, in of a group].
        columns: which of the array's columns are wanted, None for all.
    """

    def __init__(
        self, reads: ForwardReads, loaded: Loaded, product: Product, vectors: Tensor, columns: slice | None
    ) -> None:
        self.reads, self.loaded, self.mapped = reads, loaded, reads.mapped
        reads.reads.begin()
        # the tiles clip what is beyond their range without a word; of a convolution each patch is converted by itself
        for rows, reach in zip(self.mapped.rows, reads.ranges, strict=False):
            reads.counts.beyond("saturated_inputs", vectors[..., rows], reach)
        outputs = len(self.mapped.target) if columns is None else columns.stop - columns.start
        shape = (*vectors.shape[:-2], outputs)

        @cache
        def normals(split: int, stage: str) -> Tensor:
            found = reads.reads.normals(loaded, product, shape, f"sum{split}", stage)
            return found.reshape(-1, outputs)

        self._normals = normals

    def __call__(
        self, split: int, rows: slice, columns: slice, wanted: slice, count: int, x: Tensor, sums: Tensor
    ) -> Tensor:
        """Return what reaches the ADCs of one tile; arguments as of ``driftproof.conversion.grid.Between``."""
        lines = self.loaded.columns(split, rows, columns)
        groups = len(self.mapped.groups_of(columns))
        counts = self.reads.counts if groups == 1 else Counts()
        readout = self.reads.reads.readout
        state = Sums(
            values=sums,
            axis=-1,
            inputs=x,
            times=lambda x, matrix: x @ matrix.T,
            net=lines.net,
            variance=lines.variance,
            new=lambda stage: self._placed(self._normals(split, stage), columns, wanted, count),
            fixed=lines.fixed,
            counts=counts,
        )
        y = readout.analog(state)
        if groups > 1:  # each group's vector is read by its own columns only
            own = y.view(count, groups, groups, -1).diagonal(dim1=1, dim2=2)
            readout.count(own, self.reads.counts)
        return y

    def _placed(self, numbers: Tensor, columns: slice, wanted: slice, count: int) -> Tensor:
        """Return the numbers [N, wanted] as one tile takes them, [N · its groups, its columns]."""
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
