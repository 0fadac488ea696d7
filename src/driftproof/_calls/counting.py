"""Count the multiply-accumulates of everything that a network computes, operator by operator."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch._ops import HigherOrderOperator
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from driftproof._calls.compiler import hidden_from_compiler

_KNOWN = {"aten", "prim", "prims", "profiler", "inductor", "debugprims", "mkldnn", "mkl", "quantized", "rngprims"}
"""Namespaces of torch's own operators. What those of other packages compute is not known."""
_WITHOUT_PRODUCTS = {"torchvision::nms", "torchvision::roi_align", "torchvision::roi_pool"}
# torch has operators that multiply, or divide, by a matrix and that nobody has written a formula for, packed weights of
# int8 for example; their names tell
_MULTIPLIES = re.compile(
    r"mm(_|$)|matmul|linear|conv(\d|_)|convolution|lstm|gru|rnn|attention|solve|lstsq|ormqr|bilinear|transformer_encoder"
)
_PREPARES = re.compile(
    r"(pre|un)pack|fbgemm_pack|upsample|backward|reorder|flatten|_convert|_thnn_|quantize_weight|params|combination"
)


class MacCounter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Count multiply-accumulates while it is active.

    It sees the operators that torch runs at last, whatever the code looks like that called them: inside ``einsum``,
    ``torch.vmap``, TorchScript and torch's C++ code.

    Attributes:
        macs: Multiply-accumulates so far. A complex one counts as four.
        unknown: Names of operators whose multiply-accumulates are not known, in the order of their calls.

    >>> with MacCounter() as counter:
    ...     _ = torch.einsum("ni,oi->no", torch.ones(4, 3), torch.ones(2, 3))
    >>> counter.macs
    24.0
    """

    supports_higher_order_operators = True

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Say to torch that it need not hide the counter from its compiler, which takes seconds to import."""
        return False  # hidden_from_compiler does it as soon as the compiler is there

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.macs = 0.0
        self.unknown: list[str] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run an operator, and count it."""
        named = kwargs or {}
        if isinstance(func, HigherOrderOperator):
            return self._run_code(func, args, named)
        packet = func._overloadpacket
        nested = any(isinstance(part, torch.Tensor) and part.is_nested for part in args)  # its parts have no shapes
        if not types and not nested and packet not in flop_registry and _consists_of_others(func):
            with self:  # such as matmul: it arrives whole inside torch.inference_mode and torch.cond
                return func.decompose(*args, **named)
        result = func(*args, **named)
        count = _SHAPES.get(packet)
        if count is not None:
            macs = count(*_shapes(args)) / 2
        elif func._schema.name.startswith("aten::_scaled_dot_product"):
            macs = _attention(result[0] if isinstance(result, tuple) else result, *args[:3])
        elif packet in flop_registry:
            macs = flop_registry[packet](*args, **named, out_val=result) / 2
        else:
            macs = 0.0
            name = func._schema.name
            known = func.namespace in _KNOWN and not _multiplies(name)
            if not known and name not in _WITHOUT_PRODUCTS:
                self.unknown.append(name)
        self.macs += 4 * macs if macs and isinstance(result, torch.Tensor) and result.is_complex() else macs
        return result

    def _run_code(self, func: Any, args: tuple[Any, ...], named: dict[str, Any]) -> Any:
        """Run an operator that gets code: a branch is counted; what others do with their code is not known."""
        if func is torch.ops.higher_order.cond:
            condition, yes, no, operands = args
            with self:
                return (yes if condition else no)(*operands)
        self.unknown.append(func.name())
        return func(*args, **named)


hidden_from_compiler(MacCounter)


@cache
def _multiplies(name: str) -> bool:
    """Return whether the name of an operator of torch tells that it multiplies by a matrix."""
    name = name.partition("::")[2]
    return bool(_MULTIPLIES.search(name)) and not _PREPARES.search(name)


@cache
def _consists_of_others(func: Any) -> bool:
    """Return whether an operator is defined by other operators alone."""
    key = "CompositeImplicitAutograd"
    return func.namespace == "aten" and bool(torch._C._dispatch_has_kernel_for_dispatch_key(func.name(), key))


def _shapes(args: tuple[Any, ...]) -> list[Any]:
    return [tuple(part.shape) if isinstance(part, torch.Tensor) else part for part in args]


def _attention(outputs: torch.Tensor, query: torch.Tensor, keys: torch.Tensor, values: torch.Tensor) -> float:
    """Return the multiply-accumulates of attention, whose axes before the last two may be repeated."""
    return math.prod(outputs.shape[:-1]) * keys.shape[-2] * (query.shape[-1] + values.shape[-1])


def _trilinear(*arguments: Any) -> int:
    """Return the FLOPs of ``_trilinear``: three shapes, and the axes of size 1 that are inserted into each."""
    shapes = [list(shape) for shape in arguments[:3]]
    for shape, axes in zip(shapes, arguments[3:6], strict=True):
        for axis in sorted(axes):
            shape.insert(axis, 1)
    return 2 * math.prod(torch.broadcast_shapes(*shapes))  # type: ignore[no-untyped-call]


def _distances(one: tuple[int, ...], other: tuple[int, ...], *_: Any) -> int:
    """Return the FLOPs of distances between all pairs of vectors."""
    return 2 * math.prod(one[:-2]) * one[-2] * other[-2] * one[-1]


_aten = torch.ops.aten
# operators that torch's own counter leaves out; each function gets the arguments, tensors as their shapes
_SHAPES: dict[Any, Callable[..., int]] = {
    _aten.mv: lambda matrix, *_: 2 * math.prod(matrix),
    _aten.addmv: lambda _, matrix, *__: 2 * math.prod(matrix),
    _aten.addmv_: lambda _, matrix, *__: 2 * math.prod(matrix),
    _aten.addmm_: lambda _, one, other, *__: 2 * math.prod(one) * other[-1],
    _aten._addmm_activation: lambda _, one, other, *__: 2 * math.prod(one) * other[-1],
    _aten.baddbmm_: lambda _, one, other, *__: 2 * math.prod(one) * other[-1],
    _aten.addbmm_: lambda _, one, other, *__: 2 * math.prod(one) * other[-1],
    _aten.addbmm: lambda _, one, other, *__: 2 * math.prod(one) * other[-1],
    _aten.dot: lambda one, *_: 2 * math.prod(one),
    _aten.vdot: lambda one, *_: 2 * math.prod(one),
    _aten._int_mm: lambda one, other, *_: 2 * math.prod(one) * other[-1],
    _aten._sparse_mm: lambda one, other, *_: 2 * math.prod(one) * other[-1],
    _aten._sparse_addmm: lambda _, one, other, *__: 2 * math.prod(one) * other[-1],
    _aten._trilinear: _trilinear,
    _aten._cdist_forward: _distances,
    _aten._euclidean_dist: _distances,
}
