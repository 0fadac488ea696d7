"""What a network's code does beside the products that an array computes: counted, and named by what it multiplies."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from driftproof._calls.counting import MacCounter
from driftproof._calls.made import Made
from driftproof._calls.origins import Origins
from driftproof._calls.parameters import Parameters, tensors_in
from driftproof._calls.products import WEIGHT_BY_NAME, Product

_ATTENTION = {F.scaled_dot_product_attention}
_ADDING = {getattr(kind, name) for kind in (torch, Tensor) for name in ("addmm", "addmv", "addbmm", "baddbmm")}
_ONE_BY_ONE = {"mul", "multiply", "__mul__", "__rmul__"}
_LEAVING = {"numpy", "tolist", "__array__", "data_ptr", "__dlpack__"}
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
    """

    macs: float = 0.0
    functions: set[str] = field(default_factory=set)
    modules: set[str] = field(default_factory=set)
    shape: tuple[int, ...] = ()


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
    """

    fixed: dict[str, Rest] = field(default_factory=dict)
    kernels: Rest = field(default_factory=Rest)
    activations: Rest = field(default_factory=Rest)
    hidden: Rest = field(default_factory=Rest)
    foreign: dict[str, Rest] = field(default_factory=dict)


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
        self._known = 0.0

    def product(self, compute: Callable[[], Tensor], constant: bool) -> Tensor:
        """Compute a product for an array. Its multiply-accumulates are counted by its vectors.

        Args:
            compute: Function that computes it.
            constant: Whether the outputs are the same in every call.
        """
        before = self.counter.macs
        outputs = compute()
        self._known += self.counter.macs - before
        if not constant:
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
        before, foreign = self.counter.macs, len(self.counter.unknown)
        result = func(*args, **named)
        macs = self.counter.macs - before
        self._known += macs
        if len(self.counter.unknown) > foreign:
            name, macs = self.counter.unknown[foreign], UNKNOWN
        results = list(tensors_in((result,), {}))
        factors, weight = parts, None
        if func in _ATTENTION:
            factors = []
        elif product is not None and func in WEIGHT_BY_NAME:
            factors, weight = [product.inputs, product.weight], product.weight
        elif func in _ADDING:
            factors = [part for part in parts if part is not (args[0] if args else named.get("input"))]
        if name in _LEAVING and any(part.is_floating_point() and part.dim() > 1 for part in parts):
            macs = UNKNOWN
        elif name in _ONE_BY_ONE and self._is_outer(parts, results):
            macs = float(results[0].numel())
        used = self._uses(func, name, parts, results, macs, factors, weight, made, weights)
        if macs and not used:
            self._rest(name, macs, parts, factors, weight)
        self._origins.follow(name, parts, results)
        return result

    def finish(self) -> Leftover:
        """Return what is left, once the network has run."""
        if (hidden := self.counter.macs - self._known) > 0:
            self.left.hidden.macs += hidden
            self.left.hidden.functions.add("code that cannot be watched")
        return self.left

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
        whole = sum(weights.size(source) for source in used)
        for source in sorted(used):
            # several weights in one call: each gets a share in proportion to its size, so that nothing counts twice
            self.use(source, name, None if alone else counted * weights.size(source) / whole)
        if not results:
            for part in parts:
                if (owner := weights.owner(part)) is not None:
                    self.use(owner[0], name if name in _LEAVING else "", UNKNOWN if name in _LEAVING else 0.0)
        return used if counted else frozenset()

    def _rest(self, name: str, macs: float, parts: list[Tensor], factors: list[Tensor], weight: Tensor | None) -> None:
        """Note a product that no weight of a layer is in."""
        fixed = [part for part in factors if not self._origins.change([part])]
        if math.isnan(macs):
            if any(part.dim() > 1 and part.is_floating_point() for part in parts):
                rest = self.left.foreign.setdefault(name, Rest())
            else:
                return
        elif fixed and len(fixed) == len(factors):
            return  # the same in every call
        elif fixed:
            tensor = max(fixed, key=Tensor.numel)
            source = max(self._origins.of(tensor), key=self._fixed.size, default="")
            rest = self.left.fixed.setdefault(source, Rest(shape=tuple(tensor.shape)))
        elif weight is not None:
            rest = self.left.kernels
        else:
            rest = self.left.activations
        rest.macs += macs
        rest.functions.add(name)
        rest.modules.add(self._module())

    def _is_outer(self, parts: list[Tensor], results: list[Tensor]) -> bool:
        """Return whether numbers are multiplied one by one as in a product of inputs and a matrix, before the sum."""
        if len(parts) != 2 or len(results) != 1 or results[0].numel() <= max(part.numel() for part in parts):
            return False
        matrices = [
            part for part in parts if sum(size > 1 for size in part.shape) > 1 and not self._origins.change([part])
        ]
        return bool(matrices) and self._origins.change(parts)
