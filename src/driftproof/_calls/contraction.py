"""Products of inputs and a weight in any form of writing, as ``F.linear``: one array computes them all.

``W @ x``, ``einsum``, ``bmm``, ``tensordot`` and their kin multiply the same numbers as a layer does. Here each becomes
a *contraction*, two tensors whose axes have labels, and a contraction becomes calls of ``F.linear`` with views of the
weight. What is no matrix product, such as a sum over the weight alone, stays as it is written.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

type Labels = tuple[object, ...]


@dataclass(frozen=True)
class Contraction:
    """A sum of products of two tensors, as ``einsum`` writes it: one label for each axis.

    Attributes:
        one: The first tensor.
        other: The second one.
        axes: Labels of the axes of the first one.
        other_axes: Labels of the axes of the second one. Axes of the same label have the same size.
        out: Labels of the axes of the result. The product is summed over labels that are not there.
    """

    one: Tensor
    other: Tensor
    axes: Labels
    other_axes: Labels
    out: Labels

    def with_weight_last(self, is_weight: Callable[[Tensor], bool]) -> Contraction | None:
        """Return the contraction with the weight as ``other``; None if not exactly one tensor is a weight."""
        weights = is_weight(self.one), is_weight(self.other)
        if sum(weights) != 1:
            return None
        if weights[1]:
            return self
        return replace(self, one=self.other, axes=self.other_axes, other=self.one, other_axes=self.axes)

    @property
    def is_matrix_product(self) -> bool:
        """Whether each output is a sum of inputs times numbers of one column of a matrix, the second tensor."""
        x, w, out = set(self.axes), set(self.other_axes), set(self.out)
        distinct = len(x) == len(self.axes) and len(w) == len(self.other_axes) and len(out) == len(self.out)
        numbers = self.one.is_floating_point() and self.other.is_floating_point()
        outputs, summed = w - x, (w & x) - out
        return distinct and numbers and out <= x | w and bool(outputs) and outputs <= out and bool(summed)

    def compute(self) -> Tensor:
        """Return the result by ``F.linear`` with views of the second tensor, a matrix at a time."""
        weight, out = self.other_axes, set(self.out)
        batch = [label for label in weight if label in self.axes and label in out]
        summed = [label for label in weight if label in self.axes and label not in out]
        outputs = [label for label in weight if label not in self.axes]
        alone = [axis for axis, label in enumerate(self.axes) if label not in weight and label not in out]
        x = self.one.sum(alone) if alone else self.one
        axes = [label for label in self.axes if label in weight or label in out]
        free = [label for label in axes if label not in weight]
        x = x.permute([axes.index(label) for label in (*batch, *free, *summed)])
        matrix = self.other.permute([weight.index(label) for label in (*batch, *outputs, *summed)])
        result = _by_matrix(x, matrix, len(batch), len(outputs))
        have = [*batch, *free, *outputs]
        return result.permute([have.index(label) for label in self.out]).contiguous()


def _by_matrix(x: Tensor, weight: Tensor, batch: int, outputs: int) -> Tensor:
    """Multiply [batch …, free …, in …] by [batch …, out …, in …]; return [batch …, free …, out …].

    Args:
        x: The inputs.
        weight: The weight. It is cut into matrices that are views, since a copy would not be known as the weight.
        batch: Number of batch axes.
        outputs: Number of output axes of the weight.
    """
    if batch and (weight.stride(0) == 0 or len(weight) == 1):  # the same matrix for the whole axis
        return _by_matrix(x.movedim(0, batch - 1), weight[0], batch - 1, outputs).movedim(batch - 1, 0)
    if batch:
        pairs = zip(x.unbind(), weight.unbind(), strict=True)
        return torch.stack([_by_matrix(part, matrix, batch - 1, outputs) for part, matrix in pairs])
    inner = weight.dim() - outputs
    flat = _merged(weight, outputs)
    if flat is not None:
        y = F.linear(x.flatten(x.dim() - inner), flat)
        unflattened: Tensor = y.reshape(*y.shape[:-1], *weight.shape[:outputs])
        return unflattened
    if outputs > 1:
        parts = [_by_matrix(x, matrix, 0, outputs - 1) for matrix in weight.unbind()]
        return torch.stack(parts, dim=x.dim() - inner)
    terms = zip(x.unbind(x.dim() - inner), weight.unbind(outputs), strict=True)
    return torch.stack([_by_matrix(part, matrix, 0, outputs) for part, matrix in terms]).sum(0)


def _merged(weight: Tensor, outputs: int) -> Tensor | None:
    """Return a weight [out …, in …] as a matrix that is a view, or None if only a copy could be one."""
    if outputs == 1 and weight.dim() == 2:
        return weight
    try:
        return weight.view(math.prod(weight.shape[:outputs]), -1)
    except RuntimeError:
        return None


def _matmul(one: Tensor, other: Tensor) -> Contraction | None:
    if not one.dim() or not other.dim():
        return None
    batch = max(one.dim(), other.dim()) - 2
    a: list[object] = [*range(batch - max(one.dim() - 2, 0), batch), "m", "k"][-max(one.dim(), 1) :]
    b: list[object] = [*range(batch - max(other.dim() - 2, 0), batch), "k", "n"]
    a, b = (["k"] if one.dim() == 1 else a), (["k"] if other.dim() == 1 else b)
    out = [label for label in [*range(max(batch, 0)), "m", "n"] if label in a or label in b]
    # an axis of size 1 is repeated along the other tensor's
    for axis in range(batch):
        if axis in a and axis in b and one.shape[a.index(axis)] != other.shape[b.index(axis)]:
            if one.shape[a.index(axis)] == 1:
                one = one.squeeze(a.index(axis))
                a.remove(axis)
            else:
                other = other.squeeze(b.index(axis))
                b.remove(axis)
    return Contraction(one, other, tuple(a), tuple(b), tuple(out))


def _inner(one: Tensor, other: Tensor) -> Contraction | None:
    if not one.dim() or not other.dim():
        return None
    a, b = [f"a{axis}" for axis in range(one.dim() - 1)], [f"b{axis}" for axis in range(other.dim() - 1)]
    return Contraction(one, other, (*a, "k"), (*b, "k"), (*a, *b))


def _tensordot(one: Tensor, other: Tensor, dims: Any = 2) -> Contraction | None:
    if isinstance(dims, Tensor):
        dims = dims.tolist()
    if isinstance(dims, int):
        dims = (list(range(one.dim() - dims, one.dim())), list(range(dims)))
    first, second = ([axes] if isinstance(axes, int) else list(axes) for axes in dims)
    a: list[object] = [f"a{axis}" for axis in range(one.dim())]
    b: list[object] = [f"b{axis}" for axis in range(other.dim())]
    for number, (x, y) in enumerate(zip(first, second, strict=True)):
        a[x] = b[y] = number
    out = [label for label in (*a, *b) if not isinstance(label, int)]
    return Contraction(one, other, tuple(a), tuple(b), tuple(out))


def _swapped_linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Contraction | None:
    """Read a linear layer whose inputs are a weight, and whose weight is the inputs: (W xᵀ)."""
    return None if bias is not None or weight.dim() != 2 else _inner(input, weight)


def _einsum(equation: Any, *operands: Any) -> Contraction | None:
    """Read an equation of two tensors, with or without an ellipsis; None for any other."""
    terms, tensors = _terms(equation, operands)
    if len(terms) != 2:
        return None
    first, second = (_letters(term, part.dim()) for term, part in zip(terms, tensors, strict=True))
    both = [*first, *second]
    dots = sorted({label for label in both if isinstance(label, int)})
    arrow, right = equation.replace(" ", "").partition("->")[1:]
    if arrow:
        before, _, after = right.partition("...")
        out = [*before, *(dots if "..." in right else ()), *after]
    else:
        out = [*dots, *sorted({str(c) for c in both if isinstance(c, str) and both.count(c) == 1})]
    sizes: dict[object, int] = {}
    for label, size in zip(both, (*tensors[0].shape, *tensors[1].shape), strict=True):
        if sizes.setdefault(label, size) != size:  # an axis of size 1 that is repeated
            return None
    one, other = tensors
    return Contraction(one, other, tuple(first), tuple(second), tuple(out))


def _terms(equation: Any, operands: Sequence[Any]) -> tuple[list[str], list[Tensor]]:
    """Return the terms on the left of an equation, and its tensors; no terms if it is written in another form."""
    tensors = list(operands[0] if len(operands) == 1 and isinstance(operands[0], list | tuple) else operands)
    terms = equation.replace(" ", "").partition("->")[0].split(",") if isinstance(equation, str) else []
    return (terms, tensors) if len(terms) == len(tensors) else ([], tensors)


def _letters(term: str, dims: int) -> list[object]:
    """Return the labels of a term; those of an ellipsis are numbers, counted back from −1."""
    before, dots, after = term.partition("...")
    return [*before, *range(len(before) + len(after) - dims, 0), *after] if dots else list(term)


_READERS: dict[Callable[..., Any], Callable[..., Contraction | None]] = {
    **dict.fromkeys((torch.matmul, Tensor.matmul, Tensor.__matmul__, torch.linalg.matmul), _matmul),
    **dict.fromkeys((torch.mm, Tensor.mm, torch.mv, Tensor.mv, torch.bmm, Tensor.bmm), _matmul),
    Tensor.__rmatmul__: lambda one, other: _matmul(other, one),
    **dict.fromkeys((torch.inner, Tensor.inner), _inner),
    torch.tensordot: _tensordot,
    torch.einsum: _einsum,
    F.linear: _swapped_linear,
}


def _added(batched: bool) -> Callable[..., tuple[Contraction | None, Callable[[Tensor], Tensor]]]:
    """Return a reader of ``addmm`` and its kin: the product, and what is made of it.

    Args:
        batched: Whether the products of a batch are summed (``addbmm``).
    """

    def read(
        input: Tensor, one: Tensor, other: Tensor, *, beta: float = 1, alpha: float = 1
    ) -> tuple[Contraction | None, Callable[[Tensor], Tensor]]:
        product = _matmul(one, other)
        if batched and product is not None:
            product = replace(product, out=("m", "n"))

        def finish(y: Tensor) -> Tensor:
            scaled = y if alpha == 1 else alpha * y
            return scaled if beta == 0 else input + scaled if beta == 1 else beta * input + scaled

        return product, finish

    return read


_ADDED = {
    getattr(kind, name): _added(name == "addbmm")
    for kind in (torch, Tensor)
    for name in ("addmm", "addmv", "addbmm", "baddbmm")
}
_IN_PLACE = {getattr(Tensor, f"{name}_"): getattr(torch, name) for name in ("addmm", "addmv", "addbmm", "baddbmm")}


def as_linear(
    function: Callable[..., Any], args: Sequence[Any], named: dict[str, Any], is_weight: Callable[[Tensor], bool]
) -> Callable[[], Tensor] | None:
    """Return a computation of the same result by ``F.linear``, if a function multiplies inputs by one weight.

    Args:
        function: Function of torch that was called.
        args: Its positional arguments.
        named: Its keyword arguments.
        is_weight: Function that tells whether a tensor is a weight, or a view of one.

    Returns:
        A function without arguments, or None if the call is no such product.

    >>> x, weight = torch.rand(3, 4), torch.rand(2, 3)
    >>> compute = as_linear(torch.matmul, (weight, x), {}, lambda part: part is weight)
    >>> torch.allclose(compute(), weight @ x)
    True
    """
    named = {name: value for name, value in named.items() if name != "out" or value is not None}
    read = _READERS.get(function) or _ADDED.get(function)
    if function in _IN_PLACE:
        read = _ADDED[_IN_PLACE[function]]
    several = function in _CHAINS or function is torch.einsum
    if (read is None and not several) or not _has_weight((*args, *named.values()), is_weight):
        return None
    if function in _CHAINS:
        return None if named else _chain(list(args[0] if len(args) == 1 else args), is_weight)
    if function is torch.einsum and (pairs := _in_pairs(*args, **named)) is not None:
        return pairs
    assert read is not None
    if function is F.linear and not is_weight(args[0] if args else named["input"]):
        return None
    try:
        made = read(*args, **named)
    except (TypeError, ValueError):  # a wrong call, on which torch raises its own error, or another form, such as out=
        return None
    product, finish = made if isinstance(made, tuple) else (made, _same)
    product = None if product is None else product.with_weight_last(is_weight)
    if product is None or not product.is_matrix_product:
        return None
    chosen = product
    if function in _IN_PLACE:
        return lambda: args[0].copy_(finish(chosen.compute()))
    return lambda: finish(chosen.compute())


def _chain(parts: list[Tensor], is_weight: Callable[[Tensor], bool]) -> Callable[[], Tensor] | None:
    """Return the product of several matrices, computed from the one that is no weight, first to its right."""
    first = next((place for place, part in enumerate(parts) if not is_weight(part)), None)
    if first is None:
        return None
    left, inputs, right = parts[:first], parts[first], parts[first + 1 :]

    def compute() -> Tensor:
        total = reduce(torch.matmul, right, inputs)
        return reduce(lambda so_far, part: torch.matmul(part, so_far), reversed(left), total)

    return compute


def _in_pairs(equation: Any, *operands: Any) -> Callable[[], Tensor] | None:
    """Return an equation of three or more tensors as equations of two, from left to right."""
    terms, tensors = _terms(equation, operands)
    left, arrow, out = (equation if isinstance(equation, str) else "").replace(" ", "").partition("->")
    if len(terms) < 3 or "." in left:
        return None
    if not arrow:
        letters = left.replace(",", "")
        out = "".join(sorted({c for c in letters if letters.count(c) == 1}))

    def compute() -> Tensor:
        total, term = tensors[0], terms[0]
        for place in range(1, len(terms)):
            later = set("".join([out, *terms[place + 1 :]]))
            kept = "".join(dict.fromkeys(c for c in term + terms[place] if c in later))
            kept = out if place == len(terms) - 1 else kept
            total, term = torch.einsum(f"{term},{terms[place]}->{kept}", total, tensors[place]), kept
        return total

    return compute


def _has_weight(values: Sequence[Any], is_weight: Callable[[Tensor], bool]) -> bool:
    flat = (part for value in values for part in (value if isinstance(value, list | tuple) else (value,)))
    return any(isinstance(part, Tensor) and is_weight(part) for part in flat)


def _same(y: Tensor) -> Tensor:
    return y


_CHAINS = {torch.linalg.multi_dot, torch.chain_matmul}
"""Functions that multiply several matrices in the order that is fastest."""
