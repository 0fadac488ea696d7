"""The tiles of one weight, multiplied with vectors and summed: for every product that is not simply a layer's."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from driftproof.mapping import MappedWeight


class Between(Protocol):
    """What happens between a tile's array and its ADC."""

    def __call__(
        self, split: int, rows: slice, columns: slice, wanted: slice, count: int, x: Tensor, sums: Tensor
    ) -> Tensor:
        """Return what reaches the ADCs of one tile.

        Args:
            split: row split of the tile.
            rows: its rows.
            columns: its columns.
            wanted: the outputs of the array that are asked for.
            count: how many vectors are multiplied, N.
            x: what drives the array, [N · groups of the tile, rows], in [−1, 1].
            sums: what its columns summed, [N · groups of the tile, columns].
        """


class TileGrid(nn.Module):
    """The tiles of one weight, and the sum of what they compute.

    Args:
        mapped: the weight on tiles.
        config: aihwkit's configuration of each tile.
        ranges: static input range of each row split; empty if there is none.
    """

    def __init__(self, mapped: MappedWeight, config: Any, ranges: tuple[float, ...] = ()) -> None:
        super().__init__()
        self.mapped = mapped
        self.pieces = nn.ModuleList()
        self.places: list[tuple[int, slice]] = []
        for split, rows in enumerate(mapped.rows):
            for columns in mapped.columns:
                size = (columns.stop - columns.start, rows.stop - rows.start)
                tile = config.get_default_tile_module_class(*size)(*size, copy.deepcopy(config), False)
                tile.tile.set_weights(mapped.target[columns, rows].contiguous())  # scaled by mapping, not by aihwkit
                if ranges:
                    tile.set_input_range(ranges[split])
                self.pieces.append(tile)
                self.places.append((split, columns))

    def forward(self, vectors: Tensor, wanted: slice | None = None, between: Between | None = None) -> Tensor:
        """Multiply vectors.

        Args:
            vectors: [..., groups, in of a group].
            wanted: which outputs, None for all.
            between: what happens between the tiles' arrays and their ADCs, beyond what aihwkit does; None: nothing.

        Returns:
            [..., out], or the wanted outputs only.
        """
        outputs = self.mapped.target.shape[0]
        wanted = slice(0, outputs) if wanted is None else wanted
        flat = vectors.reshape(-1, *vectors.shape[-2:])
        parts: dict[int, Tensor] = {}  # first column → sum over the row splits
        for tile, (split, columns) in zip(self.pieces, self.places, strict=True):
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
        """Return the columns of one tile, [N, columns]: the rows of one group are driven at a time."""
        groups = self.mapped.groups_of(columns)
        driven = vectors if self.mapped.layout.groups == 1 else vectors[:, groups.start : groups.stop]
        found: Tensor = tile(driven.reshape(-1, vectors.shape[-1]))
        found = found.view(len(vectors), len(groups), -1)
        if len(groups) == 1:
            return found[:, 0]
        # each group's vector is multiplied by its own columns: the diagonal blocks
        blocks = found.view(len(vectors), len(groups), len(groups), -1).diagonal(dim1=1, dim2=2)
        return blocks.transpose(1, 2).reshape(len(vectors), -1)


class OpenedMvm:
    """Stands where aihwkit's torch-based tile multiplies, and lets our stages in between its array and its ADC.

    aihwkit's own steps are called for all the rest. (It draws its output noise from torch's global generator, which no
    key reaches.)
    """

    def __init__(self, inner: Any) -> None:
        self.inner = inner
        self.between: Callable[[Tensor, Tensor], Tensor] | None = None

    def matmul(self, weight: Tensor, input_: Tensor, io_pars: Any, *args: Any, **named: Any) -> Tensor:
        """Multiply as aihwkit does, with what was set to come in between; that is forgotten then."""
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
    """Return what multiplies in a tile, put around aihwkit's own when it is first wanted."""
    if not isinstance(tile.tile._analog_mvm, OpenedMvm):
        tile.tile._analog_mvm = OpenedMvm(tile.tile._analog_mvm)
    return tile.tile._analog_mvm
