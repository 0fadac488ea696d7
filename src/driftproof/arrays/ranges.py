"""Static input ranges of a network's tiles, measured on unlabelled inputs of the digital network."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Final, Literal

import torch
from torch import Tensor, nn

from driftproof.arrays.transposed import driven_columns
from driftproof.calls import Convolution, Interception, Located, Parameters, Product
from driftproof.inputs import Inputs, example_call
from driftproof.mapping import MappedWeight, Mapping
from driftproof.periphery import Periphery, RangeStatistics, StaticRange

RELATIVE: Final[tuple[Literal["column", "layer"], ...]] = ("column", "layer")

type Ranges = dict[str, tuple[float, ...]]
"""Array → input range of each row split, in the units of the layer's inputs.

For an array that is also driven from its columns, :func:`back_name` → input range of each tile in that direction, those
of the first row split first, in the units of the layer's outputs times weights. There are two: a device whose weights
are relative to the layer's largest is driven with other numbers than one relative to each column's.
"""


def back_name(name: str, relative_to: Literal["column", "layer"] = "column") -> str:
    """Return the name of an array's ranges for transposed reads.

    Args:
        name: of the array.
        relative_to: what the device's weights are relative to (:meth:`driftproof.devices.Device.relative_to`).

    >>> back_name("fc"), back_name("fc", "layer")
    ('fc (transposed)', 'fc (transposed, layer)')
    """
    return f"{name} (transposed)" if relative_to == "column" else f"{name} (transposed, {relative_to})"


@torch.no_grad()
def input_ranges(network: nn.Module, mapping: Mapping, periphery: Periphery, batches: Iterable[Inputs]) -> Ranges:
    """Return the static input range of every tile row (of every tile where it is driven from its columns, too).

    Empty if the periphery has none.

    Args:
        network: the plain network that was mapped.
        mapping: of this network.
        periphery: its ``input_range`` says what is taken.
        batches: inputs, without targets.

    Raises:
        DriftproofError: a layer that these inputs do not reach; inputs that the network does not take.

    >>> from driftproof.mapping import map_model
    >>> from driftproof.periphery import load_periphery
    >>> net = nn.Linear(2, 1)
    >>> standard = load_periphery("standard").with_changes(input_range=StaticRange(method="maximum"))
    >>> input_ranges(net, map_model(net), standard, [torch.tensor([[1.0, -3.0]])])
    {'': (3.0,)}
    """
    settings = periphery.input_range
    if not isinstance(settings, StaticRange):
        return {}
    statistics: dict[str, list[RangeStatistics]] = {}
    for name, w in mapping.weights.items():
        places = [f"rows {rows.start}–{rows.stop - 1}" for rows in w.rows]
        statistics[name] = [RangeStatistics(settings, f"{name or '(root)'}, {place}") for place in places]
        if w.both_ways:
            for relative_to in RELATIVE:
                statistics[back_name(name, relative_to)] = [
                    RangeStatistics(
                        settings, f"{name or '(root)'}, {place}, transposed, columns {c.start}–{c.stop - 1}"
                    )
                    for place in places
                    for c in w.columns
                ]

    def observe(where: Located, product: Product, compute: Callable[[], Tensor]) -> Tensor:
        mapped = mapping.weights[where.name]
        if mapped.is_transpose(where.layout(product.geometry)):
            for relative_to in RELATIVE:
                own = mapped if relative_to == "column" else mapped.layer_scaled()
                see(statistics[back_name(where.name, relative_to)], driven_columns(product, own))
        else:
            see(statistics[where.name], [_inputs(product, mapped, rows) for rows in mapped.rows])
        return compute()

    def see(places: list[RangeStatistics], inputs: list[Tensor]) -> None:
        for one, values in zip(places, inputs, strict=True):
            one.observe(values)

    weights = [(name, network.get_submodule(w.path).get_parameter(w.parameter)) for name, w in mapping.weights.items()]
    with Interception(lambda: Parameters(weights), observe):
        for inputs in batches:
            example_call(network, inputs)
    return {name: tuple(one.value() for one in parts) for name, parts in statistics.items()}


def _inputs(product: Product, mapped: MappedWeight, rows: slice) -> Tensor:
    """Return the inputs that go into some rows of an array."""
    geometry = product.geometry
    if not isinstance(geometry, Convolution):
        return product.inputs[..., rows]
    kernel = math.prod(geometry.kernel)
    first, last = rows.start // kernel, -(-rows.stop // kernel)
    axis = product.inputs.dim() - len(geometry.kernel) - 1
    groups = geometry.layout.groups
    if groups == 1:
        return product.inputs.narrow(axis, first, last - first)
    shape = product.inputs.shape
    apart = product.inputs.reshape(*shape[:axis], groups, shape[axis] // groups, *shape[axis + 1 :])
    return apart.narrow(axis + 1, first, last - first)
