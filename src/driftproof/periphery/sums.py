"""What some lines of an array have summed, on its way to their ADCs: what a stage of the periphery works on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from driftproof.periphery.counts import Counts


@dataclass
class Sums:
    """The sums of one tile's lines, for every MVM at once.

    A *line* ends at one ADC: a column in a forward read, a row in a transposed one.

    Attributes:
        values: the sums, in units of one full-scale input times one full-scale weight: [..., lines], or of a
            convolution [N, lines, *positions].
        axis: which axis of the values counts lines, −1 or 1.
        inputs: what drives the array, in [−1, 1] behind the DAC.
        times: multiplies such inputs with another matrix [lines, driven] in the place of the array's, in the values'
            shape.
        net: [lines, driven], what the array multiplies by.
        variance: [lines, driven], variance of each weight that is new in every MVM; None for none.
        new: purpose → standard normal numbers in the values' shape, new in every MVM, the same for a sample in any
            batch; zeros on a chip that is just programmed and was not read yet.
        fixed: purpose → standard normal numbers [lines], which these lines keep for the life of the chip.
        counts: where a stage counts what it notices.
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
        """Return one number per line, [lines], in a shape that broadcasts with the values."""
        return per_line if self.axis == -1 else per_line.view(-1, *[1] * (self.values.dim() - 2))
