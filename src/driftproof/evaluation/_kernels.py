"""One call for a convolution or linear layer with what follows it: bias, another tensor that is added, ReLU.

On a CPU oneDNN applies them to each block of outputs while it is in the cache, with the operators that
``torch.compile`` uses. Where torch has none of them (other processors, builds without oneDNN), the steps follow one
another.
"""

from __future__ import annotations

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


def compute(layer: nn.Module, x: Tensor, other: Tensor | None, relu: bool) -> Tensor:
    """Return relu(layer(x) + other), without the parts that are None and False.

    Args:
        layer: An ``nn.Conv2d`` whose padding is the same on both sides, or an ``nn.Linear``.
        x: Its inputs. They are not changed.
        other: Tensor in the shape of its outputs. It is not changed.
        relu: Whether to apply ReLU.
    """
    if FUSED and isinstance(layer, nn.Conv2d) and x.device.type == "cpu" and x.dtype == torch.float32:
        return _convolve(layer, x, other, relu)
    outputs: Tensor = layer(x)
    if other is not None:
        outputs = outputs.add_(other)
    return outputs.relu_() if relu else outputs


def _convolve(layer: nn.Conv2d, x: Tensor, other: Tensor | None, relu: bool) -> Tensor:
    padding = [low for low, _ in geometry_of(layer).padding]  # type: ignore[union-attr]  # a convolution's
    sizes = (layer.weight, layer.bias, padding, layer.stride, layer.dilation, layer.groups)
    fused = torch.ops.mkldnn._convolution_pointwise
    if other is None:
        return fused(x, *sizes, "relu" if relu else "none", [], "")  # type: ignore[no-any-return]
    return fused.binary(x, other, *sizes, "add", 1.0, "relu" if relu else None, [], None)  # type: ignore[no-any-return]
