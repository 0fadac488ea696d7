"""Watch a network's own code multiply, weight by weight, and take the product over.

A product is recognised by its weight, not by the class of a layer. Whatever a network's code does, a weight that goes
into ``F.linear``, a convolution, attention, a recurrent kernel, ``einsum`` or ``W @ x`` is seen there: in a subclass,
in a parent that reads its child's weight, in two places, or after the code has made another weight of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from torch import Tensor
from torch.overrides import TorchFunctionMode

from driftproof._calls.composites import COMPOSITES, SAMPLES_SECOND
from driftproof._calls.contraction import as_linear
from driftproof._calls.geometry import Dense
from driftproof._calls.made import Made
from driftproof._calls.others import Others
from driftproof._calls.parameters import Located, Parameters, tensors_in
from driftproof._calls.parts import by_the_whole, driven_share, needs_the_whole
from driftproof._calls.products import WEIGHT_BY_NAME, Product, recognise
from driftproof._calls.vectorised import with_hidden_axis


class Interception(TorchFunctionMode):
    """A function mode that hands products with given weights over to a function.

    Args:
        parameters: Function that returns the weights. It is called whenever the mode becomes active.
        multiply: Function that takes (where the weight is, the product, torch's own computation) and returns the
            layer's outputs with bias.
        fixed: Function that returns all parameters and buffers; with it, weights that are made of them are recognised,
            too (default: None).
        others: Notes of everything else that the network's code does (default: none are taken).
    """

    def __init__(
        self,
        parameters: Callable[[], Parameters],
        multiply: Callable[[Located, Product, Callable[[], Tensor]], Tensor],
        *,
        fixed: Callable[[], Parameters] | None = None,
        others: Others | None = None,
    ) -> None:
        super().__init__()
        self._find, self._multiply, self._find_fixed, self._others = parameters, multiply, fixed, others
        self._parameters: Parameters | None = None
        self._made: Made | None = None
        self._depth = 0
        self._samples_second = False
        self._driven = 1.0

    def __enter__(self) -> Interception:
        """Become active; the weights are looked up where they are now."""
        if not self.active:
            self._parameters = self._find()
            hidden = self._others is not None
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

    @property
    def _weights(self) -> Parameters:
        assert self._parameters is not None
        return self._parameters

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Hand products over, take composites apart, and let everything else pass."""
        named = kwargs or {}
        product = recognise(func, args, named)
        where = None if product is None else self._locate(product, args, named)
        compute = self._in_layers(func, args, named, product, where)
        if compute is not None:
            before = self._samples_second, self._driven
            self._samples_second |= func in SAMPLES_SECOND
            if where is not None and product is not None:
                self._driven *= driven_share(where, product, self._weights.get(where.name))
            try:
                with self:
                    return compute()
            finally:
                self._samples_second, self._driven = before
        if product is not None and where is not None and not needs_the_whole(where, product):
            return self._hand_over(where, product, func, args, named)
        if self._made is None:
            return func(*args, **named)
        if self._others is None:
            result = func(*args, **named)
            self._made.follow(func.__name__, list(tensors_in(args, named)), list(tensors_in((result,), {})))
            return result
        return self._others.run(func, args, named, product, self._made, self._weights)

    def _in_layers(
        self, func: Any, args: tuple[Any, ...], named: dict[str, Any], product: Product | None, where: Located | None
    ) -> Callable[[], Any] | None:
        """Return a call of torch as code whose individual products can be seen, or None if it is one, or has none."""
        weights = self._weights
        if product is not None:
            compute = with_hidden_axis(product, lambda x: func(x, *args[1:], **named))
            if compute is None and where is not None and needs_the_whole(where, product):
                compute = by_the_whole(where, product, weights.get(where.name), func, args, named)
            if compute is not None or where is not None:
                return compute
        if func in COMPOSITES and any(weights.owner(part) is not None for part in tensors_in(args, named)):
            return lambda: COMPOSITES[func](*args, **named)
        if (
            self._others is not None
            and self._made is not None
            and any(map(self._made.is_product, tensors_in(args, named)))
        ):
            return None  # a product of weights with another weight: still the same in every call
        return as_linear(func, args, named, self._is_weight)

    def _is_weight(self, tensor: Tensor) -> bool:
        """Return whether a tensor is a weight, a view of one, or what the network's code made of one."""
        made = self._made is not None and self._made.locate(tensor) is not None
        return made or self._weights.owner(tensor) is not None

    def _locate(self, product: Product, args: tuple[Any, ...], named: dict[str, Any]) -> Located | None:
        """Return the parameter that a product's weight is, or was made from.

        For the latter, tensors are searched as they were given: ``product.weight`` may be a view that recognising made.
        """
        where = self._weights.locate(product.weight)
        if where is not None or self._made is None:
            return where
        given: Iterator[Tensor] = tensors_in(args[1:], named)
        part = next((part for part in given if self._made.locate(part)), None)
        return None if part is None or part is product.bias else self._made.locate(part)

    def _hand_over(
        self, where: Located, product: Product, func: Any, args: tuple[Any, ...], named: dict[str, Any]
    ) -> Tensor:
        """Let a product be computed, and follow the result if it is a product of weights alone."""
        if self._driven != 1:
            product = replace(product, driven=self._driven)
        if self._samples_second and isinstance(product.geometry, Dense):
            product = replace(product, sample_axis=1)
        # a layer: the function names the weight, or adds a bias to vectors
        layer = func in WEIGHT_BY_NAME or (product.bias is not None and product.bias.dim() == 1)
        if self._others is None:
            outputs = self._multiply(where, product, lambda: func(*args, **named))
            if self._made is not None:
                self._made.combine(list(tensors_in(args, named)), [outputs], layer=layer)
            return outputs
        assert self._made is not None
        if not layer and self._made.constant(product.inputs):
            product = replace(product, constant=True)
        outputs = self._others.product(
            lambda: self._multiply(where, product, lambda: func(*args, **named)), product.constant
        )
        self._made.combine(list(tensors_in(args, named)), [outputs], layer=layer)
        if product.constant:
            given = [product.inputs] if product.bias is None else [product.inputs, product.bias]
            for source in sorted(frozenset().union(*(self._made.sources(part) for part in given))):
                self._others.use(source, func.__name__, None)
        return outputs
