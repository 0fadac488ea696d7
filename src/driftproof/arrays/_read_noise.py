"""Read noise that is new in every MVM, added to a layer's outputs: new for every sample and position.

An output y = Σ w x of devices with read noise σ has the noise N(0, Σ σ² x²): one more product, of σ² and x². With an
ideal periphery the noise is added to the layer's output, after the sum over its tiles. It is then the noise of the sums
of all tiles.
"""

from __future__ import annotations

import torch
from torch import Tensor

from driftproof._calls import Product
from driftproof._devices import MvmReadNoise, SampleNormals
from driftproof._errors import DriftproofError
from driftproof._mapping import MappedWeight
from driftproof.arrays._passes import Calls, Passes, by_sample
from driftproof.arrays._reading import ArrayReading


class ArrayReadNoise:
    """Adds the read noise that is new in every MVM to the outputs of an array with an ideal periphery.

    Args:
        mapped: The weight on tiles.
        passes: The samples of the current pass.
    """

    def __init__(self, mapped: MappedWeight, passes: Passes) -> None:
        self.mapped, self.passes = mapped, passes
        self.noise: MvmReadNoise | None = None
        self._calls, self._calls_back = Calls(passes), Calls(passes)
        self._samples: SampleNormals | None = None
        self._variance_back: Tensor | None = None

    @torch.no_grad()
    def load(self, reading: ArrayReading | None, factor: Tensor | None = None) -> None:
        """Load the noise of a reading; ``factor`` [out] multiplies the outputs after the layer (a folded norm)."""
        self.noise = None if reading is None else reading.noise
        self._variance = self._variance_back = self._reference = self._sign = None
        if reading is None or self.noise is None:
            return
        scale, self._samples = reading.scale * reading.alpha, reading.samples
        if factor is not None:
            scale = scale * factor
            # so that a sample's noise is the same as with the norm after the layer
            self._sign = factor.sign()
        self._variance = self.mapped.matrix(self.noise.weights.square(), scale.square())
        if self.noise.reference is not None:
            groups, inputs = self.noise.reference.shape
            parts = torch.zeros(groups, len(self.mapped.rows), inputs, device=scale.device)
            for split, rows in enumerate(self.mapped.rows):
                parts[:, split, rows] = self.noise.reference[:, rows].square()
            self._reference = parts.view(-1, inputs)  # [groups · row splits, in of a group]
            self._share = scale  # [row splits, out]: the factor of the reference column's noise in each output

    def add(self, outputs: Tensor, product: Product, columns: slice | None = None, transposed: bool = False) -> Tensor:
        """Return a product's outputs, with their samples' axis where it is, with noise.

        Args:
            outputs: Outputs of the layer, with or without its bias.
            product: Product that gave the outputs.
            columns: Columns of the array that the product uses, or None for all (default: None).
            transposed: Whether the array is driven from its columns (default: False).

        Raises:
            DriftproofError: If an array with a reference column is read transposed.
        """
        if self.noise is None:
            return outputs
        geometry = product.geometry
        squares = geometry.prepare(product.inputs).float().square()
        noise = self._back(product, squares) if transposed else self._forward(product, squares, columns)
        return outputs + geometry.finish(noise, product.inputs).to(outputs.dtype)

    def _forward(self, product: Product, squares: Tensor, columns: slice | None) -> Tensor:
        """Return the noise of a forward read; ``squares`` are the squares of its inputs."""
        assert self._variance is not None
        mark, axis = self._calls.mark(), product.geometry.channel_axis
        part = slice(None) if columns is None else columns
        noise = self._drawn(product, squares, self._variance[part], f"mvm{mark}")
        if self._sign is not None:
            noise.mul_(self._sign[part] if axis == -1 else self._sign[part].view(-1, *[1] * (noise.dim() - 2)))
        if self._reference is not None:
            common = self._drawn(product, squares, self._reference, f"mvm-ref{mark}").movedim(axis, -1)
            groups = self.mapped.layout.groups
            apart = common.reshape(*common.shape[:-1], groups, -1)
            share = self._share[:, part]
            share = share.reshape(len(share), groups, -1)
            noise -= torch.einsum("...gs,sgo->...go", apart, share).flatten(-2).movedim(-1, axis)
        return noise

    def _back(self, product: Product, squares: Tensor) -> Tensor:
        """Return the noise of a transposed read. Its inputs, and so its variance, include scale and compensation."""
        assert self._variance is not None
        if self._reference is not None:
            raise DriftproofError(
                f"layer {self.mapped.name}: read noise that is new in every MVM does not work with transposed reads of "
                'an array with a reference column; use reference = "constant" in the device\'s [conductance]'
            )
        if self._variance_back is None:
            stored = self.mapped.layout.weight(self._variance, self.mapped.shape)
            self._variance_back = self.mapped.layout.reverse.matrix(stored)
        return self._drawn(product, squares, self._variance_back, f"mvm-back{self._calls_back.mark()}")

    def _drawn(self, product: Product, squares: Tensor, variance: Tensor, purpose: str) -> Tensor:
        """Return σ ξ in the shape of a product's outputs, σ² being the product of ``variance`` and ``squares``."""
        samples = self._samples
        assert samples is not None
        # in some kernels rounding leaves a sum of squares below zero
        noise = product.geometry.times(squares, variance).clamp_(min=0).sqrt_()
        normals = by_sample(
            self.passes,
            product,
            tuple(noise.shape),
            lambda shape, numbers: samples.draw(shape, numbers, purpose, variance.device),
            self.mapped.name,
        )
        return noise.mul_(normals)
