"""One weight on its tiles as a linear operator: multiply by it, or by its transpose."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from driftproof._calls import Convolution, Dense, Geometry, Product
from driftproof._mapping import MappedWeight
from driftproof.arrays._code_reads import CodeReads, can_read_in_codes
from driftproof.arrays._dynamic_codes import DynamicCodes
from driftproof.arrays._forward import ForwardReads
from driftproof.arrays._loaded import Loaded
from driftproof.arrays._on_tiles import TileStages
from driftproof.arrays._passes import Passes
from driftproof.arrays._ranges import RELATIVE, Ranges, back_name
from driftproof.arrays._read_noise import ArrayReadNoise
from driftproof.arrays._reading import ArrayReading
from driftproof.arrays._static_codes import StaticCodes
from driftproof.arrays._transposed import TransposedReads
from driftproof.periphery import Periphery
from driftproof.periphery._counts import Counts


class AnalogArray:
    """The crossbar tiles of one weight, with their periphery, as a linear operator.

    :meth:`matmul` drives the rows and reads the columns. :meth:`rmatmul` drives the columns and reads the rows of the
    same devices. A column's scale and its tile's drift compensation multiply the outputs of a forward read and the
    inputs of a transposed read. Each direction has its converters, input ranges and noise. With an ideal periphery, and
    without read noise that is new in every MVM, ``rmatmul`` is the transpose of ``matmul`` to float32 rounding.

    Args:
        mapped: The weight on tiles.
        geometry: Geometry of the layer, from :func:`driftproof._calls.geometry_of` (default: that of a linear layer, or
            of a convolution with stride 1 and no padding).
        periphery: Periphery of the array (default: ideal).
        ranges: Input ranges of both directions, from :func:`driftproof.arrays.input_ranges`. A periphery with a static
            range needs them.
        passes: The samples of the current pass, if several arrays share them (default: the array numbers samples
            itself).

    >>> import torch
    >>> from driftproof._chip import Chip
    >>> from driftproof._mapping import map_model
    >>> from driftproof._presets import load_preset
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
        self.noise = ArrayReadNoise(mapped, self.passes)
        self.reading: ArrayReading | None = None
        self._loaded: Loaded | None = None
        self._codes: CodeReads | None = None
        if self.periphery is not None:
            reach = ranges or {}
            forward, back = reach.get(mapped.name, ()), [reach.get(back_name(mapped.name, r), ()) for r in RELATIVE]
            self.forward = ForwardReads(mapped, self.passes, self.periphery, forward, self.counts)
            self.back = TransposedReads(mapped, self.passes, self.periphery, (back[0], back[1]), self.counts)

    def load(self, reading: ArrayReading | None, factor: Tensor | None = None) -> None:
        """Load a chip's reading at a time.

        Args:
            reading: Reading of this array, or None to unload it.
            factor: Factor [out] that multiplies the outputs after the layer (a folded BatchNorm). It also multiplies
                the read noise under an ideal periphery (default: None).
        """
        self.counts.clear()
        self.reading, self._loaded = reading, None
        if self.periphery is None:
            self.noise.load(reading, factor)
        elif reading is not None:
            self._loaded = Loaded(self.mapped.name, reading, self.periphery)
            _ = self._loaded.variance  # raises for unknown noise, before anything is computed
        if self._codes is not None:
            self._codes.load(self._loaded, factor)

    def in_codes(self, geometry: Geometry) -> CodeReads | None:
        """Return the forward reads of this array in converter codes, which load what the array loads.

        Args:
            geometry: Geometry of the layer.

        Returns:
            The reads, or None if they can only be computed step by step (:func:`can_read_in_codes`).
        """
        if self.periphery is None or not can_read_in_codes(self.mapped, geometry, self.periphery):
            return None
        kind = DynamicCodes if self.forward.dynamic else StaticCodes
        self._codes = kind(self.forward, geometry)
        return self._codes

    @property
    def weight(self) -> Tensor:
        """The effective weight with drift compensation, in weight units and the stored weight's shape."""
        reading = self._read()
        return self.mapped.weight(reading.net, reading.scale * reading.alpha)

    def matmul(self, inputs: Tensor, samples: Sequence[int] | None = None) -> Tensor:
        """Multiply by the weight: drive the rows, read the columns.

        Args:
            inputs: Inputs of the layer, [..., in], or [N, in, *size] of a convolution.
            samples: Numbers of the samples in the data, by which noise that is new in every MVM is keyed (default: 0 to
                N − 1).

        Returns:
            The layer's outputs without bias, [..., out] or [N, out, *size].

        Raises:
            AssertionError: If nothing is loaded.
        """
        self._begin(inputs, samples)
        return self.multiply(Product(inputs, inputs, None, self.geometry))

    def rmatmul(
        self, outputs: Tensor, samples: Sequence[int] | None = None, size: Sequence[int] | None = None
    ) -> Tensor:
        """Multiply by the transposed weight: drive the columns, read the rows of the same devices.

        Args:
            outputs: Outputs of the layer, [..., out], or [N, out, *size] of a convolution.
            samples: Numbers of the samples in the data (default: 0 to N − 1).
            size: Spatial size of a convolution's inputs. Several sizes give the same outputs of a strided convolution
                (default: the smallest of them).

        Returns:
            Values on the side of the layer's inputs, [..., in] or [N, in, *size].

        Raises:
            AssertionError: If nothing is loaded.
            DriftproofError: If static input ranges were not measured in this direction.
        """
        self._begin(outputs, samples)
        return self.multiply(Product(outputs, outputs, None, self.geometry.reverse(size)), transposed=True)

    def multiply(self, product: Product, columns: slice | None = None, transposed: bool = False) -> Tensor:
        """Compute a network's product with this weight, with its bias.

        Args:
            product: Product that the network's code computes.
            columns: Columns of the array that the product uses, or None for all (default: None).
            transposed: Whether it multiplies by the transposed weight (default: False).
        """
        part = slice(None) if columns is None else columns
        if self._loaded is None:
            return self.noise.add(self._exact(product, part, transposed), product, columns, transposed)
        if transposed:
            return self.back.multiply(self._loaded, product)
        return self.forward.multiply(self._loaded, product, part)

    def between(self, product: Product, vectors: Tensor, columns: slice | None = None) -> TileStages | None:
        """Return the stages between array and ADC for tiles that other code multiplies; None with an ideal periphery.

        Args:
            product: Forward product that the network's code computes.
            vectors: Inputs of the product, [..., groups, in of a group].
            columns: Columns of the array that the product uses, or None for all (default: None).
        """
        return None if self._loaded is None else TileStages(self.forward, self._loaded, product, vectors, columns)

    def _exact(self, product: Product, columns: slice, transposed: bool) -> Tensor:
        """Multiply by the effective weight, as an ideal periphery does."""
        geometry = product.geometry
        layout = self.mapped.layout.reverse if transposed else self.mapped.layout
        matrix = layout.matrix(self.weight)[columns]
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
