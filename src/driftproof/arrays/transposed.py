"""Transposed reads between converters: columns driven through DACs, rows summed and converted.

The same conductances as in a forward read, from the other side: what a Hopfield network's feedback needs. A column's
scale and its tile's compensation multiply the *inputs*, before the DAC: behind the rows' ADCs they could not be told
apart any more. What several tiles have found of one row is summed after the ADCs, and so is what several positions of a
convolution have found of one input.

Each direction has input ranges of its own. A static one is measured on outputs times scale, of the digital network; it
grows with the largest compensation of its tile, which is known, so that compensated inputs are not clipped.
"""

from __future__ import annotations

import torch
from torch import Tensor

from driftproof.arrays.loaded import Lines, Loaded
from driftproof.arrays.passes import Passes
from driftproof.arrays.tile_reads import TileReads, group_times
from driftproof.calls import Product
from driftproof.errors import DriftproofError
from driftproof.mapping import MappedWeight
from driftproof.periphery import Counts, DynamicRange, Periphery, dac, dynamic_range, output_factor


class TransposedReads:
    """What one array computes with its converters when it is driven from its columns.

    Args:
        mapped: the weight on tiles.
        passes: which samples come.
        periphery: not ideal.
        ranges: static input range of each tile, those of the first row split first, for devices relative to the column
            and for devices relative to the layer; none if it is dynamic.
        counts: of what saturates.
    """

    def __init__(
        self,
        mapped: MappedWeight,
        passes: Passes,
        periphery: Periphery,
        ranges: tuple[tuple[float, ...], tuple[float, ...]],
        counts: Counts,
    ) -> None:
        self.mapped, self.periphery, self.ranges, self.counts = mapped, periphery, ranges, counts
        self.reads = TileReads(mapped.name, passes, periphery, counts)
        self._dynamic = isinstance(periphery.input_range, DynamicRange)

    def multiply(self, loaded: Loaded, product: Product) -> Tensor:
        """Return the inputs' side, with bias.

        Args:
            loaded: what the array holds.
            product: of the transposed weight: its inputs are the array's outputs, its geometry leads to its inputs.

        Raises:
            DriftproofError: static ranges that were not measured in this direction.
        """
        mapped = self.mapped
        by_column = torch.equal(loaded.reading.scale, mapped.scale)
        ranges = self.ranges[0 if by_column else 1]
        if not self._dynamic and len(ranges) != mapped.tiles:
            raise DriftproofError(
                f"layer {mapped.name}: periphery {self.periphery.name} has static input ranges, and a transposed read "
                f"wants one for each of {mapped.tiles} tiles; got {len(ranges)}. Measure them with inputs that "
                "make the network use the weight in both directions: driftproof.arrays.input_ranges"
            )
        self.reads.begin()
        size = product.geometry.size_of(product.inputs)
        geometry = product.geometry.reverse()
        y = geometry.back_vectors(product.inputs.float())
        found = y.new_zeros(*y.shape[:-1], mapped.layout.groups, mapped.target.shape[1])
        for split, rows in enumerate(mapped.rows):
            driven = y * loaded.factor[split]
            for number, part in enumerate(mapped.columns):
                groups = mapped.groups_of(part)
                width = (part.stop - part.start) // len(groups)
                vectors = driven[..., part].reshape(*driven.shape[:-1], len(groups), width)
                reach: float | Tensor
                if self._dynamic:
                    reach = dynamic_range(vectors)
                else:
                    largest = loaded.reading.alpha[split, part].amax()
                    reach = ranges[split * len(mapped.columns) + number] * largest
                lines = loaded.rows(f"{split}.{number}", rows, part, len(groups))
                share = self._tile(loaded, product, vectors, lines, reach)
                found[..., groups.start : groups.stop, rows] += share
        outputs = product.geometry.finish(geometry.back_collect(found, size).contiguous(), product.inputs)
        return product.add_bias(outputs.to(product.inputs.dtype))

    def _tile(self, loaded: Loaded, product: Product, vectors: Tensor, lines: Lines, reach: float | Tensor) -> Tensor:
        """Return what the rows of one tile find, [..., groups, rows]; vectors are [..., groups, columns]."""
        x = dac(vectors, reach, self.periphery, self.counts)
        y = self.reads.readout(self.reads.sums(loaded, product, lines, x, group_times))
        return y.view(*vectors.shape[:-1], len(lines.net) // vectors.shape[-2]) * output_factor(reach, self.periphery)


def driven_columns(product: Product, mapped: MappedWeight) -> list[Tensor]:
    """Return what would drive the columns of each tile in a transposed read, before compensation and DAC.

    Args:
        product: of the transposed weight.
        mapped: the weight on tiles.
    """
    y = product.geometry.reverse().back_vectors(product.inputs)
    scaled = [y * mapped.scale[split].to(y.dtype) for split in range(len(mapped.rows))]
    return [torch.as_tensor(driven[..., part]) for driven in scaled for part in mapped.columns]
