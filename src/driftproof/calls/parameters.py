"""Which parameter a tensor is, or is a view of."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from driftproof.calls.geometry import Geometry
from driftproof.calls.layout import Layout


@dataclass(frozen=True)
class Located:
    """Which parameter a tensor is, or is a view of.

    Attributes:
        name: of the parameter.
        columns: which outputs of a matrix [out, …], None for all of them.
        transposed: whether the view is the transpose of the stored matrix.
        stacked: whether it is one of several matrices in the parameter.
        made: whether it was computed from the parameter (standardised, quantised, …) and is as large as that.
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
    """Finds the parameter behind a tensor by the memory that it lies in: views and transposes are found too.

    Args:
        parameters: (name, parameter) pairs; one parameter may have several names, the first counts.
    """

    def __init__(self, parameters: Iterable[tuple[str, Tensor]]) -> None:
        self._at: dict[int, list[tuple[str, Tensor]]] = {}
        self._sizes: dict[str, int] = {}
        for name, parameter in parameters:
            self._sizes[name] = parameter.numel()
            if parameter.numel():
                self._at.setdefault(parameter.untyped_storage().data_ptr(), []).append((name, parameter))

    def size(self, name: str) -> int:
        """Return how many numbers a parameter has."""
        return self._sizes[name]

    def owner(self, tensor: Tensor) -> tuple[str, Tensor] | None:
        """Return the parameter that a tensor shares memory with."""
        try:
            found = self._at.get(tensor.untyped_storage().data_ptr())
        except (NotImplementedError, RuntimeError):  # sparse and other tensors without a storage
            return None
        if not found:
            return None
        start = tensor.storage_offset()
        for name, parameter in found:
            if parameter.storage_offset() <= start < parameter.storage_offset() + parameter.numel():
                return name, parameter
        return None

    def locate(self, tensor: Tensor) -> Located | None:
        """Return which parameter, and which of its columns, a weight [out, in] or [out, in, *kernel] is.

        None if it is none, or a part that is not whole columns.
        """
        owner = self.owner(tensor)
        if owner is None:
            return None
        name, parameter = owner
        at = (tensor.shape, tensor.stride(), tensor.storage_offset())
        if at == (parameter.shape, parameter.stride(), parameter.storage_offset()):
            return Located(name)
        if parameter.dim() == 2 and at == (parameter.t().shape, parameter.t().stride(), parameter.storage_offset()):
            return Located(name, transposed=True)
        start = int(tensor.storage_offset()) - int(parameter.storage_offset())
        if not parameter.is_contiguous() or tensor.dim() < 2:
            return None
        if parameter.dim() == 3 and tensor.dim() == 2 and not start % parameter[0].numel():
            whole, place = parameter[0], start // parameter[0].numel()
            for transposed in (False, True):
                matrix = whole.t() if transposed else whole
                if (tensor.shape, tensor.stride()) == (matrix.shape, matrix.stride()):
                    outputs = len(matrix)
                    return Located(name, slice(place * outputs, (place + 1) * outputs), transposed, stacked=True)
        width = parameter[0].numel()
        first, rest = divmod(start, width)
        if rest or not tensor.is_contiguous() or tensor[0].numel() != width:
            return None
        if len(tensor) == len(parameter):
            return Located(name)
        return Located(name, slice(first, first + len(tensor)))


def tensors_in(args: tuple[Any, ...], named: dict[str, Any]) -> Iterator[Tensor]:
    """Yield the tensors among the arguments of a call, also inside lists."""
    for value in (*args, *named.values()):
        for part in value if isinstance(value, list | tuple) else (value,):
            if isinstance(part, Tensor):
                yield part
