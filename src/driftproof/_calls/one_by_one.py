"""Matrix products that are written number by number: multiplied one by one, and then added up."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.weak import WeakIdKeyDictionary

from driftproof._calls.origins import Origins

_functorch = torch._C._functorch
_MULTIPLYING = {"mul", "multiply", "__mul__", "__rmul__", "mul_", "multiply_", "__imul__", "outer", "ger", "kron"}
_DIVIDING = {f"{name}{end}" for name in ("div", "divide", "true_divide") for end in ("", "_")} | {
    *("__truediv__", "__itruediv__", "addcdiv", "addcdiv_")
}
_ADDING_TO = {"addcmul", "addcmul_", "addcdiv", "addcdiv_"}
_SUMMING = {"sum", "mean", "nansum", "nanmean"}
_KEEPING = {"clone", "contiguous", "detach", "to", "float", "double", "half", "bfloat16", "type", "neg", "__neg__"}
_IN_ONE = {"cosine_similarity", "vecdot", "linalg_vecdot"}


@dataclass(frozen=True)
class Multiplied:
    """Inputs times a fixed tensor, number by number.

    Attributes:
        macs: Number of multiplications.
        parts: The tensors that were multiplied.
        axes: Axes of the result, counted from the end (-1, …), along which the fixed tensor differs.
    """

    macs: float
    parts: list[Tensor]
    axes: frozenset[int]


class OneByOne:
    """Recognise what is a product of inputs with a matrix, although torch multiplies only numbers by numbers.

    A gain is none: one number for each input, which nothing adds up.

    Args:
        origins: What changes from call to call.
    """

    def __init__(self, origins: Origins) -> None:
        self._origins = origins
        self._multiplied = WeakIdKeyDictionary()  # not added up yet

    def product(
        self, func: Any, args: tuple[Any, ...], named: dict[str, Any], parts: list[Tensor], results: list[Tensor]
    ) -> Multiplied | None:
        """Return the product that a call completes, or None if it completes none.

        Args:
            func: Function that was called.
            args: Its positional arguments.
            named: Its named arguments.
            parts: Tensors among all arguments.
            results: Tensors among the results.
        """
        name = getattr(func, "__name__", "")
        if len(results) != 1 or any(part.is_nested for part in (*parts, *results)):
            return None
        if name in _SUMMING or name in _KEEPING:
            return self._add_up(name, args[1] if len(args) > 1 else named.get("dim"), parts, results[0])
        if func is F.embedding_bag:
            scales = args[8] if len(args) > 8 else named.get("per_sample_weights")
            if scales is None or not self._origins.change([scales]):
                return None
            return Multiplied(float(scales.numel() * results[0].shape[-1]), parts, frozenset())
        return self._multiply(name, parts[-2:] if name in _ADDING_TO and len(parts) == 3 else parts, results[0])

    def _multiply(self, name: str, factors: list[Tensor], result: Tensor) -> Multiplied | None:
        """Return what a call multiplies, if that is a product; remember it if it may become one by adding it up."""
        if len(factors) != 2 or name not in _MULTIPLYING | _DIVIDING | _ADDING_TO | _IN_ONE:
            return None
        fixed, changing = factors if self._origins.change(factors[1:]) else reversed(factors)
        if self._origins.change([fixed]) or not self._origins.change([changing]) or not self._origins.of_matrix(fixed):
            return None
        if name in _DIVIDING and fixed is not factors[1]:
            return None
        if name in _IN_ONE:
            pairs = math.prod(torch.broadcast_shapes(*(part.shape for part in factors)))  # type: ignore[no-untyped-call]
            return Multiplied(float(pairs), factors, frozenset())
        axes = frozenset(axis for axis in range(-fixed.dim(), 0) if _varies(fixed, axis))
        found = Multiplied(float(_shown(result).numel()), factors, axes)
        numbers = math.prod(changing.shape[axis] for axis in range(changing.dim()) if _varies(changing, axis))
        if 1 < numbers < result.numel() or fixed.numel() == 1:
            return found  # several numbers for each input, or a matrix taken number by number
        cast(Any, self._multiplied)[result] = found
        return None

    def _add_up(self, name: str, over: Any, parts: list[Tensor], result: Tensor) -> Multiplied | None:
        """Return the product that a sum completes: it adds along an axis on which the fixed tensor differs."""
        found: Multiplied | None = cast(Any, self._multiplied).get(parts[0]) if len(parts) == 1 else None
        if found is None:
            return None
        if name in _KEEPING:
            cast(Any, self._multiplied)[result] = found
            return None
        dim = parts[0].dim()
        axes = range(dim) if over is None else over if isinstance(over, tuple | list) else (over,)
        return found if found.axes & {axis - dim if axis >= 0 else axis for axis in axes} else None


def _shown(tensor: Tensor) -> Tensor:
    """Return a tensor with the axes that ``torch.vmap`` hides."""
    while _functorch.is_batchedtensor(tensor):
        tensor = _functorch.get_unwrapped(tensor)
    return tensor


def _varies(tensor: Tensor, axis: int) -> bool:
    """Return whether a tensor has several numbers along an axis, rather than one, which may be repeated."""
    return tensor.shape[axis] > 1 and (tensor.layout != torch.strided or tensor.stride(axis) != 0)
