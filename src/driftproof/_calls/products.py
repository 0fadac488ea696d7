"""Recognise the torch functions that multiply by a weight: each such call becomes one :class:`Product`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from driftproof._calls.geometry import Convolution, Dense, Geometry


@dataclass(frozen=True)
class Product:
    """One product of inputs and a weight, as the network's code requests it.

    Attributes:
        inputs: Inputs of the layer, in torch's shape.
        weight: The tensor that was given: a parameter, or a view of one. For a ``Dense`` product it is [out, in].
        bias: Bias [out], or None; for ``addmm`` the tensor that is added.
        geometry: Which vectors of the inputs are multiplied.
        sample_axis: Axis of the samples: 0 if it is the outermost axis of the inputs; 1 if it is the second one,
            [steps, samples, …], or the faster one of [steps · samples, …].
        constant: Whether the inputs are parameters, too, so that the outputs are the same in every call.
        driven: Share of the matrix's rows that the inputs drive; zeros were added for the others.
    """

    inputs: Tensor
    weight: Tensor
    bias: Tensor | None
    geometry: Geometry
    sample_axis: int = 0
    constant: bool = False
    driven: float = 1.0

    def add_bias(self, outputs: Tensor) -> Tensor:
        """Return outputs with the bias."""
        if self.bias is None:
            return outputs
        if isinstance(self.geometry, Dense):
            return outputs + self.bias
        return outputs + self.bias.view(-1, *[1] * len(self.geometry.kernel))


def recognise(function: Callable[..., Any], args: tuple[Any, ...], named: dict[str, Any]) -> Product | None:
    """Return the product that a call of a torch function computes; None if it computes none.

    >>> product = recognise(F.linear, (torch.ones(4, 3), torch.ones(2, 3)), {})
    >>> product.geometry.times(product.inputs, product.weight).shape
    torch.Size([4, 2])
    """
    read = _READERS.get(function)
    try:
        return None if read is None else read(*args, **named)
    except TypeError:  # a wrong call: torch itself raises the error
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


def _convolution(input: Tensor, weight: Tensor, bias: Tensor | None = None, *sizes: Any, **named: Any) -> Product:
    return Product(input, weight, bias, Convolution.of(weight.shape[2:], *sizes, **named))


def _transposed_convolution(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> Product:
    return _convolution(input, weight, bias, stride, padding, dilation, groups, output_padding)


_READERS: dict[Callable[..., Any], Callable[..., Product | None]] = {
    F.linear: _linear,
    **dict.fromkeys((torch.addmm, Tensor.addmm), _addmm),
    **dict.fromkeys((torch.matmul, Tensor.matmul, Tensor.__matmul__), _matmul),
    **dict.fromkeys((torch.mm, Tensor.mm), _mm),
    **dict.fromkeys((F.conv1d, F.conv2d, F.conv3d), _convolution),
    **dict.fromkeys((F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d), _transposed_convolution),
}

WEIGHT_BY_NAME = {function for function in _READERS if getattr(function, "__name__", "").startswith(("linear", "conv"))}
"""Functions that name the argument that is the weight, so that the other factor is the inputs."""
