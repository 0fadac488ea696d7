"""What a network's code does beside the products that an array computes: counted, and named by what it multiplies."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils._pytree import tree_leaves

from driftproof._calls.counting import MacCounter
from driftproof._calls.made import Made
from driftproof._calls.one_by_one import OneByOne
from driftproof._calls.origins import Origins
from driftproof._calls.parameters import Parameters, tensors_in
from driftproof._calls.products import WEIGHT_BY_NAME, Product

_ATTENTION = {F.scaled_dot_product_attention}
_ADDING = {getattr(kind, name) for kind in (torch, Tensor) for name in ("addmm", "addmv", "addbmm", "baddbmm")}
_LEAVING = {"numpy", "tolist", "__array__", "data_ptr", "__dlpack__", "item", "__float__"}
UNKNOWN = math.nan
"""Multiply-accumulates that cannot be counted."""


@dataclass
class Rest:
    """Products that no weight of a layer is in, by what they multiply.

    Attributes:
        macs: Their multiply-accumulates over all calls and samples; NaN if they cannot be counted.
        functions: Names of the functions that multiplied.
        modules: Paths of the modules whose code multiplied.
        shape: Shape of the fixed tensor; empty if there is none.
        takes_weights: Whether it is, or may be, more than products of activations with activations.
    """

    macs: float = 0.0
    functions: set[str] = field(default_factory=set)
    modules: set[str] = field(default_factory=set)
    shape: tuple[int, ...] = ()
    takes_weights: bool = True

    def add(self, other: Rest) -> None:
        """Add other products to these."""
        self.macs += other.macs
        self.functions |= other.functions
        self.modules |= other.modules


@dataclass
class Leftover:
    """All products that no weight of a layer is in.

    Attributes:
        fixed: Name of a buffer, of an attribute, or of a parameter that is no matrix → products of inputs with it. The
            name is empty for tensors that are kept elsewhere.
        kernels: Convolutions and linear layers whose weight the network makes of its inputs.
        activations: Products of activations with activations, such as attention's.
        hidden: Products in code that cannot be watched.
        foreign: Name of an operator of another package, or of a way out of torch → its calls.
        threads: Paths of modules that ran in another thread, where nothing is watched.
    """

    fixed: dict[str, Rest] = field(default_factory=dict)
    kernels: Rest = field(default_factory=Rest)
    activations: Rest = field(default_factory=Rest)
    hidden: Rest = field(default_factory=Rest)
    foreign: dict[str, Rest] = field(default_factory=dict)
    threads: set[str] = field(default_factory=set)


class Others:
    """Run what is no product for an array, count it, and note what it multiplies.

    Args:
        inputs: The network's inputs.
        fixed: All tensors that are the same in every call: parameters, buffers and attributes of modules.
        use: Function that is called for every use of a weight that is no product for an array. It takes the weight's
            name, the function's name and the multiply-accumulates. The function's name is empty if only the weight's
            type or shape was read. The number is None if the weight was combined with other parameters only, so that
            the result is the same in every call; it is NaN if it cannot be counted.
        module: Function that returns the path of the module whose code runs.

    Attributes:
        counter: Counter of all multiply-accumulates.
        left: Products that no weight of a layer is in.
    """

    def __init__(
        self,
        inputs: Sequence[Tensor],
        fixed: Parameters,
        use: Callable[[str, str, float | None], None],
        module: Callable[[], str],
    ) -> None:
        self.use, self._fixed, self._module = use, fixed, module
        self.counter, self.left, self._origins = MacCounter(), Leftover(), Origins(inputs, fixed)
        self._one_by_one, self._known, self._told = OneByOne(self._origins), 0.0, 0

    def product(self, compute: Callable[[], Tensor], constant: bool) -> Tensor:
        """Compute a product for an array. Its multiply-accumulates are counted by its vectors.

        Args:
            compute: Function that computes it.
            constant: Whether the outputs are the same in every call.
        """
        self._tell_hidden()
        before = self.counter.macs
        outputs = compute()
        self._known += self.counter.macs - before
        self._told = len(self.counter.unknown)
        if constant:
            self._origins.add_same([outputs])
        else:
            self._origins.add_changing([outputs])
        return outputs

    def run(
        self,
        func: Any,
        args: tuple[Any, ...],
        named: dict[str, Any],
        product: Product | None,
        made: Made,
        weights: Parameters,
    ) -> Any:
        """Call a function of torch, follow what is made of the weights, and note what it multiplies."""
        name, parts = getattr(func, "__name__", str(func)), list(tensors_in(args, named))
        self._tell_hidden()
        before, foreign = self.counter.macs, len(self.counter.unknown)
        result = func(*args, **named)
        macs = self.counter.macs - before
        self._known += macs
        if len(self.counter.unknown) > foreign:
            name, macs = self.counter.unknown[foreign], UNKNOWN
            self._told = len(self.counter.unknown)
        results = list(tensors_in((result,), {}))
        factors, weight = parts, None
        if func in _ATTENTION:
            factors = []
        elif product is not None and func in WEIGHT_BY_NAME:
            factors, weight = [product.inputs, product.weight], product.weight
        elif func in _ADDING:
            factors = list(tensors_in(args[1:], {key: named[key] for key in named.keys() - {"input", "out"}}))
        if name in _LEAVING and any(part.is_floating_point() and part.dim() > 1 for part in parts):
            macs = UNKNOWN
        used = self._uses(func, name, parts, results, macs, factors, weight, made, weights)
        if macs and not used:
            if math.isnan(macs):
                self._foreign(name, args, named, parts)
            else:
                self._rest(name, macs, factors, weight)
        if not macs and (found := self._one_by_one.product(func, args, named, parts, results)) is not None:
            sources: frozenset[str] = frozenset().union(*map(made.sources, found.parts))
            self._share_out(sources, name, found.macs, weights)
            if not sources:
                self._rest(name, found.macs, found.parts, None)
        self._origins.follow(name, parts, results)
        return result

    def finish(self) -> Leftover:
        """Return what is left, once the network has run."""
        if (hidden := self.counter.macs - self._known) > 0:
            self.left.hidden.macs += hidden
            self.left.hidden.functions.add("code that cannot be watched")
        self._tell_hidden()
        for name in [name for name in self.left.fixed if self._origins.written(name)]:
            self.left.activations.add(self.left.fixed.pop(name))  # state that was read before it was written
        return self.left

    def _tell_hidden(self) -> None:
        """Note operators that were called where no function of torch was seen."""
        for name in self.counter.unknown[self._told :]:
            rest = self.left.foreign.setdefault(name, Rest())
            rest.add(Rest(UNKNOWN, {name}, {self._module()}))
        self._told = len(self.counter.unknown)

    def _uses(
        self,
        func: Any,
        name: str,
        parts: list[Tensor],
        results: list[Tensor],
        macs: float,
        factors: list[Tensor],
        weight: Tensor | None,
        made: Made,
        weights: Parameters,
    ) -> frozenset[str]:
        """Note the uses of weights in a call, and return their names."""
        mixes = made.mixes(parts)
        hidden = made.hidden(parts, factors, weight) if macs and mixes else frozenset()
        alone = made.alone(parts)
        used = made.follow(name, parts, results, layer=func in WEIGHT_BY_NAME) | hidden
        counted = 0.0 if func in _ATTENTION or not mixes else macs  # attention multiplies activations
        self._share_out(used, name, None if alone else counted, weights)
        if not results:
            for part in parts:
                if (owner := weights.owner(part)) is not None:
                    self.use(owner[0], name if name in _LEAVING else "", UNKNOWN if name in _LEAVING else 0.0)
        return used if counted else frozenset()

    def _share_out(self, used: frozenset[str], name: str, macs: float | None, weights: Parameters) -> None:
        """Note a use of several weights: each gets a share in proportion to its size, so that nothing counts twice."""
        whole = sum(weights.size(source) for source in used)
        for source in sorted(used):
            self.use(source, name, None if macs is None else macs * weights.size(source) / max(1, whole))

    def _foreign(self, name: str, args: tuple[Any, ...], named: dict[str, Any], parts: list[Tensor]) -> None:
        """Note a call of which it is not known what it multiplies, or of which numbers leave torch."""
        numbers = [part for part in parts if part.dim() > 1 and part.is_floating_point()]
        fixed = [part for part in parts if not self._origins.change([part])]
        leaves = name in _LEAVING
        if not numbers or (not leaves and len(fixed) == len(parts) and all(map(self._origins.known, fixed))):
            return  # the same in every call
        packed = any(isinstance(part, torch.ScriptObject) for part in tree_leaves((args, named)))
        takes = leaves or packed or any(part.dim() > 1 for part in fixed) or self._fixed.matrix_of(self._module())
        rest = self.left.foreign.setdefault(name, Rest(takes_weights=False))
        rest.takes_weights |= takes
        rest.add(Rest(UNKNOWN, {name}, {self._module()}))

    def _rest(self, name: str, macs: float, factors: list[Tensor], weight: Tensor | None) -> None:
        """Note a product that no weight of a layer is in."""
        fixed = [part for part in factors if not self._origins.change([part])]
        if fixed and len(fixed) == len(factors) and all(map(self._origins.known, fixed)):
            return  # the same in every call
        if fixed:
            tensor = max(fixed, key=lambda part: (self._origins.known(part), part.numel()))
            source = max(self._origins.of(tensor), key=self._fixed.size, default="")
            rest = self.left.fixed.setdefault(source, Rest(shape=tuple(tensor.shape)))
        elif weight is not None:
            rest = self.left.kernels
        else:
            rest = self.left.activations
        rest.add(Rest(macs, {name}, {self._module()}))
