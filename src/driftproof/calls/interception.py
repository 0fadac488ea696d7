"""Watch a network's own code multiply, weight by weight, and take the product over.

A product is known by its weight, not by the class of a layer: whatever a network's code does, a weight that goes into
``F.linear``, a convolution, attention or a recurrent kernel is seen there, be it in a subclass, in a parent that reads
its child's weight, or in two places.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from driftproof.calls.composites import COMPOSITES, SAMPLES_SECOND
from driftproof.calls.geometry import Dense
from driftproof.calls.products import Product, recognise


@dataclass(frozen=True)
class Located:
    """Which parameter a tensor is, or is a view of.

    Attributes:
        name: of the parameter.
        columns: which outputs of a matrix [out, …], None for all of them.
        transposed: whether the view is the transpose of the stored matrix.
        stacked: whether it is one of several matrices in the parameter.
    """

    name: str
    columns: slice | None = None
    transposed: bool = False
    stacked: bool = False


class Parameters:
    """Finds the parameter behind a tensor by the memory that it lies in: views and transposes are found too.

    Args:
        parameters: (name, parameter) pairs; one parameter may have several names, the first counts.
    """

    def __init__(self, parameters: Iterable[tuple[str, nn.Parameter]]) -> None:
        self._at: dict[int, list[tuple[str, nn.Parameter]]] = {}
        for name, parameter in parameters:
            if parameter.numel():
                self._at.setdefault(parameter.untyped_storage().data_ptr(), []).append((name, parameter))

    def owner(self, tensor: Tensor) -> tuple[str, nn.Parameter] | None:
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


class Interception(TorchFunctionMode):
    """While it is active, products with given weights are computed by someone else.

    Args:
        parameters: the weights, found anew whenever it becomes active.
        multiply: takes (where the weight is, the product, torch's own computation), returns the layer's outputs with
            bias.
        other: told of every other use of one of the weights: its name, and the function if numbers were made of it
            (nothing if only its type or shape was read).
    """

    def __init__(
        self,
        parameters: Callable[[], Parameters],
        multiply: Callable[[Located, Product, Callable[[], Tensor]], Tensor],
        other: Callable[[str, str], None] | None = None,
    ) -> None:
        super().__init__()
        self._find, self._multiply, self._other = parameters, multiply, other
        self._parameters: Parameters | None = None
        self._depth = 0
        self._samples_second = False

    def __enter__(self) -> Interception:
        """Become active; the weights are looked up where they are now."""
        if self._depth == 0:
            self._parameters = self._find()
        self._depth += 1
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(self, *error: Any) -> None:
        """Stop."""
        self._depth -= 1
        super().__exit__(*error)  # type: ignore[no-untyped-call]

    @property
    def active(self) -> bool:
        """Whether it is active."""
        return self._depth > 0

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Hand products over, take composites apart, let everything else pass."""
        named = kwargs or {}
        assert self._parameters is not None
        product = recognise(func, args, named)
        if product is not None:
            where = self._parameters.locate(product.weight)
            if where is not None:
                if self._samples_second and isinstance(product.geometry, Dense):
                    product = replace(product, sample_axis=1)
                return self._multiply(where, product, lambda: func(*args, **named))
        elif func in COMPOSITES and any(True for _ in self._owners(args, named)):
            before, self._samples_second = self._samples_second, func in SAMPLES_SECOND
            try:
                with self:
                    return COMPOSITES[func](*args, **named)
            finally:
                self._samples_second = before
        result = func(*args, **named)
        if self._other is not None:
            self._note(func, args, named, result)
        return result

    def _owners(self, args: tuple[Any, ...], named: dict[str, Any]) -> Iterable[str]:
        """Yield the names of the weights among the arguments of a call, also inside lists."""
        assert self._parameters is not None
        for value in (*args, *named.values()):
            for part in value if isinstance(value, list | tuple) else (value,):
                if isinstance(part, Tensor) and (owner := self._parameters.owner(part)) is not None:
                    yield owner[0]

    def _note(self, func: Any, args: tuple[Any, ...], named: dict[str, Any], result: Any) -> None:
        """Tell of a use that is no product: its result holds numbers made from the weight."""
        assert self._parameters is not None
        assert self._other is not None
        results = result if isinstance(result, list | tuple) else (result,)
        made = [part for part in results if isinstance(part, Tensor) and self._parameters.owner(part) is None]
        for name in set(self._owners(args, named)) if made or not any(isinstance(p, Tensor) for p in results) else ():
            self._other(name, getattr(func, "__name__", str(func)) if made else "")
