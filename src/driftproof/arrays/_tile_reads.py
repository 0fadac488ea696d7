"""One tile's MVMs between converters, in either direction: DAC, multiply, noise, stages, ADC."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from driftproof._calls import Product
from driftproof._mapping import MappedWeight
from driftproof.arrays._loaded import Lines, Loaded
from driftproof.arrays._passes import Calls, Passes, by_sample
from driftproof.periphery import DynamicRange, Periphery, Sums
from driftproof.periphery._converters import dac
from driftproof.periphery._counts import Counts
from driftproof.periphery._readout import Readout

type Times = Callable[[Tensor, Tensor], Tensor]
"""Function that multiplies the inputs that drive an array with a matrix [lines, driven]."""


class TileReads[R]:
    """The reads of one array in one direction: what forward and transposed reads share.

    Args:
        mapped: The weight on tiles.
        passes: The samples of the current pass.
        periphery: Periphery of the array, not an ideal one.
        ranges: Static input ranges of this direction.
        counts: Counter of values that saturate.
    """

    def __init__(self, mapped: MappedWeight, passes: Passes, periphery: Periphery, ranges: R, counts: Counts) -> None:
        self.mapped, self.passes, self.periphery, self.ranges, self.counts = mapped, passes, periphery, ranges, counts
        self.dynamic = isinstance(periphery.input_range, DynamicRange)
        self.readout = Readout(periphery)
        self._calls = Calls(passes)

    def begin(self) -> None:
        """Begin a read. Every read of the array in a pass has new noise."""
        self._calls.mark()

    def normals(self, loaded: Loaded, product: Product, shape: tuple[int, ...], lines: str, stage: str = "") -> Tensor:
        """Return the noise numbers of some lines, in the order of the product's vectors: [samples, …, lines].

        Args:
            loaded: Loaded reading of the array. A reading without such numbers gives zeros.
            product: Product of the layer.
            shape: Shape of the result.
            lines: Name of the lines.
            stage: Purpose of the numbers; each purpose has different ones (default: output noise).
        """
        samples, torch_device = loaded.reading.samples, loaded.reading.net.device
        if samples is None:
            return torch.zeros(shape, device=torch_device)
        purpose = f"{lines}|{self._calls.current}" + (f"|{stage}" if stage else "")
        return by_sample(
            self.passes,
            product,
            shape,
            lambda drawn, numbers: samples.draw(drawn, numbers, purpose, torch_device),
            self.mapped.name,
        )

    def converted(
        self,
        loaded: Loaded,
        product: Product,
        lines: Lines,
        inputs: Tensor,
        reach: float | Tensor,
        times: Times,
        axis: int = -1,
    ) -> Tensor:
        """Return the converted sums of some lines, in the ADC's units.

        Args:
            loaded: Loaded reading of the array.
            product: Product of the layer.
            lines: Lines of the tile.
            inputs: Inputs of the tile in network units, before the DAC.
            reach: Input range.
            times: Function that multiplies the array's inputs with a matrix.
            axis: Axis of the results that counts lines: −1, or 1 for [N, lines, *positions] (default: −1).
        """
        x = dac(inputs, reach, self.periphery, self.counts)
        values = times(x, lines.net)
        shape = tuple(values.shape) if axis == -1 else (values.shape[0], *values.shape[2:], values.shape[1])

        def new(stage: str) -> Tensor:
            return self.normals(loaded, product, shape, lines.name, stage).movedim(-1, axis)

        return self.readout(
            Sums(values, axis, x, times, lines.net, lines.variance, new=new, fixed=lines.fixed, counts=self.counts)
        )


def group_times(x: Tensor, matrix: Tensor) -> Tensor:
    """Multiply vectors [..., groups, driven] with each group's part of a matrix [lines, driven] → [..., lines]."""
    if x.shape[-2] == 1:
        return F.linear(x.squeeze(-2), matrix)
    return torch.einsum("...gi,goi->...go", x, matrix.view(x.shape[-2], -1, matrix.shape[1])).flatten(-2)
