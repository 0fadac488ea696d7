"""Products by some rows and columns of a weight, as products by the whole weight: its array is driven as a whole.

A row that is not driven adds nothing, so the inputs are padded with zeros. Columns that are not wanted are left out of
the result.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor
from torch.nn import functional as F

from driftproof._calls.geometry import Dense
from driftproof._calls.parameters import Located
from driftproof._calls.products import Product


def needs_the_whole(where: Located, product: Product) -> bool:
    """Return whether an array cannot multiply by this part of its weight alone: it reads columns side by side."""
    columns = where.columns
    if where.rows is not None or (columns is not None and columns.step not in (None, 1)):
        return True
    layout = product.geometry.layout
    return (
        columns is not None and not isinstance(product.geometry, Dense) and (layout.inputs_first or layout.groups > 1)
    )


def driven_share(where: Located, product: Product, parameter: Tensor) -> float:
    """Return the share of the matrix that a product by part of it stands for, where the whole is multiplied by.

    It is the share of the rows that are driven, times that of the columns that are wanted if all are read.
    """
    first = product.geometry.layout.inputs_first
    height, width = parameter.shape[0], parameter.shape[1]
    if isinstance(product.geometry, Dense):
        height, width = (width, height) if where.transposed else (height, parameter[0].numel())
    outputs, rows, size = (
        (where.rows, where.columns, (width, height)) if first else (where.columns, where.rows, (height, width))
    )
    share = 1.0 if rows is None else _count(rows) / size[1]
    all_are_read = first or (outputs is not None and outputs.step not in (None, 1))
    return share * _count(outputs) / size[0] if outputs is not None and all_are_read else share


def _count(part: slice) -> int:
    return len(range(part.stop)[part])


def by_the_whole(
    where: Located, product: Product, parameter: Tensor, function: Any, args: Sequence[Any], named: dict[str, Any]
) -> Callable[[], Tensor] | None:
    """Return a computation of a product by part of a weight that multiplies by the whole weight.

    Args:
        where: Which rows and columns the product takes.
        product: The product.
        parameter: The whole weight.
        function: Function of torch that computes the product.
        args: Its positional arguments.
        named: Its keyword arguments.

    Returns:
        A function without arguments; None for part of a weight with groups, whose channels belong together otherwise.
    """
    layout, inputs, bias = product.geometry.layout, product.inputs, product.bias
    if isinstance(product.geometry, Dense):
        matrix = parameter if parameter.dim() == 2 else parameter.flatten(1)
        matrix = matrix.t() if where.transposed else matrix
        columns, after = _side_by_side(where.columns)

        def dense() -> Tensor:
            x = _spread(inputs, -1, where.rows, matrix.shape[1])
            y = F.linear(x, matrix if columns is None else matrix[columns])
            y = y if after is None else y[..., after]
            return y if bias is None else y + bias

        return dense
    if layout.groups > 1:
        return None
    axis = -1 - len(product.geometry.kernel)
    outputs, rows = (where.rows, where.columns) if layout.inputs_first else (where.columns, where.rows)
    columns, after = (None, outputs) if layout.inputs_first else _side_by_side(outputs)

    def convolution() -> Tensor:
        x = _spread(inputs, axis, rows, parameter.shape[0 if layout.inputs_first else 1])
        weight = parameter if columns is None else parameter[columns]
        rest = {name: value for name, value in named.items() if name not in ("input", "weight", "bias")}
        y: Tensor = function(x, weight, None, *args[3:], **rest)
        y = y if after is None else y.movedim(axis, -1)[..., after].movedim(-1, axis).contiguous()
        return product.add_bias(y)

    return convolution


def _side_by_side(columns: slice | None) -> tuple[slice | None, slice | None]:
    """Return the columns to multiply by, and those to take from the result: all are multiplied if there are gaps."""
    return (None, columns) if columns is not None and columns.step not in (None, 1) else (columns, None)


def _spread(inputs: Tensor, axis: int, rows: slice | None, size: int) -> Tensor:
    """Return inputs with zeros for the rows that are not driven."""
    if rows is None:
        return inputs
    shape = list(inputs.shape)
    shape[axis] = size
    x = inputs.new_zeros(shape)
    x.movedim(axis, -1)[..., rows] = inputs.movedim(axis, -1)
    return x
