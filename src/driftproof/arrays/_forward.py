"""Forward reads between converters: rows are driven through DACs, and columns are summed, converted and scaled.

Each tile's partial sum is quantised before it is added to the others. A static input range is the same for all vectors
of a tile, so a convolution stays a convolution. A dynamic range belongs to one vector, so the inputs are cut into
vectors first.
"""

from __future__ import annotations

import math

from torch import Tensor

from driftproof._calls import Convolution, Product
from driftproof._errors import DriftproofError
from driftproof._mapping import MappedWeight
from driftproof.arrays._loaded import Loaded
from driftproof.arrays._passes import Passes
from driftproof.arrays._tile_reads import TileReads, group_times
from driftproof.periphery import Periphery
from driftproof.periphery._converters import dynamic_range, output_factor
from driftproof.periphery._counts import Counts


class ForwardReads(TileReads[tuple[float, ...]]):
    """The reads of one array that is driven from its rows.

    Args:
        mapped: The weight on tiles.
        passes: The samples of the current pass.
        periphery: Periphery of the array, not an ideal one.
        ranges: Static input range of each row split; empty for a dynamic range.
        counts: Counter of values that saturate.
    """

    def __init__(
        self, mapped: MappedWeight, passes: Passes, periphery: Periphery, ranges: tuple[float, ...], counts: Counts
    ) -> None:
        super().__init__(mapped, passes, periphery, ranges, counts)
        if not self.dynamic and len(ranges) != len(mapped.rows):
            raise DriftproofError(
                f"layer {mapped.name}: periphery {periphery.name} has static input ranges, one for each of "
                f"{len(mapped.rows)} tile rows; got {len(ranges)}. Measure them: driftproof.arrays.input_ranges"
            )

    def multiply(self, loaded: Loaded, product: Product, columns: slice) -> Tensor:
        """Return the layer's outputs with bias.

        Args:
            loaded: Loaded reading of the array.
            product: Product of the layer. Its inputs have any floating type, and the outputs have the same.
            columns: Columns of the array that the product uses.
        """
        geometry, inputs = product.geometry, product.inputs.float()
        self.begin()
        splits = enumerate(self.mapped.rows)
        if convolves := isinstance(geometry, Convolution) and not self.dynamic:
            shares = (self._convolved(loaded, product, geometry, inputs, split, rows) for split, rows in splits)
        else:
            vectors = geometry.vectors(geometry.prepare(inputs))
            shares = (self._multiplied(loaded, product, vectors, split, rows, columns) for split, rows in splits)
        total = next(shares)
        for share in shares:
            total.add_(share)
        outputs = total if convolves else geometry.collect(total).contiguous()
        return product.add_bias(geometry.finish(outputs, product.inputs).to(product.inputs.dtype))

    def _convolved(
        self, loaded: Loaded, product: Product, geometry: Convolution, inputs: Tensor, split: int, rows: slice
    ) -> Tensor:
        """Return one row split's share of a convolution with a static range, [N, out, *positions]."""
        reach = self.ranges[split]
        driven, within, weights = channels(geometry, inputs, rows)

        def times(x: Tensor, matrix: Tensor) -> Tensor:
            share = matrix.new_zeros(len(matrix), weights.stop - weights.start)
            share[:, within] = matrix
            return geometry.convolve(x, share)

        lines = loaded.columns(split, rows, slice(None))
        # padding comes after the DAC, where its zeros are zeros, too
        y = self.converted(loaded, product, lines, driven, reach, times, axis=1)
        factor = output_factor(reach, self.periphery).to(y.device) * loaded.factor[split]
        return y.mul_(factor.view(-1, *[1] * (y.dim() - 2)))

    def _multiplied(
        self, loaded: Loaded, product: Product, vectors: Tensor, split: int, rows: slice, columns: slice
    ) -> Tensor:
        """Return one row split's share of a product, [..., out]; vectors are [..., groups, in of a group]."""
        driven = vectors[..., rows]
        reach: float | Tensor = dynamic_range(driven) if self.dynamic else self.ranges[split]
        y = self.converted(loaded, product, loaded.columns(split, rows, columns), driven, reach, group_times)
        scale, factor = loaded.factor[split, columns], output_factor(reach, self.periphery).to(y.device)
        if not self.dynamic:
            return y.mul_(factor * scale)
        # [..., groups, 1] → each group's outputs
        return y.mul_(factor.expand(*factor.shape[:-1], y.shape[-1] // factor.shape[-2]).flatten(-2)).mul_(scale)


def channels(geometry: Convolution, inputs: Tensor, rows: slice) -> tuple[Tensor, slice, slice]:
    """Return the channels that hold some rows of the matrix, where in them the rows lie, and all rows that they hold.

    Args:
        geometry: Geometry of the convolution.
        inputs: Inputs of the layer, [N, in, *size] or [in, *size].
        rows: Rows of the array's matrix.
    """
    groups, kernel = geometry.layout.groups, math.prod(geometry.kernel)
    x = inputs if inputs.dim() == len(geometry.kernel) + 2 else inputs.unsqueeze(0)
    first, last = rows.start // kernel, -(-rows.stop // kernel)
    all_rows = slice(first * kernel, last * kernel)
    within = slice(rows.start - all_rows.start, rows.stop - all_rows.start)
    width = x.shape[1] // groups
    if (first, last) == (0, width):
        return x, within, all_rows
    apart = x.unflatten(1, (groups, width))[:, :, first:last]  # type: ignore[no-untyped-call]
    return apart.flatten(1, 2), within, all_rows
