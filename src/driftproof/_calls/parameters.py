"""Find the parameter that a tensor is, or is a view of."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor
from torch.utils._pytree import tree_leaves

from driftproof._calls.geometry import Geometry
from driftproof._calls.layout import Layout


@dataclass(frozen=True)
class Located:
    """The parameter that a tensor is, or is a view of.

    Attributes:
        name: Name of the parameter.
        columns: Outputs of the matrix [out, …] that the view holds; None for all of them.
        transposed: Whether the view is the transpose of the stored matrix.
        stacked: Whether the view is one of several matrices in the parameter.
        made: Whether the tensor was computed from the parameter (standardised, quantised, …) and is as large.
    """

    name: str
    columns: slice | None = None
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
            if parameter.numel():
                self._at.setdefault(parameter.untyped_storage().data_ptr(), []).append((name, parameter))

    def size(self, name: str) -> int:
        """Return the number of elements of a parameter."""
        return self._sizes[name]

    def owner(self, tensor: Tensor) -> tuple[str, Tensor] | None:
        """Return the parameter that a tensor shares memory with, and its name; None if there is none."""
        try:
            nearby = self._at.get(tensor.untyped_storage().data_ptr(), ())
        except (NotImplementedError, RuntimeError):  # sparse and other tensors without a storage
            return None
        for name, parameter in nearby:
            if 0 <= tensor.storage_offset() - parameter.storage_offset() < parameter.numel():
                return name, parameter
        return None

    def locate(self, tensor: Tensor) -> Located | None:
        """Return the parameter, and which of its columns, that a weight [out, in] or [out, in, *kernel] is.

        Return None if the weight belongs to no parameter, or does not consist of whole columns.
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
        first, rest = divmod(int(tensor.storage_offset()) - int(parameter.storage_offset()), parameter[0].numel())
        if rest:
            return None
        if parameter.dim() == 3 and tensor.dim() == 2:
            for matrix, transposed in ((parameter[0], False), (parameter[0].t(), True)):
                if (tensor.shape, tensor.stride()) == (matrix.shape, matrix.stride()):
                    outputs = len(matrix)
                    return Located(name, slice(first * outputs, (first + 1) * outputs), transposed, stacked=True)
        if not tensor.is_contiguous() or tensor[0].numel() != parameter[0].numel():
            return None
        return Located(name, None if len(tensor) == len(parameter) else slice(first, first + len(tensor)))


def _place(tensor: Tensor) -> tuple[object, ...]:
    return tensor.shape, tensor.stride(), tensor.storage_offset()


def tensors_in(args: tuple[Any, ...], named: dict[str, Any]) -> Iterator[Tensor]:
    """Yield the tensors among the arguments of a call, also those inside lists and dicts."""
    return (part for part in tree_leaves((args, named)) if isinstance(part, Tensor))
