"""One reading of an array between converters, and its lines tile by tile."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from torch import Tensor

from driftproof._errors import DriftproofError
from driftproof.arrays._reading import ArrayReading
from driftproof.periphery import Periphery
from driftproof.periphery._converters import mvm_noise_variances


@dataclass(frozen=True)
class Lines:
    """The weights of one tile in one direction of reading.

    Attributes:
        name: Name of the ADCs at which the lines end: ``sum0`` for the columns of the first row split, and so on.
        net: Matrix of the tile, [lines, driven].
        variance: Variance of the noise of each weight that is new in every MVM, [lines, driven], or None.
        fixed: Function from a purpose to numbers [lines] that the lines keep for the chip's life.
    """

    name: str
    net: Tensor
    variance: Tensor | None
    fixed: Callable[[str], Tensor]


@dataclass(frozen=True)
class Loaded:
    """One reading between the converters of a periphery.

    Attributes:
        layer: Canonical name of the layer, for messages.
        reading: The reading of the array.
        periphery: Periphery whose weight noise counts.
    """

    layer: str
    reading: ArrayReading
    periphery: Periphery

    @cached_property
    def factor(self) -> Tensor:
        """Scale times compensation, [row splits, out]. It multiplies outputs, or inputs of a transposed read."""
        return self.reading.scale * self.reading.alpha

    @cached_property
    def variance(self) -> Tensor | None:
        """Variance of the noise of each weight [out, in] that is new in every MVM, relative to the largest conductance.

        Raises:
            DriftproofError: If a reference column, which all outputs share, has such read noise.
        """
        variance, noise = mvm_noise_variances(self.reading.net, self.periphery), self.reading.noise
        if noise is None:
            return variance
        if noise.reference is not None:
            raise DriftproofError(
                f"layer {self.layer}: read noise of a reference column that is new in every MVM works with an "
                'ideal periphery only; use reference = "constant" in the device\'s [conductance], or '
                "--periphery ideal"
            )
        read = noise.weights.square()
        return read if variance is None else variance + read

    def columns(self, split: int, rows: slice, columns: slice) -> Lines:
        """Return columns of one row split, for a forward read."""
        outputs = len(self.reading.net)
        return Lines(
            f"sum{split}",
            self.reading.net[columns, rows],
            None if self.variance is None else self.variance[columns, rows],
            lambda purpose: self._fixed(f"{purpose}|sum{split}", outputs)[columns],
        )

    def rows(self, place: str, rows: slice, columns: slice, groups: int) -> Lines:
        """Return the rows of one tile, group by group, for a transposed read.

        Args:
            place: Name of the tile's place.
            rows: Rows of the tile.
            columns: Columns of the tile.
            groups: Number of groups to which the columns belong.
        """

        def across(matrix: Tensor) -> Tensor:
            inside = matrix[columns, rows]
            return inside.reshape(groups, -1, inside.shape[1]).transpose(1, 2).flatten(0, 1)

        net = across(self.reading.net)
        return Lines(
            f"back{place}",
            net,
            None if self.variance is None else across(self.variance),
            lambda purpose: self._fixed(f"{purpose}|back{place}", len(net)),
        )

    def _fixed(self, purpose: str, count: int) -> Tensor:
        if self.reading.key is None:
            raise DriftproofError(
                f"layer {self.layer}: the periphery has stages that keep numbers for the life of a chip, but this "
                "reading belongs to no chip; give it a key"
            )
        return self.reading.key.fixed(purpose, count, self.reading.net.device)
