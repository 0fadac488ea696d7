"""Which of torch's functions multiply by a weight, and how: one :class:`Product` for each such call."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from driftproof.calls.geometry import Convolution, Dense, Geometry


@dataclass(frozen=True)
class Product:
    """One product of inputs and a weight, as a network's code asks for it.

    Attributes:
        inputs: of the layer, in torch's shape.
        weight: the tensor that was given: a parameter, or a view of one. A ``Dense`` product has it as [out, in].
        bias: [out] or None; for ``addmm`` what is added.
        geometry: which vectors of the inputs are multiplied.
        sample_axis: 0 if samples are the outermost axis of the inputs; 1 if the second, [steps, samples, …], or the
            faster one of [steps · samples, …].
        constant: whether the inputs are parameters, too: the outputs are the same at every call.
    """

    inputs: Tensor
    weight: Tensor
    bias: Tensor | None
    geometry: Geometry
    sample_axis: int = 0
    constant: bool = False

    def add_bias(self, outputs: Tensor) -> Tensor:
        """Return outputs with the bias."""
        if self.bias is None:
            return outputs
        if isinstance(self.geometry, Dense):
            return outputs + self.bias
        return outputs + self.bias.view(-1, *[1] * len(self.geometry.kernel))


def recognise(function: Callable[..., Any], args: tuple[Any, ...], named: dict[str, Any]) -> Product | None:
    """Return the product that a call of a torch function is; None if it is none.

    >>> product = recognise(F.linear, (torch.ones(4, 3), torch.ones(2, 3)), {})
    >>> product.geometry.times(product.inputs, product.weight).shape
    torch.Size([4, 2])
    """
    read = _READERS.get(function)
    if read is None:
        return None
    try:
        return read(*args, **named)
    except TypeError:  # torch itself is to complain about a wrong call
        return None


def _linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Product | None:
    return Product(input, weight, bias, Dense()) if weight.dim() == 2 else None


def _addmm(input: Tensor, mat1: Tensor, mat2: Tensor, *, beta: float = 1, alpha: float = 1, **_: Any) -> Product | None:
    # Hugging Face's Conv1D: a bias, and a weight that is stored inputs first
    return Product(mat1, mat2.t(), input, Dense()) if (beta, alpha) == (1, 1) else None


def _matmul(input: Tensor, other: Tensor, **_: Any) -> Product | None:
    return Product(input, other.t(), None, Dense()) if other.dim() == 2 and input.dim() >= 1 else None


def _mm(input: Tensor, mat2: Tensor, **_: Any) -> Product | None:
    return _matmul(input, mat2)


def _convolution(dims: int) -> Callable[..., Product | None]:
    def read(
        input: Tensor,
        weight: Tensor,
        bias: Tensor | None = None,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
    ) -> Product:
        return Product(
            input, weight, bias, Convolution.of(weight.shape[2 : 2 + dims], stride, padding, dilation, groups)
        )

    return read


def _transposed_convolution(dims: int) -> Callable[..., Product | None]:
    def read(
        input: Tensor,
        weight: Tensor,
        bias: Tensor | None = None,
        stride: Any = 1,
        padding: Any = 0,
        output_padding: Any = 0,
        groups: int = 1,
        dilation: Any = 1,
    ) -> Product:
        kernel = weight.shape[2 : 2 + dims]
        return Product(input, weight, bias, Convolution.of(kernel, stride, padding, dilation, groups, output_padding))

    return read


_READERS: dict[Callable[..., Any], Callable[..., Product | None]] = {
    F.linear: _linear,
    torch.addmm: _addmm,
    Tensor.addmm: _addmm,
    torch.matmul: _matmul,
    Tensor.matmul: _matmul,
    Tensor.__matmul__: _matmul,
    torch.mm: _mm,
    Tensor.mm: _mm,
    F.conv1d: _convolution(1),
    F.conv2d: _convolution(2),
    F.conv3d: _convolution(3),
    F.conv_transpose1d: _transposed_convolution(1),
    F.conv_transpose2d: _transposed_convolution(2),
    F.conv_transpose3d: _transposed_convolution(3),
}

WEIGHT_BY_NAME = {function for function in _READERS if getattr(function, "__name__", "").startswith(("linear", "conv"))}
"""They say which of their arguments is the weight, so that the other one is the inputs."""
