"""One tile's MVMs between converters, in either direction: multiply, noise, stages, ADC."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from driftproof.arrays.loaded import Lines, Loaded
from driftproof.arrays.passes import Calls, Passes, by_sample
from driftproof.calls import Product
from driftproof.periphery import Counts, Periphery, Readout, Sums

type Times = Callable[[Tensor, Tensor], Tensor]
"""Multiplies what drives an array with a matrix [lines, driven]."""


class TileReads:
    """The reads of one array in one direction.

    Args:
        layer: canonical name, for messages.
        passes: which samples come.
        periphery: not ideal.
        counts: of what saturates.
    """

    def __init__(self, layer: str, passes: Passes, periphery: Periphery, counts: Counts) -> None:
        self.layer, self.passes, self.counts = layer, passes, counts
        self.readout = Readout(periphery)
        self._calls, self._mark = Calls(passes), ""

    def begin(self) -> None:
        """Say that the array is read (once more) in this pass: every read has noise of its own."""
        self._mark = self._calls.mark()

    def normals(self, loaded: Loaded, product: Product, shape: tuple[int, ...], lines: str, stage: str = "") -> Tensor:
        """Return the noise numbers of some lines, in the order of the product's vectors: [samples, …, lines].

        Args:
            loaded: what the array holds; zeros of a reading without such numbers.
            product: of the layer.
            shape: of the numbers.
            lines: whose they are.
            stage: what they are for; each has numbers of its own.
        """
        samples = loaded.reading.samples
        if samples is None:
            return torch.zeros(shape, device=loaded.device)
        purpose = f"{lines}|{self._mark}" + (f"|{stage}" if stage else "")
        return by_sample(
            self.passes,
            product,
            shape,
            lambda own, numbers: samples.draw(own, numbers, purpose, loaded.device),
            self.layer,
        )

    def sums(self, loaded: Loaded, product: Product, lines: Lines, x: Tensor, times: Times, axis: int = -1) -> Sums:
        """Return what some lines sum.

        Args:
            loaded: what the array holds.
            product: of the layer.
            lines: of the tile.
            x: what drives the array, behind the DAC.
            times: how it is multiplied.
            axis: of the results, which counts lines: −1, or 1 for [N, lines, *positions].
        """
        values = times(x, lines.net)
        shape = tuple(values.shape) if axis == -1 else (values.shape[0], *values.shape[2:], values.shape[1])
        return Sums(
            values=values,
            axis=axis,
            inputs=x,
            times=times,
            net=lines.net,
            variance=lines.variance,
            new=lambda stage: self.normals(loaded, product, shape, lines.name, stage).movedim(-1, axis),
            fixed=lines.fixed,
            counts=self.counts,
        )


def group_times(x: Tensor, matrix: Tensor) -> Tensor:
    """Multiply vectors [..., groups, driven] with each group's part of a matrix [lines, driven] → [..., lines]."""
    if x.shape[-2] == 1:
        return F.linear(x.squeeze(-2), matrix)
    return torch.einsum("...gi,goi->...go", x, matrix.view(x.shape[-2], -1, matrix.shape[1])).flatten(-2)
