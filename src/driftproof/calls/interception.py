"""Watch a network's own code multiply, weight by weight, and take the product over.

A product is known by its weight, not by the class of a layer: whatever a network's code does, a weight that goes into
``F.linear``, a convolution, attention or a recurrent kernel is seen there, be it in a subclass, in a parent that reads
its child's weight, in two places, or after the code has made another weight of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from driftproof.calls.composites import COMPOSITES, SAMPLES_SECOND
from driftproof.calls.counting import counted
from driftproof.calls.geometry import Dense
from driftproof.calls.made import Made
from driftproof.calls.parameters import Located, Parameters, tensors_in
from driftproof.calls.products import WEIGHT_BY_NAME, Product, recognise

_ATTENTION = {F.scaled_dot_product_attention}
_ADDING = {getattr(kind, name) for kind in (torch, Tensor) for name in ("addmm", "addmv", "addbmm", "baddbmm")}


class Interception(TorchFunctionMode):
    """While it is active, products with given weights are computed by someone else.

    Args:
        parameters: the weights, found anew whenever it becomes active.
        multiply: takes (where the weight is, the product, torch's own computation), returns the layer's outputs with
            bias.
        fixed: all parameters and buffers, if weights that are made of them are to be found too.
        other: told of every other use of one of the weights: its name, the function if numbers were made of it
            together with something else (nothing if only its type or shape was read), and the multiply-accumulates of
            that; None if nothing else was in it than parameters, so that it is the same at every call.
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
        if self._depth == 0:
            self._parameters = self._find()
            self._made = None
            if self._find_fixed:
                self._made = Made(self._parameters, self._find_fixed(), hidden=self._other is not None)
        self._depth += 1
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(self, *error: Any) -> None:
        """Stop."""
        self._depth -= 1
        if self._depth == 0 and self._made is not None:
            self._made.forget()
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
        weights = self._parameters
        assert weights is not None
        product = recognise(func, args, named)
        if product is not None:
            where = weights.locate(product.weight)
            if where is None and self._made is not None:
                # the tensor as it was given: what Product has may be a view that recognising made
                given = next((part for part in tensors_in(args[1:], named) if self._made.locate(part)), None)
                where = self._made.locate(given) if given is not None and given is not product.bias else None
            if where is not None:
                if self._samples_second and isinstance(product.geometry, Dense):
                    product = replace(product, sample_axis=1)
                if self._other is not None and self._is_constant(func, product):
                    product = replace(product, constant=True)
                outputs = self._multiply(where, product, lambda: func(*args, **named))
                if self._made is not None:
                    self._combine(func, product, list(tensors_in(args, named)), outputs)
                return outputs
        elif func in COMPOSITES and any(weights.owner(part) is not None for part in tensors_in(args, named)):
            before, self._samples_second = self._samples_second, func in SAMPLES_SECOND
            try:
                with self:
                    return COMPOSITES[func](*args, **named)
            finally:
                self._samples_second = before
        if self._made is None:
            return func(*args, **named)
        parts = list(tensors_in(args, named))
        if self._other is None or not self._made.mixes(parts):
            result, macs = func(*args, **named), 0.0
        else:
            result, macs = counted(lambda: func(*args, **named))
        factors, weight = parts, None
        if product is not None and func in WEIGHT_BY_NAME:
            factors, weight = [product.inputs, product.weight], product.weight
        elif func in _ADDING:
            factors = [part for part in parts if part is not (args[0] if args else named.get("input"))]
        self._note(func, parts, result, macs, [] if func in _ATTENTION else factors, weight)
        return result

    def _is_constant(self, func: Any, product: Product) -> bool:
        return self._made is not None and not _is_layer(func, product) and self._made.constant(product.inputs)

    def _combine(self, func: Any, product: Product, parts: list[Tensor], outputs: Tensor) -> None:
        """Follow a product that was handed over, if it is one of weights alone."""
        assert self._made is not None
        self._made.combine(parts, [outputs], layer=_is_layer(func, product))
        if product.constant and self._other is not None:
            given = [product.inputs] if product.bias is None else [product.inputs, product.bias]
            for source in sorted(frozenset().union(*(self._made.sources(part) for part in given))):
                self._other(source, func.__name__, None)

    def _note(
        self, func: Any, parts: list[Tensor], result: Any, macs: float, factors: list[Tensor], weight: Tensor | None
    ) -> None:
        """Follow what is made of the weights, and tell of uses that are no product that was handed over."""
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
            # what several weights are in is counted once: each has the share that it has of their numbers
            self._other(source, name, None if alone else macs * self._parameters.size(source) / whole)
        if not results:
            for part in parts:
                if (owner := self._parameters.owner(part)) is not None:
                    self._other(owner[0], "", 0.0)


def _is_layer(func: Any, product: Product) -> bool:
    """Return whether a function computes a layer: it says which argument is the weight, or adds a bias to vectors."""
    return func in WEIGHT_BY_NAME or (product.bias is not None and product.bias.dim() == 1)
