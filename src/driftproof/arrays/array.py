"""One weight on its tiles as a linear operator: multiply by it, or by its transpose."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from driftproof.arrays.forward import ForwardReads
from driftproof.arrays.loaded import Loaded
from driftproof.arrays.on_tiles import TileStages
from driftproof.arrays.passes import Passes
from driftproof.arrays.ranges import RELATIVE, Ranges, back_name
from driftproof.arrays.read_noise import NoisyProducts
from driftproof.arrays.reading import ArrayReading
from driftproof.arrays.transposed import TransposedReads
from driftproof.calls import Convolution, Dense, Geometry, Product
from driftproof.mapping import MappedWeight
from driftproof.periphery import Counts, Periphery


class AnalogArray:
    """The crossbar tiles of one weight, with everything around them.

    ``matmul`` drives the rows and reads the columns, ``rmatmul`` drives the columns and reads the rows of the same
    devices. In a forward read a column's scale and its tile's drift compensation multiply the outputs, in a transposed
    read the inputs; each direction has converters, input ranges and noise of its own. With an ideal periphery, and
    without read noise that is new in every MVM, ``rmatmul`` is the transpose of ``matmul`` to float32 rounding.

    Args:
        mapped: the weight on tiles.
        geometry: of the layer (:func:`driftproof.calls.geometry_of`); that of a linear layer, or of a convolution with
            stride 1 and no padding, unless given.
        periphery: what is around the array; ideal unless given.
        ranges: static input ranges of both directions (:func:`driftproof.arrays.input_ranges`), if the periphery has
            such.
        passes: which samples come; one of its own unless given.

    >>> import torch
    >>> from driftproof.chip import Chip
    >>> from driftproof.mapping import map_model
    >>> from driftproof.presets import load_preset
    >>> layer = torch.nn.Linear(3, 2, bias=False)
    >>> chip = Chip(map_model(layer), load_preset("pcm-nandakumar-2019"), seed=0, chip=0)
    >>> array = chip.array("", t_s=86400.0)
    >>> x, y = torch.ones(1, 3), torch.ones(1, 2)
    >>> torch.allclose((array.matmul(x) * y).sum(), (array.rmatmul(y) * x).sum())
    True
    """

    def __init__(
        self,
        mapped: MappedWeight,
        *,
        geometry: Geometry | None = None,
        periphery: Periphery | None = None,
        ranges: Ranges | None = None,
        passes: Passes | None = None,
    ) -> None:
        self.mapped, self.passes = mapped, passes or Passes()
        self.geometry = geometry or _plain_geometry(mapped)
        self.periphery = None if periphery is None or periphery.is_ideal else periphery
        self.counts = Counts()
        self.noise = NoisyProducts(mapped, self.passes)
        self.reading: ArrayReading | None = None
        self._loaded: Loaded | None = None
        if self.periphery is not None:
            reach = ranges or {}
            forward, back = reach.get(mapped.name, ()), [reach.get(back_name(mapped.name, r), ()) for r in RELATIVE]
            self.forward = ForwardReads(mapped, self.passes, self.periphery, forward, self.counts)
            self.back = TransposedReads(mapped, self.passes, self.periphery, (back[0], back[1]), self.counts)

    def load(self, reading: ArrayReading | None, factor: Tensor | None = None) -> None:
        """Become what a chip reads at a time; None: nothing is loaded.

        Args:
            reading: of this array.
            factor: [out] that multiplies the outputs behind the layer (a folded BatchNorm); noise of an ideal periphery
                is multiplied by it, too.
        """
        self.counts.clear()
        self.reading, self._loaded = reading, None
        if self.periphery is None:
            self.noise.load(reading, factor)
        elif reading is not None:
            self._loaded = Loaded(self.mapped.name, reading, self.periphery)
            _ = self._loaded.variance  # refuses what it does not know, before anything is computed

    @property
    def weight(self) -> Tensor:
        """The effective weight, compensated, in weight units and the stored weight's shape."""
        reading = self._read()
        return self.mapped.weight(reading.net, reading.scale * reading.alpha)

    def matmul(self, inputs: Tensor, samples: Sequence[int] | None = None) -> Tensor:
        """Multiply: the rows are driven.

        Args:
            inputs: of the layer, in torch's shape: [..., in], or [N, in, *size] of a convolution.
            samples: their numbers in the data, which noise that is new in every MVM is keyed by; 0 to N − 1 unless
                given.

        Returns:
            The layer's outputs without bias, [..., out] or [N, out, *size].

        Raises:
            AssertionError: nothing is loaded.
        """
        self._begin(inputs, samples)
        return self.multiply(Product(inputs, inputs, None, self.geometry))

    def rmatmul(
        self, outputs: Tensor, samples: Sequence[int] | None = None, size: Sequence[int] | None = None
    ) -> Tensor:
        """Multiply by the transpose: the columns are driven, the same devices are read.

        Args:
            outputs: [..., out], or [N, out, *size] of a convolution.
            samples: as of :meth:`matmul`.
            size: [*size] of a convolution's inputs; a strided one has several that give the same outputs. The smallest
                of them unless given.

        Returns:
            [..., in], or [N, in, *size].

        Raises:
            AssertionError: nothing is loaded.
            DriftproofError: static input ranges that were not measured in this direction.
        """
        self._begin(outputs, samples)
        return self.multiply(Product(outputs, outputs, None, self.geometry.reverse(size)), transposed=True)

    def multiply(self, product: Product, columns: slice | None = None, transposed: bool = False) -> Tensor:
        """Return what a network's product comes to, with its bias.

        Args:
            product: as the network's code asks for it.
            columns: which of the array's columns it takes, None for all.
            transposed: whether it multiplies by the transpose.
        """
        if self._loaded is None:
            return self.noise.add(self._exact(product, columns, transposed), product, columns, transposed)
        if transposed:
            return self.back.multiply(self._loaded, product)
        return self.forward.multiply(self._loaded, product, columns)

    def between(self, product: Product, vectors: Tensor, columns: slice | None = None) -> TileStages | None:
        """Return the stages between tiles' arrays and ADCs, for tiles that are multiplied elsewhere; None for none.

        Args:
            product: as the network's code asks for it; a forward one.
            vectors: its inputs, [..., groups, in of a group].
            columns: which of the array's columns it takes, None for all.
        """
        return None if self._loaded is None else TileStages(self.forward, self._loaded, product, vectors, columns)

    def _exact(self, product: Product, columns: slice | None, transposed: bool) -> Tensor:
        """Multiply by the effective weight: what an ideal periphery leaves of the steps in between."""
        geometry = product.geometry
        layout = self.mapped.layout.reverse if transposed else self.mapped.layout
        matrix = layout.matrix(self.weight)[slice(None) if columns is None else columns]
        outputs = geometry.times(geometry.prepare(product.inputs), matrix.to(product.inputs.dtype))
        return product.add_bias(geometry.finish(outputs, product.inputs))

    def _read(self) -> ArrayReading:
        assert self.reading is not None, "nothing is loaded"
        return self.reading

    def _begin(self, inputs: Tensor, samples: Sequence[int] | None) -> None:
        self._read()
        self.passes.begin(range(len(inputs)) if samples is None else samples)


def _plain_geometry(mapped: MappedWeight) -> Geometry:
    if len(mapped.shape) == 2 or mapped.layout.stacked:
        return Dense()
    layout = mapped.layout
    return Convolution.of(mapped.shape[2:], groups=layout.groups, output_padding=0 if layout.inputs_first else None)
