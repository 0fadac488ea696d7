"""Transposed reads between converters: columns are driven through DACs, and rows are summed and converted.

A transposed read uses the same conductances as a forward read, from the other side. The feedback of a Hopfield network
needs it. A column's scale and its tile's compensation multiply the *inputs*, before the DAC, because after the rows'
ADCs the columns can no longer be told apart. The results of several tiles for one row are summed after the ADCs, and so
are the results of several positions of a convolution for one input.

Each direction has its input ranges. A static range is measured on outputs times scale, of the digital network. It grows
with the largest compensation of its tile, so that compensated inputs are not clipped.
"""

from __future__ import annotations

import torch
from torch import Tensor

from driftproof._calls import Product
from driftproof._errors import DriftproofError
from driftproof._mapping import MappedWeight
from driftproof.arrays._loaded import Loaded
from driftproof.arrays._tile_reads import TileReads, group_times
from driftproof.periphery._converters import dynamic_range, output_factor


class TransposedReads(TileReads[tuple[tuple[float, ...], tuple[float, ...]]]):
    """The reads of one array that is driven from its columns.

    Args:
        mapped: The weight on tiles.
        passes: The samples of the current pass.
        periphery: Periphery of the array, not an ideal one.
        ranges: Static input range of each tile, first those of the first row split: once for devices relative to the
            column, and once for devices relative to the layer. Empty for a dynamic range.
        counts: Counter of values that saturate.
    """

    def multiply(self, loaded: Loaded, product: Product) -> Tensor:
        """Return the result on the side of the array's inputs, with bias.

        Args:
            loaded: Loaded reading of the array.
            product: Product with the transposed weight: its inputs are the array's outputs, and its geometry leads to
                the array's inputs.

        Raises:
            DriftproofError: If static ranges were not measured in this direction.
        """
        mapped = self.mapped
        ranges = self.ranges[0 if torch.equal(loaded.reading.scale, mapped.scale) else 1]
        if not self.dynamic and len(ranges) != mapped.tiles:
            raise DriftproofError(
                f"layer {mapped.name}: periphery {self.periphery.name} has static input ranges, and a transposed read "
                f"needs one for each of {mapped.tiles} tiles; got {len(ranges)}. Measure them with inputs that "
                "make the network use the weight in both directions: driftproof.arrays.input_ranges"
            )
        self.begin()
        size = product.geometry.size_of(product.inputs)
        geometry = product.geometry.reverse()
        y = geometry.back_vectors(product.inputs.float())
        total = y.new_zeros(*y.shape[:-1], mapped.layout.groups, mapped.target.shape[1])
        for split, rows in enumerate(mapped.rows):
            driven = y * loaded.factor[split]
            for number, columns in enumerate(mapped.columns):
                groups = mapped.groups_of(columns)
                width = (columns.stop - columns.start) // len(groups)
                vectors = driven[..., columns].reshape(*driven.shape[:-1], len(groups), width)
                if self.dynamic:
                    reach = dynamic_range(vectors)
                else:
                    largest = loaded.reading.alpha[split, columns].amax()
                    reach = ranges[split * len(mapped.columns) + number] * largest
                lines = loaded.rows(f"{split}.{number}", rows, columns, len(groups))
                sums = self.converted(loaded, product, lines, vectors, reach, group_times)
                share = sums.view(*vectors.shape[:-1], rows.stop - rows.start) * output_factor(reach, self.periphery)
                total[..., groups.start : groups.stop, rows] += share
        outputs = product.geometry.finish(geometry.back_collect(total, size).contiguous(), product.inputs)
        return product.add_bias(outputs.to(product.inputs.dtype))


def driven_columns(product: Product, mapped: MappedWeight) -> list[Tensor]:
    """Return the inputs of the columns of each tile in a transposed read, before compensation and DAC.

    Args:
        product: Product with the transposed weight.
        mapped: The weight on tiles.
    """
    y = product.geometry.reverse().back_vectors(product.inputs)
    scaled = [y * mapped.scale[split].to(y.dtype) for split in range(len(mapped.rows))]
    return [driven[..., columns] for driven in scaled for columns in mapped.columns]
