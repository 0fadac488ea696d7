"""Find the parameter that a tensor is, or is a view of."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from driftproof._calls.geometry import Geometry
from driftproof._calls.layout import Layout
from driftproof._sparse import dense_parts


@dataclass(frozen=True)
class Located:
    """The parameter that a tensor is, or is a view of.

    Attributes:
        name: Name of the parameter.
        columns: Outputs of the matrix [out, …] that the view holds; None for all of them. A slice with a step, or of a
            convolution with groups, is a part that an array cannot multiply by alone.
        rows: Inputs of the matrix that the view holds; None for all of them.
        transposed: Whether the view is the transpose of the stored matrix.
        stacked: Whether the view is one of several matrices in the parameter.
        made: Whether the tensor was computed from the parameter (standardised, quantised, …) and is as large.
    """

    name: str
    columns: slice | None = None
    rows: slice | None = None
    transposed: bool = False
    stacked: bool = False
    made: bool = False

    def layout(self, geometry: Geometry) -> Layout:
        """Return how the stored weight is the matrix of a product with this geometry."""
        layout = geometry.layout
        if self.transposed:
            layout = replace(layout, inputs_first=True)
        return replace(layout, stacked=True) if self.stacked else layout


class Parameters:
    """Find the parameter behind a tensor by its memory, so that views and transposes are recognised, too.

    Args:
        parameters: (name, parameter) pairs. One parameter may have several names; the first counts.
    """

    def __init__(self, parameters: Iterable[tuple[str, Tensor]]) -> None:
        self._at: dict[int, list[tuple[str, Tensor]]] = {}
        self._sizes: dict[str, int] = {}
        for name, parameter in parameters:
            self._sizes[name] = parameter.numel()
            for part in _stored(parameter):
                if part.numel():
                    self._at.setdefault(part.untyped_storage().data_ptr(), []).append((name, part))

    def size(self, name: str) -> int:
        """Return the number of elements of a parameter."""
        return self._sizes[name]

    def matrix_of(self, module: str) -> bool:
        """Return whether a module has a parameter of its own with at least two axes."""
        own = [name for name in self._sizes if name.startswith(f"{module}." if module else "")]
        return any("." not in name.removeprefix(f"{module}.") and self.get(name).dim() > 1 for name in own)

    def owner(self, tensor: Tensor) -> tuple[str, Tensor] | None:
        """Return the parameter that a tensor shares memory with, and its name; None if there is none."""
        try:
            first = next(iter(_stored(tensor)), None)
            nearby = () if first is None else self._at.get(first.untyped_storage().data_ptr(), ())
        except (NotImplementedError, RuntimeError):  # tensors without a storage, such as those of torch.vmap
            return None
        for name, parameter in nearby:
            assert first is not None
            if 0 <= first.storage_offset() - parameter.storage_offset() < parameter.numel():
                return name, parameter
        return None

    def get(self, name: str) -> Tensor:
        """Return a parameter."""
        return next(part for parts in self._at.values() for other, part in parts if other == name)

    def locate(self, tensor: Tensor) -> Located | None:
        """Return the parameter, and which of its rows and columns, that a weight [out, in] or [out, in, *kernel] is.

        Return None if the weight belongs to no parameter, or is no rectangle of a matrix.
        """
        owner = self.owner(tensor)
        if owner is None:
            return None
        name, parameter = owner
        if _place(tensor) == _place(parameter):
            return Located(name)
        if parameter.dim() == 2 and _place(tensor) == _place(parameter.t()):
            return Located(name, transposed=True)
        if not parameter.is_contiguous() or tensor.dim() < 2:
            return None
        # first, the index along the parameter's first axis at which the tensor begins
        offset = int(tensor.storage_offset()) - int(parameter.storage_offset())
        first, rest = divmod(offset, parameter[0].numel())
        if parameter.dim() == 3 and tensor.dim() == 2 and not rest:
            for matrix, transposed in ((parameter[0], False), (parameter[0].t(), True)):
                if (tensor.shape, tensor.stride()) == (matrix.shape, matrix.stride()):
                    outputs = len(matrix)
                    return Located(
                        name, slice(first * outputs, (first + 1) * outputs), transposed=transposed, stacked=True
                    )
            if tensor.is_contiguous() and tensor.shape == (len(parameter) * parameter.shape[1], parameter.shape[2]):
                return Located(name, stacked=True)
        if tensor.is_contiguous() and tensor[0].numel() == parameter[0].numel() and not rest:
            return Located(name, None if len(tensor) == len(parameter) else slice(first, first + len(tensor)))
        return _rectangle(name, parameter, tensor, offset)


def _rectangle(name: str, parameter: Tensor, tensor: Tensor, offset: int) -> Located | None:
    """Return where a tensor is some rows and columns of a matrix, or of a convolution's kernels [out, in, *kernel]."""
    matrix = parameter.flatten(1) if tensor.dim() == 2 else parameter
    if tensor.shape[2:] != matrix.shape[2:] or tensor.stride()[2:] != matrix.stride()[2:]:
        return None
    (long, short), (height, width) = matrix.stride()[:2], matrix.shape[:2]
    for transposed in (False, True) if parameter.dim() == 2 else (False,):
        (tall, wide), steps = tensor.shape[:2], tensor.stride()[:2]
        if transposed:
            (wide, tall), steps = (tall, wide), steps[::-1]
        outputs = _along(offset // long, tall, steps[0], long, height)
        inputs = _along(offset % long // short, wide, steps[1], short, width)
        if offset % short == 0 and outputs is not None and inputs is not None:
            first = None if outputs == slice(0, height, 1) else outputs
            second = None if inputs == slice(0, width, 1) else inputs
            if transposed:
                return Located(name, second, first, transposed=True)
            return Located(name, first, second)
    return None


def _along(first: int, count: int, step: int, unit: int, size: int) -> slice | None:
    """Return the places of an axis that a view takes; None if it does not take places of this axis."""
    step = unit if count == 1 else step  # an axis of size 1 has any stride
    last = first + (count - 1) * (step // unit)
    return slice(first, last + 1, step // unit) if step > 0 and step % unit == 0 and last < size else None


def _stored(tensor: Tensor) -> list[Tensor]:
    """Return the tensor in memory that holds a tensor's numbers: those that are not zero, if it is sparse."""
    if tensor.layout == torch.strided:
        return [tensor]  # itself: inside torch.func, any view of it has no memory to compare
    return [part for name, part in dense_parts(tensor).items() if name in ("", "values")]


def _place(tensor: Tensor) -> tuple[object, ...]:
    return tensor.shape, tensor.stride(), tensor.storage_offset()


def tensors_in(args: tuple[Any, ...], named: dict[str, Any]) -> Iterator[Tensor]:
    """Yield the tensors among the arguments of a call, also those inside lists and dicts."""
    return (part for part in tree_leaves((args, named)) if isinstance(part, Tensor))
