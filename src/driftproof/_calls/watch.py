"""Run a network once and record every use of every weight: the products it is in, and any other use."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor, nn
from torch.utils._pytree import keystr, tree_flatten_with_path

from driftproof._calls.geometry import Dense
from driftproof._calls.interception import Interception
from driftproof._calls.layout import Layout
from driftproof._calls.others import Leftover, Others
from driftproof._calls.parameters import Located, Parameters
from driftproof._calls.products import Product
from driftproof._inputs import Inputs, count, example_call, tensors

_CHANGING = "a computation that gives another weight each time"
_MADE_TRANSPOSED = "the transpose of what the network's code makes of it, from which an array is not read"


@dataclass
class Uses:
    """The uses that a network made of one weight.

    Attributes:
        layouts: How products took the weight as a matrix, in the order of first use; two if some took the transpose.
        vectors: Layout → number of vectors that products with this layout multiply, over all calls and samples. A
            product of some of the columns counts as their share.
        vectors_back: Layout → the same for an array that holds the transpose: how often its columns are driven.
        calls: Number of products.
        modules: Paths of the modules whose code multiplied.
        others: Functions that took the weight, other than as the weight of a recognised product.
        other_macs: Multiply-accumulates of those functions, over all calls and samples.
        multiplying: Those of the other functions that multiply.
        readers: Paths of the modules whose code read the weight's type or shape.
        made: The weight that products took, if the network's code made it of the stored one.
        constant: Functions that combined the weight with parameters only, so that the result is always the same.
    """

    layouts: dict[Layout, None] = field(default_factory=dict)
    vectors: dict[Layout, float] = field(default_factory=dict)
    vectors_back: dict[Layout, float] = field(default_factory=dict)
    calls: int = 0
    modules: set[str] = field(default_factory=set)
    others: set[str] = field(default_factory=set)
    other_macs: float = 0.0
    multiplying: set[str] = field(default_factory=set)
    readers: set[str] = field(default_factory=set)
    made: Tensor | None = None
    constant: set[str] = field(default_factory=set)

    def add_constant(self, products: Uses) -> None:
        """Add products of this weight with parameters. An array computes them only if inputs drive it as well."""
        if not self.layouts:
            self.constant.add("a product")
            return
        made = [weight for weight in (self.made, products.made) if weight is not None]
        if len(made) == 1 or (made and not torch.equal(*made)):
            self.others.add(_CHANGING)
        self.layouts |= products.layouts
        self.calls += products.calls
        self.modules |= products.modules
        self.others |= products.others


@dataclass(frozen=True)
class Watched:
    """What was seen of a network.

    Attributes:
        uses: The uses of all weights by their (first) name.
        samples: Number of samples.
        left: Products that no weight of a layer is in.
    """

    uses: dict[str, Uses]
    samples: int
    left: Leftover


def matrices(network: nn.Module) -> list[tuple[str, nn.Parameter]]:
    """Return the parameters that could be the matrix of a product: floating-point, with at least two axes."""
    return [(name, p) for name, p in network.named_parameters() if p.dim() >= 2 and p.is_floating_point()]


def watch(network: nn.Module, example: Inputs) -> Watched:
    """Run a network on an example and record the uses of its weights.

    Raises:
        DriftproofError: If the network does not take the example.

    >>> seen = watch(nn.Linear(3, 2), torch.ones(4, 3))
    >>> seen.uses["weight"].calls, seen.uses["weight"].vectors
    (1, {Layout(inputs_first=False, groups=1, stacked=False): 4.0})
    """
    notes = _Notes(network)
    weights = Parameters(matrices(network))
    held = [*network.named_parameters(), *network.named_buffers()]
    fixed, all_fixed = Parameters(held), Parameters([*held, *attributes(network)])
    others = Others(tensors(example), all_fixed, notes.other, notes.module)
    watching = Interception(lambda: weights, notes.multiply, fixed=lambda: fixed, others=others)
    with notes.following(network), torch.no_grad(), others.counter, watching:
        example_call(network, example)
    left = others.finish()
    left.threads |= notes.threads
    return Watched(notes.uses(), count(example), left)


def attributes(network: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors that modules keep as plain attributes, or in lists and dicts, with their names."""
    for path, module in network.named_modules():
        for name, value in vars(module).items():
            if name not in ("_parameters", "_buffers", "_modules"):
                for place, leaf in tree_flatten_with_path(value)[0]:
                    if isinstance(leaf, Tensor):
                        yield f"{path}.{name}{keystr(place)}".removeprefix("."), leaf


