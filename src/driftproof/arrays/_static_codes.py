"""Reads in converter codes with a static input range: a convolution stays a convolution."""

from __future__ import annotations

import torch
from torch import Tensor

from driftproof._calls import Convolution, Geometry
from driftproof.arrays._code_reads import CodeReads, Split
from driftproof.arrays._code_steps import drive
from driftproof.arrays._forward import ForwardReads, channels


class StaticCodes(CodeReads):
    """Forward reads whose input range is the same for all vectors of a tile.

    Args:
        reads: The same reads in single steps.
        geometry: Geometry of the layer.
    """

    def __init__(self, reads: ForwardReads, geometry: Geometry) -> None:
        super().__init__(reads, geometry)
        # a range is a float32 in the converters
        self._ranges = [float(torch.tensor(reach)) for reach in reads.ranges]

    def _reach(self, split: int) -> float:
        return self._ranges[split]

    def _weight(self, matrix: Tensor, split: int) -> Tensor:
        if not isinstance(self.geometry, Convolution):
            return matrix
        rows = self.mapped.rows[split]
        places = self.geometry.kernel[0] * self.geometry.kernel[1]
        weight = matrix.view(len(matrix), (rows.stop - rows.start) // places, *self.geometry.kernel)
        return weight.contiguous(memory_format=torch.channels_last)

    def _sums(self, inputs: Tensor, number: int, split: Split) -> tuple[Tensor, Tensor | None, Tensor | None]:
        codes = self._driven(inputs, number)
        squares = None if split.variance is None else self._lines_last(self._times(codes.square(), split.variance))
        return self._lines_last(self._times(codes, split.weight)), squares, None

    def _driven(self, inputs: Tensor, number: int) -> Tensor:
        """Return the DAC's codes for the rows of a split, in new memory."""
        rows, reach = self.mapped.rows[number], self._ranges[number]
        if isinstance(self.geometry, Convolution):
            x, _, _ = channels(self.geometry, inputs, rows)
        else:
            x = inputs[..., rows]
        signed = not self.behind_relu
        if not isinstance(self.geometry, Convolution):
            return drive(x, reach, self.dac, self.reads.counts, signed)
        return drive(x.permute(0, 2, 3, 1), reach, self.dac, self.reads.counts, signed).permute(0, 3, 1, 2)

    def _times(self, codes: Tensor, weight: Tensor) -> Tensor:
        geometry = self.geometry
        if not isinstance(geometry, Convolution):
            return torch.nn.functional.linear(codes, weight)
        padding = [low for low, _ in geometry.padding]
        return torch.conv2d(codes, weight, None, geometry.stride, padding, geometry.dilation, geometry.layout.groups)

    def _lines_last(self, sums: Tensor) -> Tensor:
        return sums.permute(0, 2, 3, 1) if isinstance(self.geometry, Convolution) else sums
