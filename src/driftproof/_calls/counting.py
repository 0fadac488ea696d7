"""Count the multiply-accumulates that a call of any torch function computes."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode


def counted(compute: Callable[[], Any]) -> tuple[Any, float]:
    """Return the result of a computation and its number of multiply-accumulates.

    The number is 0 if the computation has none, or if they cannot be counted.

    >>> result, macs = counted(lambda: torch.einsum("ni,oi->no", torch.ones(4, 3), torch.ones(2, 3)))
    >>> result.shape, macs
    (torch.Size([4, 2]), 24.0)
    """
    with FlopCounterMode(display=False, custom_mapping=_UNCOUNTED) as counter:
        result = compute()
    return result, counter.get_total_flops() / 2


def _bilinear(*arguments: Any, **_: Any) -> int:
    """Return the FLOPs of ``_trilinear``: three shapes, and the axes of size 1 that are inserted into each."""
    shapes = [list(shape) for shape in arguments[:3]]
    for shape, axes in zip(shapes, arguments[3:6], strict=True):
        for axis in sorted(axes):
            shape.insert(axis, 1)
    return 2 * math.prod(torch.broadcast_shapes(*shapes))  # type: ignore[no-untyped-call]


# functions that torch's counter leaves out; each gets the shapes of the arguments
_UNCOUNTED: dict[Any, Callable[..., int]] = {
    torch.ops.aten.mv: lambda matrix, *_, **__: 2 * math.prod(matrix),
    torch.ops.aten.addmv: lambda _, matrix, *__, **___: 2 * math.prod(matrix),
    torch.ops.aten._trilinear: _bilinear,
}
