"""The geometry of a product: which vectors drive the crossbar, and where the results belong in the outputs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from driftproof._calls.layout import Layout

_CONVOLUTIONS = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
_TRANSPOSED = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}


@dataclass(frozen=True)
class Dense:
    """y = x Wᵀ on the last axis: inputs [..., in], outputs [..., out]."""

    layout: Layout = field(default_factory=Layout)
    channel_axis: int = -1

    def prepare(self, inputs: Tensor) -> Tensor:
        """Return the inputs in the form that :meth:`times` and :meth:`vectors` take."""
        return inputs

    def finish(self, outputs: Tensor, inputs: Tensor) -> Tensor:
        """Return the outputs of :meth:`times` in the shape that torch gives for these inputs."""
        return outputs

    def times(self, prepared: Tensor, matrix: Tensor) -> Tensor:
        """Multiply by a matrix [out, in]."""
        return F.linear(prepared, matrix)

    def vectors(self, prepared: Tensor) -> Tensor:
        """Return the vectors that drive the crossbar, [..., 1, in]."""
        return prepared.unsqueeze(-2)

    def collect(self, products: Tensor) -> Tensor:
        """Return the results of :meth:`vectors`, [..., out], in the shape of the outputs of :meth:`times`."""
        return products

    def reverse(self, size: Sequence[int] | None = None) -> Dense:
        """Return the geometry of the transposed product, from outputs to inputs. ``size`` has no effect here."""
        return self

    def size_of(self, outputs: Tensor) -> tuple[int, ...]:
        """Return the sizes of the position axes of one sample's results: a dense product has none."""
        return ()

    def back_vectors(self, outputs: Tensor) -> Tensor:
        """Return the vectors that drive the columns in a transposed product, [..., out]."""
        return outputs

    def back_collect(self, rows: Tensor, size: Sequence[int]) -> Tensor:
        """Return the inputs that the rows [..., 1, in] belong to. This is the adjoint of :meth:`vectors`."""
        return rows.squeeze(-2)


