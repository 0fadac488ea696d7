"""The tiles of one weight, multiplied by vectors and summed: for products that are more than one layer's."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from driftproof._mapping import MappedWeight
from driftproof.arrays._on_tiles import TileStages


class TileGrid(nn.Module):
    """The tiles of one weight, and the sum of their outputs.

    Args:
        mapped: The weight on tiles.
        config: aihwkit's configuration of each tile.
        ranges: Static input range of each row split (default: none).
    """

    def __init__(self, mapped: MappedWeight, config: Any, ranges: tuple[float, ...] = ()) -> None:
        super().__init__()
        self.mapped = mapped
        self.pieces = nn.ModuleList()
        for split, columns in mapped.places:
            rows = mapped.rows[split]
            size = (columns.stop - columns.start, rows.stop - rows.start)
            tile = config.get_default_tile_module_class(*size)(*size, copy.deepcopy(config), False)
            if ranges:
                tile.set_input_range(ranges[split])
            self.pieces.append(tile)

    def forward(self, vectors: Tensor, wanted: slice | None = None, between: TileStages | None = None) -> Tensor:
        """Multiply vectors.

        Args:
            vectors: Inputs, [..., groups, in of a group].
            wanted: Outputs that are wanted (default: all).
            between: Stages between the tiles' arrays and their ADCs, in addition to aihwkit's (default: none). They are
                called with the tile's row split, its rows, its columns, the wanted outputs, the number of vectors N,
                the array's inputs [N · groups of the tile, rows] in [−1, 1], and the sums [N · groups, columns].

        Returns:
            The wanted outputs, [..., out].
        """
        wanted = slice(0, self.mapped.target.shape[0]) if wanted is None else wanted
        flat = vectors.reshape(-1, *vectors.shape[-2:])
        parts: dict[int, Tensor] = {}  # first column → sum over the row splits
        for tile, (split, columns) in zip(self.pieces, self.mapped.places, strict=True):
            if columns.stop <= wanted.start or columns.start >= wanted.stop:
                continue
            rows = self.mapped.rows[split]
            if between is not None:
                _opened(tile).between = partial(between, split, rows, columns, wanted, len(flat))
            product = self._multiply(tile, flat[..., rows], columns)
            parts[columns.start] = parts[columns.start] + product if columns.start in parts else product
        first = min(parts)
        whole = torch.cat([parts[start] for start in sorted(parts)], dim=-1)
        return whole[..., wanted.start - first : wanted.stop - first].reshape(*vectors.shape[:-2], -1)

    def _multiply(self, tile: nn.Module, vectors: Tensor, columns: slice) -> Tensor:
        """Return the outputs of one tile, [N, columns]: the rows of one group are driven at a time."""
        groups = self.mapped.groups_of(columns)
        driven = vectors if self.mapped.layout.groups == 1 else vectors[:, groups.start : groups.stop]
        outputs: Tensor = tile(driven.reshape(-1, vectors.shape[-1]))
        outputs = outputs.view(len(vectors), len(groups), -1)
        if len(groups) == 1:
            return outputs[:, 0]
        # each group's vector is multiplied by its columns only: the diagonal blocks
        blocks = outputs.view(len(vectors), len(groups), len(groups), -1).diagonal(dim1=1, dim2=2)
        return blocks.transpose(1, 2).reshape(len(vectors), -1)


class OpenedMvm:
    """The MVM of aihwkit's torch-based tile, with our stages between its array and its ADC.

    All other steps are aihwkit's. (Its output noise comes from torch's global generator, which our keys do not reach.)
    """

    def __init__(self, inner: Any) -> None:
        self.inner = inner
        self.between: Callable[[Tensor, Tensor], Tensor] | None = None

    def matmul(self, weight: Tensor, input_: Tensor, io_pars: Any, *args: Any, **named: Any) -> Tensor:
        """Multiply as aihwkit does, with the stages that were set for this one MVM."""
        between, self.between = self.between, None
        if between is None:
            result: Tensor = self.inner.matmul(weight, input_, io_pars, *args, **named)
            return result
        reach = self.inner._compute_noise_management(input_, io_pars.noise_management, io_pars)
        scaling = isinstance(reach, Tensor)
        scale = 1.0 / torch.where(reach <= 0, 1.0, reach) if scaling else 1.0
        x = self.inner._prepare_input(input_, scale, scaling, False, io_pars)
        _, y = self.inner._finalize_output(between(x, self.inner._matmul(weight, x)), io_pars)
        outputs: Tensor = y * (1.0 / scale) if scaling else y
        return outputs


def _opened(tile: Any) -> OpenedMvm:
    """Return the opened MVM of a tile; the first call puts it in place."""
    if not isinstance(tile.tile._analog_mvm, OpenedMvm):
        tile.tile._analog_mvm = OpenedMvm(tile.tile._analog_mvm)
    return tile.tile._analog_mvm
