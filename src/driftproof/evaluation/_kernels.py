"""One call for a convolution or linear layer with what follows it: bias, another tensor that is added, ReLU.

On a CPU oneDNN applies them to each block of outputs while it is in the cache, with the operators that
``torch.compile`` uses. Where torch has none of them (other processors, builds without oneDNN), the steps follow one
another.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor, nn

from driftproof._calls.geometry import geometry_of
from driftproof._errors import warn

FUSED: bool = torch._C._has_mkldnn and hasattr(torch.ops.mkldnn, "_convolution_pointwise")
"""Whether this torch has oneDNN's fused convolutions."""


@cache
def tell_of_missing_kernels() -> None:
    """Warn, once in a process, if convolutions on this CPU are not fused."""
    if not FUSED:
        warn(
            f"torch {torch.__version__} has no fused convolutions of oneDNN: additions and ReLUs are computed behind "
            "them, with the same outputs in a little more time"
        )


type Kernel = Callable[[Tensor, Tensor | None], Tensor]
"""Function from a layer's inputs and a tensor in the shape of its outputs, or None, to relu(layer(x) + other)."""


def kernel_of(layer: nn.Module, relu: bool) -> Kernel:
    """Return a function that computes a layer, as its weights are at the call, with what follows it.

    Neither argument of the function is changed.

    Args:
        layer: An ``nn.Conv2d`` whose padding is the same on both sides, or an ``nn.Linear``.
        relu: Whether ReLU follows.
    """

    def one_after_another(x: Tensor, other: Tensor | None) -> Tensor:
        outputs: Tensor = layer(x)
        if other is not None:
            outputs = outputs.add_(other)
        return outputs.relu_() if relu else outputs

    if not FUSED or not isinstance(layer, nn.Conv2d):
        return one_after_another
    padding = [low for low, _ in geometry_of(layer).padding]  # type: ignore[union-attr]  # a convolution's
    sizes = (padding, layer.stride, layer.dilation, layer.groups)
    fused = torch.ops.mkldnn._convolution_pointwise

    def at_once(x: Tensor, other: Tensor | None) -> Tensor:
        if x.device.type != "cpu" or x.dtype != torch.float32:
            return one_after_another(x, other)
        if other is None:
            outputs = fused(x, layer.weight, layer.bias, *sizes, "relu" if relu else "none", [], "")
        else:
            added = ("add", 1.0, "relu" if relu else None)
            outputs = fused.binary(x, other, layer.weight, layer.bias, *sizes, *added, [], None)
        return outputs  # type: ignore[no-any-return]

    return at_once