@dataclass(frozen=True)
class Convolution:
    """A plain or transposed convolution: inputs [N, in, *size] or [in, *size], outputs with the layer's channels.

    A transposed convolution is computed as a plain one, on inputs with zeros between them. :class:`Layout` flips its
    kernel.

    Attributes:
        layout: How the stored weight is a matrix.
        kernel: Size of the kernel, axis by axis.
        stride: Stride, axis by axis.
        padding: Padding before and after, axis by axis.
        dilation: Dilation, axis by axis.
        output_padding: torch's argument of a transposed convolution; None for a plain one.
        channel_axis: Axis of the output channels.
    """

    layout: Layout
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]
    dilation: tuple[int, ...]
    output_padding: tuple[int, ...] | None = None
    channel_axis: int = 1

    @staticmethod
    def of(
        kernel: Sequence[int],
        stride: int | Sequence[int] = 1,
        padding: int | str | Sequence[int] = 0,
        dilation: int | Sequence[int] = 1,
        groups: int = 1,
        output_padding: int | Sequence[int] | None = None,
    ) -> Convolution:
        """Return the geometry for torch's arguments; with ``output_padding`` it is a transposed convolution."""
        dims = len(kernel)
        dilations = _each(dilation, dims)
        if padding == "same":
            # torch pads the odd one behind
            total = [d * (k - 1) for d, k in zip(dilations, kernel, strict=True)]
            pads = tuple((t // 2, t - t // 2) for t in total)
        else:
            pads = tuple((p, p) for p in _each(0 if isinstance(padding, str) else padding, dims))
        layout = Layout(inputs_first=output_padding is not None, groups=groups)
        extra = None if output_padding is None else _each(output_padding, dims)
        return Convolution(layout, tuple(kernel), _each(stride, dims), pads, dilations, extra)

    def prepare(self, inputs: Tensor) -> Tensor:
        """Return the inputs of an equivalent plain convolution without padding, [N, in, *size]."""
        x, pads = self._batched(inputs), self.padding
        if self.output_padding is not None:
            spread = x.new_zeros(
                *x.shape[:2], *((n - 1) * s + 1 for n, s in zip(x.shape[2:], self.stride, strict=True))
            )
            spread[self._places] = x
            x = spread
            pads = tuple(
                (reach - low, reach - high + extra)
                for reach, (low, high), extra in zip(self._reach, self.padding, self.output_padding, strict=True)
            )
        return _padded(x, pads)

    def finish(self, outputs: Tensor, inputs: Tensor) -> Tensor:
        """Return the outputs of :meth:`times` in the shape that torch gives for these inputs."""
        return outputs if inputs.dim() == len(self.kernel) + 2 else outputs.squeeze(0)

    def times(self, prepared: Tensor, matrix: Tensor) -> Tensor:
        """Convolve with a matrix [out, in / groups · kernel]; return [N, out, *positions]."""
        return self._convolved(prepared, matrix, self._steps, 0)

    def convolve(self, inputs: Tensor, matrix: Tensor) -> Tensor:
        """Return ``times(prepare(inputs), matrix)`` for inputs [N, in, *size], without a padded copy where possible."""
        if self.output_padding is not None or any(low != high for low, high in self.padding):
            return self.times(self.prepare(inputs), matrix)
        return self._convolved(inputs, matrix, self.stride, tuple(low for low, _ in self.padding))

    def _convolved(self, x: Tensor, matrix: Tensor, stride: tuple[int, ...], padding: int | tuple[int, ...]) -> Tensor:
        groups = self.layout.groups
        weight = matrix.reshape(matrix.shape[0], x.shape[1] // groups, *self.kernel)
        convolve: Any = _CONVOLUTIONS[len(self.kernel)]
        outputs: Tensor = convolve(x, weight, None, stride, padding, self.dilation, groups)
        return outputs

    def vectors(self, prepared: Tensor) -> Tensor:
        """Return the vectors that drive the crossbar, [N, *positions, groups, in / groups · kernel]."""
        dims, x = len(self.kernel), prepared
        for axis, (reach, stride, dilation) in enumerate(zip(self._reach, self._steps, self.dilation, strict=True), 2):
            x = x.unfold(axis, reach + 1, stride)[..., ::dilation]
        x = x.movedim(1, 1 + dims)  # [N, *positions, in, *kernel]
        return x.reshape(*x.shape[: 1 + dims], self.layout.groups, -1)

    def collect(self, products: Tensor) -> Tensor:
        """Return the results of :meth:`vectors`, [N, *positions, out], in the shape of the outputs of :meth:`times`."""
        return products.movedim(-1, 1)

    def reverse(self, size: Sequence[int] | None = None) -> Convolution:
        """Return the geometry of the transposed product, from this one's outputs to its inputs.

        Args:
            size: Size [*size] of this convolution's inputs. A strided convolution gives the same output size for
                several input sizes (default: the smallest of them).
        """
        layout = self.layout.reverse
        if self.output_padding is not None:
            return replace(self, layout=layout, output_padding=None)
        extra = (0,) * len(self.kernel)
        if size is not None:
            axes = zip(size, self.padding, self._reach, self.stride, strict=True)
            extra = tuple((n + sum(pads) - reach - 1) % step for n, pads, reach, step in axes)
        return replace(self, layout=layout, output_padding=extra)

    def size_of(self, inputs: Tensor) -> tuple[int, ...]:
        """Return the positions [*size] of the results for inputs [N, channels, *size] or [channels, *size]."""
        axes = zip(inputs.shape[-len(self.kernel) :], self.stride, self.padding, self._reach, strict=True)
        if self.output_padding is None:
            return tuple((n + sum(pads) - reach - 1) // step + 1 for n, step, pads, reach in axes)
        sizes = ((n - 1) * step + reach + 1 - sum(pads) for n, step, pads, reach in axes)
        return tuple(n + extra for n, extra in zip(sizes, self.output_padding, strict=True))

    def back_vectors(self, outputs: Tensor) -> Tensor:
        """Return the vectors that drive the columns in a transposed product, [N, *positions, out]."""
        return self._batched(outputs).movedim(1, -1)

    def back_collect(self, rows: Tensor, size: Sequence[int]) -> Tensor:
        """Return the inputs [N, in, *size] that rows belong to. This is the adjoint of `vectors(prepare(inputs))`.

        Args:
            rows: Row sums, [N, *positions, groups, in / groups · kernel].
            size: Size [*size] of the inputs.
        """
        dims, places = len(self.kernel), math.prod(self.kernel)
        x = rows.flatten(-2).movedim(-1, 1)  # [N, in · kernel, *positions]
        channels = x.shape[1] // places
        # each row goes to its place under the kernel; contributions of several positions to one input are summed
        one = torch.eye(places, dtype=x.dtype, device=x.device).view(places, 1, *self.kernel)
        one = one.repeat(channels, *[1] * (dims + 1))
        x = _TRANSPOSED[dims](x, one, None, stride=self._steps, dilation=self.dilation, groups=channels)
        lows, wide = [low for low, _ in self.padding], list(size)
        if self.output_padding is not None:
            lows = [reach - low for reach, low in zip(self._reach, lows, strict=True)]
            wide = [(n - 1) * step + 1 for n, step in zip(size, self.stride, strict=True)]
        # padding is cut off; inputs that no position reaches are zero
        x = _padded(x, [(-low, low + n - have) for have, low, n in zip(x.shape[2:], lows, wide, strict=True)])
        return x if self.output_padding is None else x[self._places]

    @property
    def _steps(self) -> tuple[int, ...]:
        """Stride of the equivalent plain convolution."""
        return self.stride if self.output_padding is None else (1,) * len(self.stride)

    @property
    def _reach(self) -> tuple[int, ...]:
        """Distance from the first to the last place under the kernel, axis by axis."""
        return tuple(d * (k - 1) for d, k in zip(self.dilation, self.kernel, strict=True))

    @property
    def _places(self) -> tuple[Any, ...]:
        """Index of a transposed convolution's inputs among the zeros between them."""
        return (..., *(slice(None, None, step) for step in self.stride))

    def _batched(self, x: Tensor) -> Tensor:
        return x if x.dim() == len(self.kernel) + 2 else x.unsqueeze(0)


Geometry = Dense | Convolution


def geometry_of(layer: nn.Module) -> Geometry:
    """Return the geometry of a linear layer, of a convolution, or of a transposed convolution.

    >>> geometry_of(nn.Conv2d(3, 8, 3, stride=2)).stride
    (2, 2)
    """
    if not isinstance(layer, nn.modules.conv._ConvNd):
        return Dense()
    extra = layer.output_padding if layer.transposed else None
    padding: Any = layer.padding
    return Convolution.of(layer.kernel_size, layer.stride, padding, layer.dilation, layer.groups, extra)


def _each(value: int | Sequence[int], dims: int) -> tuple[int, ...]:
    """Return one number for each axis."""
    if isinstance(value, int):
        return (value,) * dims
    return tuple(value) * dims if len(value) == 1 else tuple(value)


def _padded(x: Tensor, pads: Sequence[tuple[int, int]]) -> Tensor:
    """Pad the last axes with zeros, (before, after) for each axis; negative numbers cut."""
    return F.pad(x, [side for pair in reversed(pads) for side in pair]) if any(map(any, pads)) else x
