"""What an array holds between converters: one reading, and what its reads need of it, tile by tile."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from driftproof.arrays.reading import ArrayReading
from driftproof.errors import DriftproofError
from driftproof.periphery import Periphery, mvm_noise_variances


@dataclass(frozen=True)
class Lines:
    """The weights of one tile as one read sees them.

    Attributes:
        name: which ADCs its lines end at: ``sum0`` for the columns of the first row split, and so on.
        net: [lines, driven], what the tile multiplies by.
        variance: [lines, driven], variance of each weight that is new in every MVM; None for none.
        fixed: purpose → numbers [lines] that the lines keep for the chip's life.
    """

    name: str
    net: Tensor
    variance: Tensor | None
    fixed: Callable[[str], Tensor]


@dataclass(frozen=True)
class Loaded:
    """One reading between the converters of a periphery.

    Attributes:
        layer: canonical name, for messages.
        reading: of the array.
        periphery: its noise of the weights counts.
    """

    layer: str
    reading: ArrayReading
    periphery: Periphery

    @cached_property
    def factor(self) -> Tensor:
        """Scale times compensation, [row splits, out]: multiplies outputs forward, and inputs in a transposed read."""
        return self.reading.scale * self.reading.alpha

    @cached_property
    def variance(self) -> Tensor | None:
        """Variance of each weight that is new in every MVM, [out, in], relative to the largest conductance.

        Raises:
            DriftproofError: read noise of a reference column, which all outputs share.
        """
        reading = self.reading
        variance = mvm_noise_variances(reading.net, self.periphery)
        if reading.noise is None:
            return variance
        if reading.noise.reference is not None:
            raise DriftproofError(
                f"layer {self.layer}: read noise that is new in every MVM, of a reference column, is known for an "
                'ideal periphery only; use reference = "constant" in the device\'s [conductance], or '
                "--periphery ideal"
            )
        read = reading.noise.weights.square()
        return read if variance is None else variance + read

    def columns(self, split: int, rows: slice, part: slice) -> Lines:
        """Return some columns of one row split, for a forward read."""
        outputs = len(self.reading.net)
        return Lines(
            f"sum{split}",
            self.reading.net[part, rows],
            None if self.variance is None else self.variance[part, rows],
            lambda purpose: self._fixed(f"{purpose}|sum{split}", outputs)[part],
        )

    def rows(self, place: str, rows: slice, part: slice, groups: int) -> Lines:
        """Return the rows of one tile, group by group, for a transposed read.

        Args:
            place: of the tile.
            rows: its rows.
            part: its columns.
            groups: how many groups these belong to.
        """

        def across(matrix: Tensor) -> Tensor:
            inside = matrix[part, rows]
            return inside.reshape(groups, -1, inside.shape[1]).transpose(1, 2).flatten(0, 1)

        net = across(self.reading.net)
        return Lines(
            f"back{place}",
            net,
            None if self.variance is None else across(self.variance),
            lambda purpose: self._fixed(f"{purpose}|back{place}", len(net)),
        )

    @property
    def device(self) -> torch.device:
        """Where the array is."""
        return self.reading.net.device

    def _fixed(self, purpose: str, count: int) -> Tensor:
        if self.reading.key is None:
            raise DriftproofError(
                f"layer {self.layer}: the periphery has stages that keep numbers for the life of a chip, and this "
                "reading belongs to no chip; give it a key"
            )
        return self.reading.key.fixed(purpose, count, self.device)