class _Notes:
    """The uses of every weight that were seen while a network ran."""

    def __init__(self, network: nn.Module) -> None:
        self._sizes = {name: tuple(p.shape) for name, p in matrices(network)}
        self._uses: dict[str, Uses] = {}
        self._constant: dict[str, Uses] = {}
        self._readers: dict[str, set[str]] = {}
        self._stack: list[str] = [""]
        self._thread = threading.get_ident()
        self.threads: set[str] = set()  # paths of modules that run in other threads

    @contextmanager
    def following(self, network: nn.Module) -> Iterator[None]:
        """Keep track of the module of a network that runs."""
        with ExitStack() as hooks:
            for path, module in network.named_modules():
                if not isinstance(module, torch.jit.ScriptModule):  # it cannot have hooks, and its code is hidden
                    hooks.enter_context(module.register_forward_pre_hook(partial(self._enter, path)))
                    hooks.enter_context(module.register_forward_hook(self._leave, always_call=True))
            yield

    def module(self) -> str:
        """Return the path of the module whose code runs."""
        return self._stack[-1]

    def _enter(self, path: str, *_: object) -> None:
        if threading.get_ident() == self._thread:
            self._stack.append(path)
        else:
            self.threads.add(path)

    def _leave(self, *_: object) -> None:
        if threading.get_ident() == self._thread:
            self._stack.pop()

    def multiply(self, where: Located, product: Product, compute: Callable[[], Tensor]) -> Tensor:
        """Record a product, and let torch compute it."""
        use = self._uses.setdefault(where.name, Uses())
        if product.constant:
            use = self._constant.setdefault(where.name, Uses())
        layout = where.layout(product.geometry)
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
        use.modules.add(self._stack[-1])
        outputs, _ = layout.size(tuple(product.weight.shape) if where.made else self._sizes[where.name])
        taken = outputs if where.columns is None else where.columns.stop - where.columns.start
        forward, back = (number * product.driven for number in _vectors(product))
        use.vectors[layout] = use.vectors.get(layout, 0.0) + forward * taken / outputs
        use.vectors_back[layout] = use.vectors_back.get(layout, 0.0) + back * taken / outputs
        return compute()

    def other(self, name: str, function: str, macs: float | None) -> None:
        """Record a use that is not a product of inputs and the weight; arguments as for ``Others``."""
        if not function:
            self._readers.setdefault(name, set()).add(self._stack[-1])
            return
        use = self._uses.setdefault(name, Uses())
        if macs is None:
            use.constant.add(function)
            return
        use.others.add(function)
        use.other_macs += macs
        if macs:
            use.multiplying.add(function)

    def uses(self) -> dict[str, Uses]:
        """Return the uses by weight."""
        for name, use in self._uses.items():
            use.readers = self._readers.get(name, set())
            if use.layouts:  # the code reads the weight's numbers as well, which an array cannot give
                use.others |= use.constant
            if name in self._constant:
                use.add_constant(self._constant[name])
        return self._uses


def _vectors(product: Product) -> tuple[int, int]:
    """Return how many vectors drive the array in a product: its rows, or its columns if it holds the transpose."""
    geometry, inputs = product.geometry, product.inputs
    if isinstance(geometry, Dense):
        vectors = inputs.numel() // max(1, inputs.shape[-1])
        return vectors, vectors
    groups, dims = geometry.layout.groups, len(geometry.kernel)
    groups *= 1 if inputs.dim() == dims + 1 else len(inputs)
    return math.prod(geometry.size_of(inputs)) * groups, math.prod(inputs.shape[-dims:]) * groups


def _turned(one: Tensor, other: Tensor) -> bool:
    """Return whether a matrix lies in memory as the transpose of another (a symmetric one equals its transpose)."""
    return one.dim() == 2 and one.shape == other.t().shape and one.stride() == other.t().stride() != other.stride()
