"""The sums of an array on their way to the ADCs: the input of a stage of the periphery."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from driftproof.periphery._counts import Counts


@dataclass
class Sums:
    """The sums of one tile's lines, of all MVMs of a call.

    A *line* ends at one ADC: it is a column in a forward read, and a row in a transposed read.

    Attributes:
        values: The sums, in units of one full-scale input times one full-scale weight: [..., lines], or
            [N, lines, *positions] of a convolution.
        axis: Axis of ``values`` that counts lines, −1 or 1.
        inputs: Inputs that drive the array after the DAC, in [−1, 1].
        times: Function that multiplies such inputs with another matrix [lines, driven] in place of the array's, and
            returns a tensor in the shape of ``values``.
        net: Matrix of the array, [lines, driven].
        variance: Variance of the noise of each weight that is new in every MVM, [lines, driven], or None.
        new: Function from a purpose to standard normal numbers in the shape of ``values``, new in every MVM. A sample
            has the same numbers in any batch. They are zeros on a chip that was programmed and not yet read.
        fixed: Function from a purpose to standard normal numbers [lines] that the lines keep for the life of the chip.
        counts: Counter for events that a stage reports.
    """

    values: Tensor
    axis: int
    inputs: Tensor
    times: Callable[[Tensor, Tensor], Tensor]
    net: Tensor
    variance: Tensor | None
    new: Callable[[str], Tensor]
    fixed: Callable[[str], Tensor]
    counts: Counts

    def along(self, per_line: Tensor) -> Tensor:
        """Return one number per line, [lines], in a shape that broadcasts with ``values``."""
        return per_line if self.axis == -1 else per_line.view(-1, *[1] * (self.values.dim() - 2))
