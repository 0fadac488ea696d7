"""Products between converters: DAC, tiles, noise, ADC, and only then sums, scales and bias; plain torch.

Each tile's partial sum is quantised before it is added to the others. A static input range is the same for all vectors
of a tile, so a convolution stays a convolution; a dynamic one belongs to each vector, and the inputs are cut into
vectors first.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from driftproof.calls import Convolution, Product
from driftproof.chip import ArrayReading
from driftproof.errors import DriftproofError
from driftproof.mapping import MappedWeight
from driftproof.periphery import DynamicRange, Periphery, adc, dac, dynamic_range, output_factor
from driftproof.products.passes import Passes
from driftproof.products.tile_noise import TileSumNoise


class ConvertedProducts:
    """What one array computes with its converters.

    Args:
        mapped: the weight on tiles.
        passes: which samples come.
        periphery: not ideal.
        ranges: static input range of each row split; none if it is dynamic.
    """

    def __init__(self, mapped: MappedWeight, passes: Passes, periphery: Periphery, ranges: tuple[float, ...]) -> None:
        self.mapped, self.periphery, self.ranges = mapped, periphery, ranges
        self.noise = TileSumNoise(mapped, passes, periphery)
        self._dynamic = isinstance(periphery.input_range, DynamicRange)
        if not self._dynamic and len(ranges) != len(mapped.rows):
            raise DriftproofError(
                f"layer {mapped.name}: periphery {periphery.name} has static input ranges, one for each of "
                f"{len(mapped.rows)} tile rows; got {len(ranges)}. Measure them: driftproof.products.input_ranges"
            )
        self._net: Tensor | None = None
        self.codes: list[Tensor] | None = None
        """A list to which the ADC's outputs of every tile row are appended, for comparisons; None to keep none."""

    def load(self, reading: ArrayReading) -> None:
        """Take what the array multiplies by."""
        self._net, self._scale = reading.net, reading.scale * reading.alpha
        self.noise.load(reading)

    def multiply(self, product: Product, columns: slice | None = None) -> Tensor:
        """Return the layer's outputs with bias.

        Args:
            product: its inputs of any floating type; outputs have that type.
            columns: which of the array's columns, None for all.
        """
        assert self._net is not None, "no chip is loaded"
        geometry = product.geometry
        part = slice(None) if columns is None else columns
        self.noise.begin()
        prepared = geometry.prepare(product.inputs.float())
        convolve = isinstance(geometry, Convolution) and not self._dynamic
        vectors = None if convolve else geometry.vectors(prepared)
        total: Tensor | None = None
        for split, rows in enumerate(self.mapped.rows):
            scale = self._scale[split, part]
            if vectors is None:
                assert isinstance(geometry, Convolution)
                found = self._convolved(product, geometry, prepared, split, rows, scale)
            else:
                found = self._multiplied(product, vectors[..., rows], split, rows, part, scale)
            total = found if total is None else total.add_(found)
        assert total is not None
        outputs = total if vectors is None else geometry.collect(total).contiguous()
        return product.add_bias(geometry.finish(outputs, product.inputs).to(product.inputs.dtype))

    def _convolved(
        self, product: Product, geometry: Convolution, prepared: Tensor, split: int, rows: slice, scale: Tensor
    ) -> Tensor:
        """Return one row split's share of a convolution with a static range, [N, out, *positions]."""
        assert self._net is not None
        reach = self.ranges[split]
        channels, own, weights = _channels(geometry, prepared, rows)
        x = dac(channels, reach, self.periphery)

        def times(x: Tensor, matrix: Tensor) -> Tensor:
            share = matrix.new_zeros(len(matrix), weights.stop - weights.start)
            share[:, own] = matrix[:, rows]
            return geometry.times(x, share)

        y = times(x, self._net)
        if not self.noise.quiet:
            shape = (y.shape[0], *y.shape[2:], y.shape[1])
            xi = self.noise.normals(product, shape, split, y.device).movedim(-1, 1)
            squares = None if self.noise.variance is None else times(x.square(), self.noise.variance)
            y = y + self.noise.spread(squares) * xi
        y = self._through_adc(y)
        factor = (output_factor(reach, self.periphery).to(y.device) * scale).view(-1, *[1] * (y.dim() - 2))
        return y * factor

    def _multiplied(
        self, product: Product, vectors: Tensor, split: int, rows: slice, part: slice, scale: Tensor
    ) -> Tensor:
        """Return one row split's share of what its vectors give, [..., out]; vectors are [..., groups, rows]."""
        assert self._net is not None
        reach: float | Tensor = dynamic_range(vectors) if self._dynamic else self.ranges[split]
        x = dac(vectors, reach, self.periphery)
        y = self._times(x, self._net[part, rows])
        if not self.noise.quiet:
            xi = self.noise.normals(product, tuple(y.shape), split, y.device)
            variance = self.noise.variance
            squares = None if variance is None else self._times(x.square(), variance[part, rows])
            y = y + self.noise.spread(squares) * xi
        y = self._through_adc(y)
        factor = output_factor(reach, self.periphery).to(y.device)
        if not self._dynamic:
            return y * (factor * scale)
        # [..., groups, 1] → each group's outputs
        return y * factor.expand(*factor.shape[:-1], y.shape[-1] // factor.shape[-2]).flatten(-2) * scale

    def _times(self, x: Tensor, matrix: Tensor) -> Tensor:
        """Multiply vectors [..., groups, rows] with each group's part of a matrix [out, rows] → [..., out]."""
        if x.shape[-2] == 1:
            return F.linear(x.squeeze(-2), matrix)
        return torch.einsum("...gi,goi->...go", x, matrix.view(x.shape[-2], -1, matrix.shape[1])).flatten(-2)

    def _through_adc(self, y: Tensor) -> Tensor:
        y = adc(y, self.periphery)
        if self.codes is not None:
            self.codes.append(y)
        return y


def _channels(geometry: Convolution, prepared: Tensor, rows: slice) -> tuple[Tensor, slice, slice]:
    """Return the channels that hold some rows of the matrix, where in them the rows lie, and all their rows."""
    groups = geometry.layout.groups
    kernel = 1
    for size in geometry.kernel:
        kernel *= size
    first, last = rows.start // kernel, -(-rows.stop // kernel)
    all_rows = slice(first * kernel, last * kernel)
    own = slice(rows.start - all_rows.start, rows.stop - all_rows.start)
    width = prepared.shape[1] // groups
    if (first, last) == (0, width):
        return prepared, own, all_rows
    apart = prepared.unflatten(1, (groups, width))[:, :, first:last]  # type: ignore[no-untyped-call]
    return apart.flatten(1, 2), own, all_rows
