"""Watch a network's own code multiply, weight by weight, and take the product over.

A product is recognised by its weight, not by the class of a layer. Whatever a network's code does, a weight that goes
into ``F.linear``, a convolution, attention or a recurrent kernel is seen there: in a subclass, in a parent that reads
its child's weight, in two places, or after the code has made another weight of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from driftproof._calls.composites import COMPOSITES, SAMPLES_SECOND
from driftproof._calls.contraction import as_linear
from driftproof._calls.counting import counted
from driftproof._calls.geometry import Dense
from driftproof._calls.made import Made
from driftproof._calls.parameters import Located, Parameters, tensors_in
from driftproof._calls.parts import by_the_whole, needs_the_whole
from driftproof._calls.products import WEIGHT_BY_NAME, Product, recognise
from driftproof._calls.vectorised import with_hidden_axis

_ATTENTION = {F.scaled_dot_product_attention}
_ADDING = {getattr(kind, name) for kind in (torch, Tensor) for name in ("addmm", "addmv", "addbmm", "baddbmm")}


class Interception(TorchFunctionMode):
    """A function mode that hands products with given weights over to a function.

    Args:
        parameters: Function that returns the weights. It is called whenever the mode becomes active.
        multiply: Function that takes (where the weight is, the product, torch's own computation) and returns the
            layer's outputs with bias.
        fixed: Function that returns all parameters and buffers; with it, weights that are made of them are recognised,
            too (default: None).
        other: Function that is called for every other use of one of the weights (default: None). It takes the weight's
            name, the function's name and the multiply-accumulates. The function's name is empty if only the weight's
            type or shape was read. The number is None if the weight was combined with other parameters only, so that
            the result is the same in every call.
    """

    def __init__(
        self,
        parameters: Callable[[], Parameters],
        multiply: Callable[[Located, Product, Callable[[], Tensor]], Tensor],
        *,
        fixed: Callable[[], Parameters] | None = None,
        other: Callable[[str, str, float | None], None] | None = None,
    ) -> None:
        super().__init__()
        self._find, self._multiply, self._find_fixed, self._other = parameters, multiply, fixed, other
        self._parameters: Parameters | None = None
        self._made: Made | None = None
        self._depth = 0
        self._samples_second = False

    def __enter__(self) -> Interception:
        """Become active; the weights are looked up where they are now."""
        if not self.active:
            self._parameters = self._find()
            hidden = self._other is not None
            self._made = Made(self._parameters, self._find_fixed(), hidden=hidden) if self._find_fixed else None
        self._depth += 1
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(self, *error: Any) -> None:
        """Stop."""
        self._depth -= 1
        if not self.active and self._made is not None:
            self._made.forget()
        super().__exit__(*error)  # type: ignore[no-untyped-call]

    @property
    def active(self) -> bool:
        """Whether the mode is active."""
        return self._depth > 0

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Hand products over, take composites apart, and let everything else pass."""
        named = kwargs or {}
        weights = self._parameters
        assert weights is not None
        product = recognise(func, args, named)
        if product is not None:
            compute = with_hidden_axis(product, lambda x: func(x, *args[1:], **named))
            if compute is not None:
                with self:
                    return compute()
            where = weights.locate(product.weight) or self._locate_made(product, tensors_in(args[1:], named))
            if where is not None and needs_the_whole(where, product):
                compute = by_the_whole(where, product, weights.get(where.name), func, args, named)
                if compute is not None:
                    with self:
                        return compute()
            elif where is not None:
                return self._hand_over(where, product, func, args, named)
        elif func in COMPOSITES and any(weights.owner(part) is not None for part in tensors_in(args, named)):
            before, self._samples_second = self._samples_second, func in SAMPLES_SECOND
            try:
                with self:
                    return COMPOSITES[func](*args, **named)
            finally:
                self._samples_second = before
        as_layer = as_linear(func, args, named, self._is_weight)
        if as_layer is not None:
            with self:
                return as_layer()
        if self._made is None:
            return func(*args, **named)
        parts = list(tensors_in(args, named))
        if self._other is None or not self._made.mixes(parts):
            result, macs = func(*args, **named), 0.0
        else:
            result, macs = counted(lambda: func(*args, **named))
        factors, weight = parts, None
        if func in _ATTENTION:
            factors = []
        elif product is not None and func in WEIGHT_BY_NAME:
            factors, weight = [product.inputs, product.weight], product.weight
        elif func in _ADDING:
            factors = [part for part in parts if part is not (args[0] if args else named.get("input"))]
        self._note(func, parts, result, macs, factors, weight)
        return result

    def _is_weight(self, tensor: Tensor) -> bool:
        """Return whether a tensor is a weight, a view of one, or what the network's code made of one."""
        assert self._parameters is not None
        made = self._made is not None and self._made.locate(tensor) is not None
        return made or self._parameters.owner(tensor) is not None

    def _locate_made(self, product: Product, given: Iterator[Tensor]) -> Located | None:
        """Return the parameter that a product's weight was made from.

        The tensors are searched as they were given: ``product.weight`` may be a view that recognising made.
        """
        if self._made is None:
            return None
        part = next((part for part in given if self._made.locate(part)), None)
        return None if part is None or part is product.bias else self._made.locate(part)

    def _hand_over(
        self, where: Located, product: Product, func: Any, args: tuple[Any, ...], named: dict[str, Any]
    ) -> Tensor:
        """Let a product be computed, and follow the result if it is a product of weights alone."""
        if self._samples_second and isinstance(product.geometry, Dense):
            product = replace(product, sample_axis=1)
        # a layer: the function names the weight, or adds a bias to vectors
        layer = func in WEIGHT_BY_NAME or (product.bias is not None and product.bias.dim() == 1)
        if self._other is not None and self._made is not None and not layer and self._made.constant(product.inputs):
            product = replace(product, constant=True)
        outputs = self._multiply(where, product, lambda: func(*args, **named))
        if self._made is not None:
            self._made.combine(list(tensors_in(args, named)), [outputs], layer=layer)
            if product.constant and self._other is not None:
                given = [product.inputs] if product.bias is None else [product.inputs, product.bias]
                for source in sorted(frozenset().union(*(self._made.sources(part) for part in given))):
                    self._other(source, func.__name__, None)
        return outputs

    def _note(
        self, func: Any, parts: list[Tensor], result: Any, macs: float, factors: list[Tensor], weight: Tensor | None
    ) -> None:
        """Follow what is made of the weights, and report uses that are not products that were handed over."""
        assert self._made is not None
        assert self._parameters is not None
        name = getattr(func, "__name__", str(func))
        results = list(tensors_in((result,), {}))
        hidden = self._made.hidden(parts, factors, weight) if macs else frozenset()
        alone = self._made.alone(parts)
        used = self._made.follow(name, parts, results, layer=func in WEIGHT_BY_NAME) | hidden
        if self._other is None:
            return
        if func in _ATTENTION:
            macs = 0.0  # a product of activations, even where one of them is a parameter
        whole = sum(self._parameters.size(source) for source in used)
        for source in sorted(used):
            # several weights in one call: each gets a share in proportion to its size, so that nothing counts twice
            self._other(source, name, None if alone else macs * self._parameters.size(source) / whole)
        if not results:
            for part in parts:
                if (owner := self._parameters.owner(part)) is not None:
                    self._other(owner[0], "", 0.0)
