"""Products inside ``torch.vmap``, with the axis that it hides: an array is driven by all vectors of the axis."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch._functorch.pyfunctorch import temporarily_pop_interpreter_stack
from torch.nn import functional as F

from driftproof._calls.geometry import Dense
from driftproof._calls.products import Product

_functorch = torch._C._functorch


def with_hidden_axis(product: Product, convolve: Callable[[Tensor], Tensor]) -> Callable[[], Tensor] | None:
    """Return a computation of a product on tensors that have the axis which ``torch.vmap`` hides as their first.

    Args:
        product: The product, as the function under ``torch.vmap`` computes it.
        convolve: Function that computes the product with other inputs, for convolutions.

    Returns:
        A function without arguments; None outside ``torch.vmap``, or if the axis is hidden in the bias alone.
    """
    if _functorch.maybe_current_level() is None:
        return None
    level = max(_functorch.maybe_get_level(part) for part in (product.inputs, product.weight))
    if level < 1 or (product.bias is not None and _functorch.is_batchedtensor(product.bias)):
        return None
    (inputs, axis), (weight, stack) = (_shown(part, level) for part in (product.inputs, product.weight))
    if axis is None and stack is None:
        return None

    def by_layers() -> Tensor:
        if stack is not None:
            matrices = weight.movedim(stack, 0)
            each = [inputs] * len(matrices) if axis is None else list(inputs.movedim(axis, 0))
            y = torch.stack([F.linear(x, matrix) for x, matrix in zip(each, matrices, strict=True)])
            y = y if product.bias is None else y + product.bias
        elif isinstance(product.geometry, Dense):
            assert axis is not None
            y = F.linear(inputs.movedim(axis, 0), weight)
            y = y if product.bias is None else y + product.bias
        else:
            assert axis is not None
            x = inputs.movedim(axis, 0)
            batched = x.dim() == len(product.geometry.kernel) + 3
            y = convolve(x.flatten(0, 1) if batched else x)
            y = y.reshape(*x.shape[:2], *y.shape[1:]) if batched else y
        return y

    def compute() -> Tensor:
        with temporarily_pop_interpreter_stack():  # noise is not drawn under vmap, which may refuse that
            y = by_layers()
        return _functorch._add_batch_dim(y, 0, level)

    return compute if stack is None or isinstance(product.geometry, Dense) else None


def _shown(tensor: Tensor, level: int) -> tuple[Tensor, int | None]:
    """Return a tensor with the axis that is hidden at a level, and the number of this axis; None if it has none."""
    if not _functorch.is_batchedtensor(tensor) or _functorch.maybe_get_level(tensor) != level:
        return tensor, None
    return _functorch._unwrap_batched(tensor, level)
