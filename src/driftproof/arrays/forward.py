"""Forward reads between converters: rows driven through DACs, columns summed, converted, scaled.

Each tile's partial sum is quantised before it is added to the others. A static input range is the same for all vectors
of a tile, so a convolution stays a convolution; a dynamic one belongs to each vector, and the inputs are cut into
vectors first.
"""

from __future__ import annotations

import math

from torch import Tensor

from driftproof.arrays.loaded import Loaded
from driftproof.arrays.passes import Passes
from driftproof.arrays.tile_reads import TileReads, group_times
from driftproof.calls import Convolution, Product
from driftproof.errors import DriftproofError
from driftproof.mapping import MappedWeight
from driftproof.periphery import Counts, DynamicRange, Periphery, dac, dynamic_range, output_factor


class ForwardReads:
    """What one array computes with its converters.

    Args:
        mapped: the weight on tiles.
        passes: which samples come.
        periphery: not ideal.
        ranges: static input range of each row split; none if it is dynamic.
        counts: of what saturates.
    """

    def __init__(
        self, mapped: MappedWeight, passes: Passes, periphery: Periphery, ranges: tuple[float, ...], counts: Counts
    ) -> None:
        self.mapped, self.periphery, self.ranges, self.counts = mapped, periphery, ranges, counts
        self.reads = TileReads(mapped.name, passes, periphery, counts)
        self._dynamic = isinstance(periphery.input_range, DynamicRange)
        if not self._dynamic and len(ranges) != len(mapped.rows):
            raise DriftproofError(
                f"layer {mapped.name}: periphery {periphery.name} has static input ranges, one for each of "
                f"{len(mapped.rows)} tile rows; got {len(ranges)}. Measure them: driftproof.arrays.input_ranges"
            )

    def multiply(self, loaded: Loaded, product: Product, columns: slice | None = None) -> Tensor:
        """Return the layer's outputs with bias.

        Args:
            loaded: what the array holds.
            product: its inputs of any floating type; outputs have that type.
            columns: which of the array's columns, None for all.
        """
        geometry = product.geometry
        part = slice(None) if columns is None else columns
        self.reads.begin()
        inputs = product.inputs.float()
        convolve = isinstance(geometry, Convolution) and not self._dynamic
        vectors = None if convolve else geometry.vectors(geometry.prepare(inputs))
        total: Tensor | None = None
        for split, rows in enumerate(self.mapped.rows):
            if vectors is None:
                assert isinstance(geometry, Convolution)
                found = self._convolved(loaded, product, geometry, inputs, split, rows)
            else:
                found = self._multiplied(loaded, product, vectors[..., rows], split, rows, part)
            total = found if total is None else total.add_(found)
        assert total is not None
        outputs = total if vectors is None else geometry.collect(total).contiguous()
        return product.add_bias(geometry.finish(outputs, product.inputs).to(product.inputs.dtype))

    def _convolved(
        self, loaded: Loaded, product: Product, geometry: Convolution, inputs: Tensor, split: int, rows: slice
    ) -> Tensor:
        """Return one row split's share of a convolution with a static range, [N, out, *positions]."""
        reach = self.ranges[split]
        channels, own, weights = _channels(geometry, inputs, rows)

        def times(x: Tensor, matrix: Tensor) -> Tensor:
            share = matrix.new_zeros(len(matrix), weights.stop - weights.start)
            share[:, own] = matrix
            return geometry.convolve(x, share)

        lines = loaded.columns(split, rows, slice(None))
        # padding comes behind the DAC: its zeros are zeros there, too
        x = dac(channels, reach, self.periphery, self.counts)
        y = self.reads.readout(self.reads.sums(loaded, product, lines, x, times, axis=1))
        factor = output_factor(reach, self.periphery).to(y.device) * loaded.factor[split]
        return y.mul_(factor.view(-1, *[1] * (y.dim() - 2)))

    def _multiplied(
        self, loaded: Loaded, product: Product, vectors: Tensor, split: int, rows: slice, part: slice
    ) -> Tensor:
        """Return one row split's share of what its vectors give, [..., out]; vectors are [..., groups, rows]."""
        reach: float | Tensor = dynamic_range(vectors) if self._dynamic else self.ranges[split]
        x = dac(vectors, reach, self.periphery, self.counts)
        lines = loaded.columns(split, rows, part)
        y = self.reads.readout(self.reads.sums(loaded, product, lines, x, group_times))
        scale, factor = loaded.factor[split, part], output_factor(reach, self.periphery).to(y.device)
        if not self._dynamic:
            return y.mul_(factor * scale)
        # [..., groups, 1] → each group's outputs
        return y.mul_(factor.expand(*factor.shape[:-1], y.shape[-1] // factor.shape[-2]).flatten(-2)).mul_(scale)


def _channels(geometry: Convolution, inputs: Tensor, rows: slice) -> tuple[Tensor, slice, slice]:
    """Return the channels that hold some rows of the matrix, where in them the rows lie, and all their rows."""
    groups, kernel = geometry.layout.groups, math.prod(geometry.kernel)
    x = inputs if inputs.dim() == len(geometry.kernel) + 2 else inputs.unsqueeze(0)
    first, last = rows.start // kernel, -(-rows.stop // kernel)
    all_rows = slice(first * kernel, last * kernel)
    own = slice(rows.start - all_rows.start, rows.stop - all_rows.start)
    width = x.shape[1] // groups
    if (first, last) == (0, width):
        return x, own, all_rows
    apart = x.unflatten(1, (groups, width))[:, :, first:last]  # type: ignore[no-untyped-call]
    return apart.flatten(1, 2), own, all_rows
