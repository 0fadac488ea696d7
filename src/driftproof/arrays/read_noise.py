"""Read noise of single products, where it belongs: added to a layer's outputs, new for every sample and position.

An output y = Σ w x of devices with read noise σ has the noise N(0, Σ σ² x²): one more product, of σ² and x². With an
ideal periphery it stands at the layer's output, after the sum over its tiles: that is the noise of all its tiles' sums.
"""

from __future__ import annotations

import torch
from torch import Tensor

from driftproof.arrays.passes import Calls, Passes, by_sample
from driftproof.arrays.reading import ArrayReading
from driftproof.calls import Product
from driftproof.devices import ProductNoise
from driftproof.errors import DriftproofError
from driftproof.mapping import MappedWeight


class NoisyProducts:
    """Adds the read noise of single products to what an array computes.

    Args:
        mapped: the weight on tiles.
        passes: which samples come.
    """

    def __init__(self, mapped: MappedWeight, passes: Passes) -> None:
        self.mapped, self.passes = mapped, passes
        self.noise: ProductNoise | None = None
        self._calls, self._calls_back = Calls(passes), Calls(passes)
        self._variance_back: Tensor | None = None

    @torch.no_grad()
    def load(self, reading: ArrayReading | None, factor: Tensor | None = None) -> None:
        """Take the spreads of a reading; ``factor`` [out] multiplies the outputs behind the layer (a folded norm)."""
        self.noise = None if reading is None else reading.noise
        self._variance_back = None
        if reading is None or self.noise is None:
            self._variance, self._reference = None, None
            return
        scale = reading.scale * reading.alpha
        self._sign = None
        if factor is not None:
            scale = scale * factor
            # so that a sample's noise is the same as with the norm behind the layer
            self._sign = factor.sign()
        self._variance = self.mapped.matrix(self.noise.weights.square(), scale.square())
        self._reference = None
        if self.noise.reference is not None:
            groups, inputs = self.noise.reference.shape
            parts = torch.zeros(groups, len(self.mapped.rows), inputs, device=scale.device)
            for split, rows in enumerate(self.mapped.rows):
                parts[:, split, rows] = self.noise.reference[:, rows].square()
            self._reference = parts.view(-1, inputs)  # [groups · row splits, in of a group]
            self._share = scale  # [row splits, out]: what the reference column's noise counts for in each output

    def add(self, outputs: Tensor, product: Product, columns: slice | None = None, transposed: bool = False) -> Tensor:
        """Return a product's outputs (without their samples' axis moved) with their noise.

        Args:
            outputs: of the layer, with or without its bias.
            product: what was multiplied.
            columns: which of the array's columns, None for all.
            transposed: whether the array is driven from its columns.

        Raises:
            DriftproofError: a transposed read of an array with a reference column.
        """
        if self.noise is None:
            return outputs
        if transposed:
            return outputs + self._back(product).to(outputs.dtype)
        mark = self._calls.mark()
        part = slice(None) if columns is None else columns
        geometry = product.geometry
        axis = geometry.channel_axis
        squares = geometry.prepare(product.inputs).float().square()
        assert self._variance is not None
        # what the squares' rounding leaves below zero, some kernels do
        noise = geometry.times(squares, self._variance[part]).clamp_(min=0).sqrt_()
        noise.mul_(self._normals(tuple(noise.shape), f"mvm{mark}", product))
        if self._sign is not None:
            noise.mul_(self._sign[part] if axis == -1 else self._sign[part].view(-1, *[1] * (noise.dim() - 2)))
        if self._reference is not None:
            common = geometry.times(squares, self._reference).clamp_(min=0).sqrt_()
            common.mul_(self._normals(tuple(common.shape), f"mvm-ref{mark}", product))
            groups = self.mapped.layout.groups
            apart = common.movedim(axis, -1)
            apart = apart.reshape(*apart.shape[:-1], groups, -1)
            share = self._share[:, part]
            share = share.reshape(len(share), groups, -1)
            noise -= torch.einsum("...gs,sgo->...go", apart, share).flatten(-2).movedim(-1, axis)
        return outputs + geometry.finish(noise, product.inputs).to(outputs.dtype)

    def _back(self, product: Product) -> Tensor:
        """Return the noise of a transposed read: scale and compensation are in its inputs, so in the variance, too."""
        assert self._variance is not None
        if self._reference is not None:
            raise DriftproofError(
                f"layer {self.mapped.name}: read noise that is new in every MVM is not known for transposed reads of "
                'an array with a reference column; use reference = "constant" in the device\'s [conductance]'
            )
        if self._variance_back is None:
            stored = self.mapped.layout.weight(self._variance, self.mapped.shape)
            self._variance_back = self.mapped.layout.reverse.matrix(stored)
        geometry = product.geometry
        squares = geometry.prepare(product.inputs).float().square()
        noise = geometry.times(squares, self._variance_back).clamp_(min=0).sqrt_()
        noise.mul_(self._normals(tuple(noise.shape), f"mvm-back{self._calls_back.mark()}", product))
        return geometry.finish(noise, product.inputs)

    def _normals(self, shape: tuple[int, ...], purpose: str, product: Product) -> Tensor:
        noise = self.noise
        assert noise is not None
        return by_sample(
            self.passes, product, shape, lambda own, numbers: noise.normals(own, numbers, purpose), self.mapped.name
        )
