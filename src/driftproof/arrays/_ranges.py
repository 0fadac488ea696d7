"""Static input ranges of a network's tiles, measured on unlabelled inputs of the digital network."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, Literal

import torch
from torch import Tensor, nn

from driftproof._calls import Convolution, Interception, Located, Parameters, Product
from driftproof._errors import DriftproofError, did_you_mean
from driftproof._inputs import Inputs, example_call
from driftproof._mapping import Mapping, plain_copy
from driftproof._random_state import random_state_kept
from driftproof.arrays._forward import channels
from driftproof.arrays._transposed import driven_columns
from driftproof.periphery import Periphery, StaticRange
from driftproof.periphery._calibration import RangeStatistics
from driftproof.periphery._settings import GivenRange

RELATIVE: Final[tuple[Literal["column", "layer"], ...]] = ("column", "layer")

ROOT: Final = "(root)"

type Ranges = dict[str, tuple[float, ...]]
"""The input ranges of a network's arrays, by name.

The name of an array gives the range of each row split, in the units of the layer's inputs. For an array that is also
driven from its columns, :func:`back_name` gives the range of each tile in that direction, first those of the first row
split, in the units of the layer's outputs times weights. There are two such entries, because a device whose weights
are relative to the layer's maximum is driven with other numbers than a device relative to each column's.
"""


def back_name(name: str, relative_to: Literal["column", "layer"] = "column") -> str:
    """Return the name of an array's ranges for transposed reads.

    Args:
        name: Name of the array.
        relative_to: Maximum that the device's weights are relative to (:meth:`driftproof._devices.Device.relative_to`).

    >>> back_name("fc"), back_name("fc", "layer")
    ('fc (transposed)', 'fc (transposed, layer)')
    """
    return f"{name} (transposed)" if relative_to == "column" else f"{name} (transposed, {relative_to})"


@random_state_kept()
@torch.no_grad()
def input_ranges(network: nn.Module, mapping: Mapping, periphery: Periphery, batches: Iterable[Inputs]) -> Ranges:
    """Return the static input range of every tile row, and of every tile of arrays that are also driven from columns.

    Ranges that the periphery gives (:meth:`driftproof.periphery.Periphery.with_ranges`) are returned without running
    the network.

    Args:
        network: The digital network that was mapped. A copy of it is run.
        mapping: Mapping of this network.
        periphery: Periphery whose ``input_range`` names the method. The result is empty for a dynamic range.
        batches: Batches of inputs without targets.

    Raises:
        DriftproofError: If the inputs do not reach a layer, or if the network does not take them; if given ranges do
            not fit the layers.

    >>> from driftproof._mapping import map_model
    >>> from driftproof.periphery import load_periphery
    >>> net = nn.Linear(2, 1)
    >>> standard = load_periphery("standard").with_changes(input_range=StaticRange(method="maximum"))
    >>> input_ranges(net, map_model(net), standard, [torch.tensor([[1.0, -3.0]])])
    {'': (3.0,)}
    """
    settings = periphery.input_range
    if isinstance(settings, GivenRange):
        return given_ranges(mapping, settings)
    if not isinstance(settings, StaticRange):
        return {}
    network = plain_copy(network)
    statistics: dict[str, list[RangeStatistics]] = {}
    for name, w in mapping.weights.items():
        places = [f"{name or '(root)'}, rows {rows.start}–{rows.stop - 1}" for rows in w.rows]
        tiles = [f"{place}, transposed, columns {c.start}–{c.stop - 1}" for place in places for c in w.columns]
        statistics[name] = [RangeStatistics(settings, place) for place in places]
        for relative_to in RELATIVE if w.both_ways else ():
            statistics[back_name(name, relative_to)] = [RangeStatistics(settings, tile) for tile in tiles]

    def observe(where: Located, product: Product, compute: Callable[[], Tensor]) -> Tensor:
        mapped = mapping.weights[where.name]
        if mapped.is_transpose(where.layout(product.geometry)):
            inputs = {back_name(where.name, "column"): driven_columns(product, mapped)}
            inputs[back_name(where.name, "layer")] = driven_columns(product, mapped.layer_scaled())
        else:
            inputs = {where.name: [_inputs(product, rows) for rows in mapped.rows]}
        for name, parts in inputs.items():
            for one, values in zip(statistics[name], parts, strict=True):
                one.observe(values)
        return compute()

    weights = [(name, network.get_submodule(w.path).get_parameter(w.parameter)) for name, w in mapping.weights.items()]
    makes = any(mapped.made for mapped in mapping.weights.values())
    fixed = Parameters([*network.named_parameters(), *network.named_buffers()])
    with Interception(lambda: Parameters(weights), observe, fixed=(lambda: fixed) if makes else None):
        for inputs in batches:
            example_call(network, inputs)
    return {name: tuple(one.value() for one in parts) for name, parts in statistics.items()}


def given_ranges(mapping: Mapping, given: GivenRange) -> Ranges:
    """Return given input ranges in the form of measured ones.

    Raises:
        DriftproofError: If a name is not that of a layer on tiles, a layer has no range, or a list has another length
            than the layer has row splits.
    """
    layers = {"" if name == ROOT else name: reach for name, reach in given.layers.items()}
    known = {*mapping.weights, *(back_name(name) for name, w in mapping.weights.items() if w.both_ways)}
    if unknown := sorted(layers.keys() - known):
        raise DriftproofError(
            f"input ranges: no layer {unknown[0]!r} is on tiles{did_you_mean(unknown[0], known)}; there are "
            f"{', '.join(name or ROOT for name in sorted(known))}"
        )
    ranges: Ranges = {}
    for name, w in mapping.weights.items():
        ranges[name] = _for_tiles(name, layers.get(name, given.value), len(w.rows), "row split")
        if w.both_ways:  # its other direction has other units: no number for all layers serves both
            back = _for_tiles(back_name(name), layers.get(back_name(name)), w.tiles, "tile")
            ranges |= {back_name(name, relative_to): back for relative_to in RELATIVE}
    return ranges


def _for_tiles(name: str, reach: float | tuple[float, ...] | None, count: int, what: str) -> tuple[float, ...]:
    if reach is None:
        raise DriftproofError(f"input ranges: layer {name or ROOT} has none; give a number for it")
    values = reach if isinstance(reach, tuple) else (reach,) * count
    if len(values) != count:
        raise DriftproofError(
            f"input ranges: layer {name or ROOT} has {len(values)} numbers for {count} {what}{'s' * (count > 1)}; give "
            "one number, or one for each"
        )
    return values


def _inputs(product: Product, rows: slice) -> Tensor:
    """Return the inputs of some rows of an array."""
    if isinstance(product.geometry, Convolution):
        return channels(product.geometry, product.inputs, rows)[0]
    return product.inputs[..., rows]
