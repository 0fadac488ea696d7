"""What a product does with its inputs: which vectors go into the crossbar, and where the results come out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from torch import Tensor
from torch.nn import functional as F

from driftproof.calls.layout import Layout

_CONVOLUTIONS = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}


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

    def _steps(self) -> tuple[int, ...]:
        return self.stride if self.output_padding is None else tuple(1 for _ in self.stride)


Geometry = Dense | Convolution


def _each(value: int | Sequence[int], dims: int) -> tuple[int, ...]:
    """Return one number for each axis."""
    if isinstance(value, int):
        return (value,) * dims
    return tuple(value) * dims if len(value) == 1 else tuple(value)
