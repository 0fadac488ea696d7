"""How many multiply-accumulates a call of any torch function computes."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode


def counted(compute: Callable[[], Any]) -> tuple[Any, float]:
    """Return what a computation returns, and its multiply-accumulates: 0 if it has none or they cannot be counted.

    >>> result, macs = counted(lambda: torch.einsum("ni,oi->no", torch.ones(4, 3), torch.ones(2, 3)))
    >>> result.shape, macs
    (torch.Size([4, 2]), 24.0)
    """
    with FlopCounterMode(display=False, custom_mapping=_UNCOUNTED) as counter:
        result = compute()
    return result, counter.get_total_flops() / 2


def _matrix_vector(matrix: torch.Size, *_: Any, **__: Any) -> int:
    return 2 * math.prod(matrix)


def _added_matrix_vector(_: torch.Size, matrix: torch.Size, *__: Any, **___: Any) -> int:
    return 2 * math.prod(matrix)


def _bilinear(
    first: torch.Size,
    second: torch.Size,
    third: torch.Size,
    expand_first: list[int],
    expand_second: list[int],
    expand_third: list[int],
    *_: Any,
    **__: Any,
) -> int:
    shapes = []
    for shape, new in ((first, expand_first), (second, expand_second), (third, expand_third)):
        whole = list(shape)
        for axis in sorted(new):
            whole.insert(axis, 1)
        shapes.append(whole)
    macs: int = math.prod(max(sizes) for sizes in zip(*shapes, strict=True))
    return 2 * macs


# what torch's own counter leaves out
_UNCOUNTED: dict[Any, Callable[..., int]] = {
    torch.ops.aten.mv: _matrix_vector,
    torch.ops.aten.addmv: _added_matrix_vector,
    torch.ops.aten._trilinear: _bilinear,
}
