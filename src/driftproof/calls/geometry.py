"""What a product does with its inputs: which vectors go into the crossbar, and where the results come out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from driftproof.calls.layout import Layout

_CONVOLUTIONS = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
_TRANSPOSED = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}


@dataclass(frozen=True)
class Dense:
    """y = x Wᵀ on the last axis: inputs [..., in], outputs [..., out]."""

    layout: Layout = field(default_factory=Layout)
    channel_axis: int = -1

    def prepare(self, inputs: Tensor) -> Tensor:
        """Return the inputs as :meth:`times` and :meth:`vectors` take them."""
        return inputs

    def finish(self, outputs: Tensor, inputs: Tensor) -> Tensor:
        """Return the outputs of :meth:`times` in the shape that goes with the inputs."""
        return outputs

    def times(self, prepared: Tensor, matrix: Tensor) -> Tensor:
        """Multiply with a matrix [out, in]."""
        return F.linear(prepared, matrix)

    def vectors(self, prepared: Tensor) -> Tensor:
        """Return the vectors that go into the crossbar, [..., 1, in]."""
        return prepared.unsqueeze(-2)

    def collect(self, products: Tensor) -> Tensor:
        """Return the products of :meth:`vectors`, [..., out], as :meth:`times` returns its outputs."""
        return products

    def reverse(self, size: Sequence[int] | None = None) -> Dense:
        """Return the geometry of the transposed product, from outputs to inputs; ``size`` is for convolutions."""
        return self

    def size_of(self, outputs: Tensor) -> tuple[int, ...]:
        """Return the axes of the results that are positions of one sample: none."""
        return ()

    def back_vectors(self, outputs: Tensor) -> Tensor:
        """Return what drives the columns in a transposed product, [..., out]: the adjoint of :meth:`collect`."""
        return outputs

    def back_collect(self, rows: Tensor, size: Sequence[int]) -> Tensor:
        """Return the inputs that the rows [..., 1, in] belong to: the adjoint of :meth:`vectors`."""
        return rows.squeeze(-2)


@dataclass(frozen=True)
class Convolution:
    """A convolution, transposed or not: inputs [N, in, *size] or [in, *size], outputs with the layer's channels.

    A transposed one is a plain one of inputs with zeros in between (:class:`Layout` turns its kernel around).
    """

    layout: Layout
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]  # before and after, axis by axis
    dilation: tuple[int, ...]
    output_padding: tuple[int, ...] | None = None  # of a transposed one
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
        """Return the geometry of torch's arguments; ``output_padding`` says that it is a transposed one."""
        dims = len(kernel)
        strides, dilations = _each(stride, dims), _each(dilation, dims)
        if padding == "same":
            # torch puts the odd one behind
            total = [d * (k - 1) for d, k in zip(dilations, kernel, strict=True)]
            pads = tuple((t // 2, t - t // 2) for t in total)
        else:
            pads = tuple((p, p) for p in _each(0 if isinstance(padding, str) else padding, dims))
        return Convolution(
            layout=Layout(inputs_first=output_padding is not None, groups=groups),
            kernel=tuple(kernel),
            stride=strides,
            padding=pads,
            dilation=dilations,
            output_padding=None if output_padding is None else _each(output_padding, dims),
        )

    def prepare(self, inputs: Tensor) -> Tensor:
        """Return the inputs as a plain convolution without padding takes them, [N, in, *size]."""
        dims = len(self.kernel)
        x = inputs if inputs.dim() == dims + 2 else inputs.unsqueeze(0)
        pads = self.padding
        if self.output_padding is not None:
            spread = x.new_zeros(
                *x.shape[:2], *((n - 1) * s + 1 for n, s in zip(x.shape[2:], self.stride, strict=True))
            )
            places = spread
            for axis, step in enumerate(self.stride, start=2):
                places = places.unfold(axis, 1, step).squeeze(-1)
            places.copy_(x)
            x = spread
            reach = [d * (k - 1) for d, k in zip(self.dilation, self.kernel, strict=True)]
            pads = tuple(
                (r - low, r - high + extra)
                for r, (low, high), extra in zip(reach, self.padding, self.output_padding, strict=True)
            )
        if any(any(pair) for pair in pads):
            x = F.pad(x, [side for pair in reversed(pads) for side in pair])
        return x

    def finish(self, outputs: Tensor, inputs: Tensor) -> Tensor:
        """Return the outputs of :meth:`times` in the shape that goes with the inputs."""
        return outputs if inputs.dim() == len(self.kernel) + 2 else outputs.squeeze(0)

    def times(self, prepared: Tensor, matrix: Tensor) -> Tensor:
        """Convolve with a matrix [out, in / groups · kernel]; returns [N, out, *positions]."""
        groups = self.layout.groups
        weight = matrix.reshape(matrix.shape[0], prepared.shape[1] // groups, *self.kernel)
        return _CONVOLUTIONS[len(self.kernel)](
            prepared, weight, None, stride=self._steps(), dilation=self.dilation, groups=groups
        )

    def convolve(self, inputs: Tensor, matrix: Tensor) -> Tensor:
        """Return :meth:`times` of :meth:`prepare` of inputs [N, in, *size], without a padded copy where torch can."""
        if self.output_padding is not None or any(low != high for low, high in self.padding):
            return self.times(self.prepare(inputs), matrix)
        groups = self.layout.groups
        weight = matrix.reshape(matrix.shape[0], inputs.shape[1] // groups, *self.kernel)
        return _CONVOLUTIONS[len(self.kernel)](
            inputs,
            weight,
            None,
            stride=self.stride,
            padding=tuple(low for low, _ in self.padding),
            dilation=self.dilation,
            groups=groups,
        )

    def vectors(self, prepared: Tensor) -> Tensor:
        """Return the vectors that go into the crossbar, [N, *positions, groups, in / groups · kernel]."""
        dims, groups, x = len(self.kernel), self.layout.groups, prepared
        for axis, (kernel, stride, dilation) in enumerate(
            zip(self.kernel, self._steps(), self.dilation, strict=True), start=2
        ):
            x = x.unfold(axis, dilation * (kernel - 1) + 1, stride)[..., ::dilation]
        x = x.movedim(1, 1 + dims)  # [N, *positions, in, *kernel]
        return x.reshape(*x.shape[: 1 + dims], groups, -1)

    def positions(self, prepared: Tensor) -> int:
        """Return how many outputs each channel has, over all samples."""
        found = len(prepared)
        for size, kernel, step, dilation in zip(
            prepared.shape[2:], self.kernel, self._steps(), self.dilation, strict=True
        ):
            found *= (size - dilation * (kernel - 1) - 1) // step + 1
        return found

    def collect(self, products: Tensor) -> Tensor:
        """Return the products of :meth:`vectors`, [N, *positions, out], as :meth:`times` returns its outputs."""
        return products.movedim(-1, 1)

    def reverse(self, size: Sequence[int] | None = None) -> Convolution:
        """Return the geometry of the transposed product, from this one's outputs to its inputs.

        Args:
            size: of the inputs of this one, [*size]; a strided convolution has several that give the same outputs. The
                smallest of them unless said.
        """
        layout = self.layout.reverse
        if self.output_padding is not None:
            return replace(self, layout=layout, output_padding=None)
        extra = [0] * len(self.kernel)
        if size is not None:
            for axis, (step, pads) in enumerate(zip(self.stride, self.padding, strict=True)):
                reach = self.dilation[axis] * (self.kernel[axis] - 1) + 1
                extra[axis] = (size[axis] + sum(pads) - reach) % step
        return replace(self, layout=layout, output_padding=tuple(extra))

    def size_of(self, inputs: Tensor) -> tuple[int, ...]:
        """Return the positions [*size] of the results of inputs [N, channels, *size] or [channels, *size]."""
        sizes = inputs.shape[-len(self.kernel) :]
        found = []
        for axis, (size, step, (low, high)) in enumerate(zip(sizes, self.stride, self.padding, strict=True)):
            reach = self.dilation[axis] * (self.kernel[axis] - 1) + 1
            if self.output_padding is None:
                found.append((size + low + high - reach) // step + 1)
            else:
                found.append((size - 1) * step + reach - low - high + self.output_padding[axis])
        return tuple(found)

    def back_vectors(self, outputs: Tensor) -> Tensor:
        """Return what drives the columns in a transposed product, [N, *positions, out]: the adjoint of `collect`."""
        y = outputs if outputs.dim() == len(self.kernel) + 2 else outputs.unsqueeze(0)
        return y.movedim(1, -1)

    def back_collect(self, rows: Tensor, size: Sequence[int]) -> Tensor:
        """Return the inputs [N, in, *size] that rows belong to: the adjoint of :meth:`prepare` and :meth:`vectors`.

        Args:
            rows: [N, *positions, groups, in / groups · kernel].
            size: of the inputs.
        """
        dims, places = len(self.kernel), math.prod(self.kernel)
        x = rows.flatten(-2).movedim(-1, 1)  # [N, in · kernel, *positions]
        channels = x.shape[1] // places
        # each row goes to its one place under the kernel; what several positions reach is summed
        one = torch.eye(places, dtype=x.dtype, device=x.device).view(places, 1, *self.kernel)
        one = one.repeat(channels, *[1] * (dims + 1))
        x = _TRANSPOSED[dims](x, one, None, stride=self._steps(), dilation=self.dilation, groups=channels)
        pads, steps = self.padding, self.stride
        if self.output_padding is not None:
            reach = [d * (k - 1) for d, k in zip(self.dilation, self.kernel, strict=True)]
            pads = tuple((r - low, 0) for r, (low, _) in zip(reach, self.padding, strict=True))
        wide = size if self.output_padding is None else [(n - 1) * s + 1 for n, s in zip(size, steps, strict=True)]
        # padding is cut off; what no position has reached is zero
        ends = [
            side for have, (low, _), n in zip(x.shape[2:], pads, wide, strict=True) for side in (-low, low + n - have)
        ]
        x = F.pad(x, [side for axis in range(dims - 1, -1, -1) for side in ends[2 * axis : 2 * axis + 2]])
        if self.output_padding is None:
            return x
        for axis, step in enumerate(steps, start=2):
            x = x.unfold(axis, 1, step).squeeze(-1)
        return x

    def _steps(self) -> tuple[int, ...]:
        return self.stride if self.output_padding is None else tuple(1 for _ in self.stride)


Geometry = Dense | Convolution


def geometry_of(layer: nn.Module) -> Geometry:
    """Return the geometry of a linear layer, of a convolution, or of a transposed one.

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
