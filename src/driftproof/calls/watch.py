"""Run a network once and note every use of every weight: which products it is in, and what else is done with it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from driftproof.calls.geometry import Dense
from driftproof.calls.interception import Interception
from driftproof.calls.layout import Layout
from driftproof.calls.parameters import Located, Parameters
from driftproof.calls.products import Product
from driftproof.inputs import Inputs, count, example_call

_CHANGING = "a computation that gives another weight each time"
_MADE_TRANSPOSED = "the transpose of what the network's code makes of it, from which an array is not read"


@dataclass
class Uses:
    """What a network did with one weight.

    Attributes:
        layouts: how products took it as a matrix, in the order in which they first did; two if some took the
            transpose.
        vectors: layout → how many vectors products that take it so multiply, over all calls and samples, each with all
            columns' share counted.
        vectors_back: layout → the same for an array that has the transpose: how often it is driven from its columns.
        calls: number of products.
        modules: paths of the modules whose code multiplied.
        parts: whether some product used only some of its columns.
        others: functions that it went into in another way than as the weight of a product that is known.
        other_macs: multiply-accumulates of those, over all calls and samples.
        multiplying: those of them that multiply.
        made: the weight that products took, if the network's code made it of the stored one.
        readers: paths of the modules whose code read its type or shape.
        constant: functions that it went into with nothing else than parameters: the same at every call.
    """

    layouts: dict[Layout, None] = field(default_factory=dict)
    vectors: dict[Layout, float] = field(default_factory=dict)
    vectors_back: dict[Layout, float] = field(default_factory=dict)
    calls: int = 0
    modules: set[str] = field(default_factory=set)
    parts: bool = False
    others: set[str] = field(default_factory=set)
    other_macs: float = 0.0
    multiplying: set[str] = field(default_factory=set)
    readers: set[str] = field(default_factory=set)
    made: Tensor | None = None
    constant: set[str] = field(default_factory=set)

    def add_constant(self, products: Uses) -> None:
        """Add products of this weight with parameters: an array that inputs drive computes them, too; no others do."""
        if not self.layouts:
            self.constant.add("a product")
            return
        one, other = self.made, products.made
        if (one is None) != (other is None) or (one is not None and other is not None and not torch.equal(one, other)):
            self.others.add(_CHANGING)
        self.layouts |= products.layouts
        self.calls += products.calls
        self.modules |= products.modules
        self.parts |= products.parts
        self.others |= products.others


@dataclass(frozen=True)
class Watched:
    """All weights' uses by their (first) name, and how many samples there were."""

    uses: dict[str, Uses]
    samples: int


def matrices(network: nn.Module) -> list[tuple[str, nn.Parameter]]:
    """Return the parameters that could be the matrix of a product: floating-point, at least two axes."""
    return [(name, p) for name, p in network.named_parameters() if p.dim() >= 2 and p.is_floating_point()]


def watch(network: nn.Module, example: Inputs) -> Watched:
    """Run a network on an example and note what it does with its weights.

    Raises:
        DriftproofError: the network does not take the example.

    >>> seen = watch(nn.Linear(3, 2), torch.ones(4, 3))
    >>> seen.uses["weight"].calls, seen.uses["weight"].vectors
    (1, {Layout(inputs_first=False, groups=1, stacked=False): 4.0})
    """
    weights = matrices(network)
    uses: dict[str, Uses] = {}
    constant: dict[str, Uses] = {}
    sizes = {name: tuple(p.shape) for name, p in weights}
    readers: dict[str, set[str]] = {}
    stack: list[str] = [""]
    handles = []
    for path, module in network.named_modules():
        if isinstance(module, torch.jit.ScriptModule):
            continue  # takes no hooks, and nothing inside can be watched

        def enter(_: nn.Module, __: object, path: str = path) -> None:
            stack.append(path)

        def leave(_: nn.Module, __: object, ___: object) -> None:
            stack.pop()

        handles += [module.register_forward_pre_hook(enter), module.register_forward_hook(leave, always_call=True)]

    def multiply(where: Located, product: Product, compute: Callable[[], Tensor]) -> Tensor:
        use = uses.setdefault(where.name, Uses())
        if product.constant:
            use = constant.setdefault(where.name, Uses())
        geometry = product.geometry
        layout = where.layout(geometry)
        if where.made:
            made = product.weight.detach().clone()  # keeps its order in memory
            if use.calls and use.made is not None and _turned(use.made, made):
                use.others.add(_MADE_TRANSPOSED)
            elif use.calls and (use.made is None or not torch.equal(use.made, made)):
                use.others.add(_CHANGING)
            use.made = made
        elif use.made is not None:
            use.others.add(_CHANGING)
        use.layouts.setdefault(layout)
        use.calls += 1
        use.modules.add(stack[-1])
        outputs, _ = layout.size(tuple(product.weight.shape) if where.made else sizes[where.name])
        taken = outputs if where.columns is None else where.columns.stop - where.columns.start
        use.parts |= where.columns is not None
        prepared = geometry.prepare(product.inputs)
        vectors = prepared.numel() // max(1, prepared.shape[-1])
        if not isinstance(geometry, Dense):
            vectors = geometry.positions(prepared) * layout.groups
        use.vectors[layout] = use.vectors.get(layout, 0.0) + vectors * taken / outputs
        if not isinstance(geometry, Dense):
            places = math.prod(product.inputs.shape[-len(geometry.kernel) :])
            count_of = 1 if product.inputs.dim() == len(geometry.kernel) + 1 else len(product.inputs)
            vectors = count_of * places * layout.groups
        use.vectors_back[layout] = use.vectors_back.get(layout, 0.0) + vectors * taken / outputs
        return compute()

    def everything() -> Parameters:
        return Parameters([*network.named_parameters(), *network.named_buffers()])

    def other(name: str, function: str, macs: float | None) -> None:
        if not function:
            readers.setdefault(name, set()).add(stack[-1])
            return
        use = uses.setdefault(name, Uses())
        if macs is None:
            use.constant.add(function)
            return
        use.others.add(function)
        use.other_macs += macs
        if macs:
            use.multiplying.add(function)

    try:
        with torch.no_grad(), Interception(lambda: Parameters(weights), multiply, fixed=everything, other=other):
            example_call(network, example)
    finally:
        for handle in handles:
            handle.remove()
    for name, use in uses.items():
        use.readers = readers.get(name, set())
        if use.layouts:  # its numbers are read, too, and those of an array cannot be
            use.others |= use.constant
        if name in constant:
            use.add_constant(constant[name])
    return Watched(uses, count(example))


def _turned(one: Tensor, other: Tensor) -> bool:
    """Whether a matrix lies in memory as the transpose of another: it may be symmetric, and equal to that."""
    return one.dim() == 2 and one.shape == other.t().shape and one.stride() == other.t().stride() != other.stride()
