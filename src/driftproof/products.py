"""Read noise of single products, where it belongs: added to a layer's outputs, new for every sample and position.

An output y = Σ w x of devices with read noise σ has the noise N(0, Σ σ² x²): one more product, of σ² and x². It stands
at the layer's output, after the sum over its tiles: with an ideal periphery that is the noise of all its tiles' sums.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from driftproof.chip import ArrayReading
from driftproof.devices import ProductNoise
from driftproof.errors import DriftproofError
from driftproof.mapping import MappedWeight


class Passes:
    """Which samples a forward pass is about: their numbers in the data, so that noise can be keyed by them.

    As a forward pre-hook of the whole network it numbers samples in the order in which they come.
    """

    def __init__(self) -> None:
        self.first, self.count, self.number = 0, 0, 0

    def begin(self, first: int, count: int) -> None:
        """Say that a pass over samples ``first`` to ``first + count − 1`` begins."""
        self.first, self.count, self.number = first, count, self.number + 1

    def restart(self, first: int = 0) -> None:
        """Say that the next pass begins with sample ``first``."""
        self.begin(first, 0)

    def __call__(self, _: nn.Module, args: tuple[Any, ...], named: dict[str, Any]) -> None:
        """Begin the pass that follows the last one (a hook ``with_kwargs``)."""
        inputs = first_tensor(args, named)
        self.begin(self.first + self.count, 0 if inputs is None or inputs.dim() == 0 else len(inputs))


def first_tensor(args: tuple[Any, ...], named: dict[str, Any]) -> Tensor | None:
    """Return the first tensor of a call, by place or by name; None if there is none."""
    return next((value for value in (*args, *named.values()) if isinstance(value, Tensor)), None)


class NoisyProducts:
    """A forward hook (``with_kwargs``) that adds the read noise of single products to one layer's outputs.

    Args:
        layer: the digital layer, for its geometry (stride, padding, …).
        mapped: its weight on tiles.
        passes: which samples come.
    """

    def __init__(self, layer: nn.Module, mapped: MappedWeight, passes: Passes) -> None:
        self.geometry = copy.copy(layer)
        self.geometry._parameters = {}
        self.mapped, self.passes = mapped, passes
        self.noise: ProductNoise | None = None
        self._calls, self._pass = 0, -1

    @torch.no_grad()
    def load(self, reading: ArrayReading, factor: Tensor | None = None) -> None:
        """Take the spreads of a reading; ``factor`` [out] multiplies the outputs behind the layer (a folded norm)."""
        self.noise = reading.noise
        if self.noise is None:
            self._variance, self._reference = None, None
            return
        scale = reading.scale * reading.alpha
        self._sign = None
        if factor is not None:
            scale = scale * factor
            # so that a sample's noise is the same as with the norm behind the layer
            self._sign = factor.sign().view(-1, *[1] * max(0, len(self.mapped.shape) - 2))
        self._variance = self.mapped.weight(self.noise.weights.square(), scale.square())
        self._reference = None
        if self.noise.reference is not None:
            parts = torch.zeros(len(self.mapped.rows), self.noise.weights.shape[1], device=scale.device)
            for split, rows in enumerate(self.mapped.rows):
                parts[split, rows] = self.noise.reference[0, rows].square()
            self._reference = parts.view(len(parts), *self.mapped.shape[1:])
            self._share = scale  # [row splits, out]: what the reference column's noise counts for in each output

    def __call__(self, _: nn.Module, args: tuple[Any, ...], named: dict[str, Any], output: Tensor) -> Tensor:
        """Return the outputs with their noise."""
        if self.noise is None:
            return output
        inputs = first_tensor(args, named)
        assert inputs is not None, "a layer without an input"
        self._calls = 1 if self._pass != self.passes.number else self._calls + 1
        self._pass = self.passes.number
        mark = "" if self._calls == 1 else str(self._calls)
        squares = inputs.float().square()
        assert self._variance is not None
        noise = self._times(squares, self._variance).sqrt_()
        noise.mul_(self._normals(tuple(noise.shape), f"mvm{mark}"))
        if self._sign is not None:
            noise.mul_(self._sign)
        if self._reference is not None:
            common = self._times(squares, self._reference).sqrt_()
            common.mul_(self._normals(tuple(common.shape), f"mvm-ref{mark}"))
            # outputs are [..., out] of a linear layer, [N, out, ...] of a convolution
            equation = "...s,so->...o" if isinstance(self.geometry, nn.Linear) else "ns...,so->no..."
            noise -= torch.einsum(equation, common, self._share)
        return output + noise.to(output.dtype)

    def _times(self, x: Tensor, weight: Tensor) -> Tensor:
        geometry: Any = self.geometry
        y: Tensor = F.linear(x, weight) if isinstance(geometry, nn.Linear) else geometry._conv_forward(x, weight, None)
        # what the squares' rounding leaves below zero, some kernels do
        return y.clamp_(min=0)

    def _normals(self, shape: tuple[int, ...], purpose: str) -> Tensor:
        """Return one number per output and position, the same for a sample in any batch."""
        count = self.passes.count
        assert self.noise is not None
        if not count or shape[0] % count:
            raise DriftproofError(
                f"layer {self.mapped.name!r} gives outputs {list(shape)} for {count} samples: read noise of single "
                "products is drawn sample by sample and wants the samples first; use a device without it "
                "(read.new_every), or call the layer with the samples in its first dimension"
            )
        own = (count, shape[0] // count, *shape[1:])
        return self.noise.normals(own, self.passes.first, purpose).view(shape)
