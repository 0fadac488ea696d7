"""Two verbs: ``convert`` puts a network onto aihwkit tiles, ``program`` makes a chip of it."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from pathlib import Path

from torch import Tensor, nn

from driftproof.arrays import AnalogArray, Passes, Ranges, input_ranges
from driftproof.calls import geometry_of
from driftproof.chip import Chip
from driftproof.compensation import Compensation, as_compensation
from driftproof.conversion.analog_model import AnalogModel, ProgrammedChip
from driftproof.conversion.grid import TileGrid
from driftproof.conversion.hand_over import HandOver, NoiseBehind
from driftproof.conversion.tiles import (
    TiledLayer,
    analog_layer,
    attach_noise,
    check_dtype,
    tile_config,
)
from driftproof.conversion.unread import stand_for_weight
from driftproof.defaults import COMPENSATION, SCALE, SEED
from driftproof.device_choice import load_device
from driftproof.devices import Device
from driftproof.errors import DriftproofError, warn
from driftproof.inputs import Inputs
from driftproof.keywords import checks_keywords
from driftproof.mapping import (
    Mapping,
    Scale,
    TileSize,
    Where,
    map_model,
    plain_copy,
    unasked_text,
    untie_tables,
)
from driftproof.periphery import Periphery, StaticRange, load_periphery

# these hand their parts' weights to one fused kernel unless something watches
_FAST_PATHS = (nn.TransformerEncoder, nn.TransformerEncoderLayer, nn.MultiheadAttention)


@checks_keywords
def convert(
    model: nn.Module,
    preset: Device | str,
    *,
    compensation: str | Compensation = COMPENSATION,
    tile: TileSize | None = None,
    example: Inputs | None = None,
    where: Where | None = None,
    scale: Scale = SCALE,
    clip: float | None = None,
    all_analog: bool = False,
    within_validity: bool = False,
    strict: bool = False,
    periphery: Periphery | str | Path = "ideal",
    calibration: Inputs | Iterable[Inputs] | None = None,
) -> AnalogModel:
    """Return a copy of a network whose matrix products are computed on aihwkit tiles.

    ``Linear`` and ``Conv2d`` become aihwkit's own layers. Whatever else multiplies (grouped and transposed
    convolutions, attention, recurrent layers, subclasses with a forward of their own) keeps its code; its products are
    handed over to tiles while it runs.

    Args:
        model: a trained network; it is not changed.
        preset: the device, or the text that :func:`driftproof.load_device` takes.
        compensation: of the drift: none, tile, column or exact (against the targets), with parameters after a colon.
        tile: largest crossbar, 512 × 512 unless said.
        example: inputs to watch the network with; without them only layers that are torch's own are converted.
        where: which layers: names, patterns, ``inner``, or a function of name and module.
        scale: each tile's ``column`` relative to its own maximum, or the whole ``layer`` to its largest weight.
        clip: percentile of |w| that takes the maximum's place.
        all_analog: fail if a weight that multiplies stays digital unasked, instead of a warning.
        within_validity: chips of this network refuse times outside the device's range of validity.
        strict: both ``all_analog`` and ``within_validity``.
        periphery: what is around the arrays: ``ideal``, ``standard``, a file, or a
            :class:`driftproof.periphery.Periphery`.
        calibration: inputs (or batches of them) that static input ranges are measured on; ``example`` unless said.

    Raises:
        DriftproofError: if nothing can be converted, weights are not finite, or aihwkit is missing; for an unknown
            device, compensation or periphery, or a device for layers that are not there; static input ranges without
            anything to measure them on.

    >>> analog = convert(nn.Sequential(nn.Linear(8, 4), nn.ReLU()), "pcm-nandakumar-2019")
    >>> [(layer.name, layer.kind, layer.tiles) for layer in analog.layers]
    [('0', 'Linear', 1)]
    """
    preset = load_device(preset) if isinstance(preset, str) else preset
    network = plain_copy(model)
    mapping = map_model(network, tile, example, where=where, scale=scale, clip=clip, all_analog=all_analog or strict)
    if text := unasked_text(mapping):
        warn(text)
    around, ranges = load_periphery(periphery), None
    if isinstance(around.input_range, StaticRange):
        given = example if calibration is None else calibration
        if given is None:
            raise DriftproofError(
                f"periphery {around.name} has static input ranges; give calibration=INPUTS to measure them on"
            )
        batches = [given] if isinstance(given, Tensor | dict | tuple) else given
        ranges = input_ranges(network, mapping, around, batches)
    return convert_mapped(
        network,
        preset,
        mapping,
        compensation,
        copied=True,
        periphery=around,
        ranges=ranges,
        within_validity=within_validity or strict,
    )


def convert_mapped(
    model: nn.Module,
    preset: Device,
    mapping: Mapping,
    compensation: str | Compensation = COMPENSATION,
    *,
    copied: bool = False,
    periphery: Periphery | None = None,
    ranges: Ranges | None = None,
    within_validity: bool = False,
) -> AnalogModel:
    """Put a network whose weights are mapped already onto tiles; arguments as of :func:`convert`.

    Args:
        model: the network that was mapped.
        preset: the device.
        mapping: of this network.
        compensation: of the drift.
        copied: whether ``model`` may be changed: it is a copy that nobody else needs.
        periphery: what is around the arrays; ideal unless said.
        ranges: static input ranges.
        within_validity: whether its chips refuse times outside the device's range of validity.
    """
    preset.check_layers(mapping.weights)
    around = None if periphery is None or periphery.is_ideal else periphery
    back = [name for name, mapped in mapping.weights.items() if mapped.both_ways]
    if around and around.wire_drop and back:
        raise DriftproofError(
            f"periphery {around.name} has wire drop, which is not known for transposed reads, and the network drives "
            f"these from the columns, too: {', '.join(name or '(root)' for name in back)}; leave them out with where="
        )
    config = tile_config(mapping.tile, around)
    network = untie_tables(model if copied else plain_copy(model), mapping)
    tiled: dict[str, TiledLayer] = {}
    passes, hand_over = Passes(), HandOver()
    if any(mapped.made for mapped in mapping.weights.values()):
        hand_over.follow([*network.named_parameters(), *network.named_buffers()])
    for name, mapped in mapping.weights.items():
        layer = network.get_submodule(mapped.path)
        weight = layer._parameters[mapped.parameter]
        assert weight is not None
        check_dtype(mapped, weight)
        reach = ranges or {}
        array = AnalogArray(
            mapped,
            # aihwkit's compiled tile does all of it by itself
            periphery=around if around and around.repeatable else None,
            ranges=reach,
            passes=passes,
        )
        # aihwkit's layers have no weight that other code could read
        own = (
            not mapped.made
            and {*mapped.modules, *mapped.readers} <= {mapped.path}
            and not mapped.aliases
            and not mapping.clip
        )
        # nor can they take the place of a layer that stands at several
        own &= sum(child is layer for module in network.modules() for child in module._modules.values()) <= 1
        simple = own and mapping.scale == "column" and around is None
        analog = analog_layer(layer, copy.deepcopy(config)) if simple else None
        if analog is None:
            grid = TileGrid(mapped, config, reach.get(name, ())).to(weight.device)
            tiled[name] = attach_noise(grid, mapped, array)
            layer.add_module(f"{mapped.parameter}_on_tiles", grid)
            hand_over.take(weight, grid, tiled[name])
            continue
        tiled[name] = attach_noise(analog, mapped, array)
        stand_for_weight(analog, name)
        analog.register_forward_hook(NoiseBehind(array.noise, geometry_of(layer)), with_kwargs=True)
        if mapped.path:
            network.set_submodule(mapped.path, analog)
        else:
            network = analog
    network.register_forward_pre_hook(passes, with_kwargs=True)
    if hand_over.needed:
        # the whole network, and each module that multiplies, should it be called by itself
        inside = {path for mapped in mapping.weights.values() for path in mapped.modules}
        for path, module in list(network.named_modules()):
            if not path or path in inside or isinstance(module, _FAST_PATHS):
                hand_over.watch(module)
    return AnalogModel(
        network.eval(),
        preset,
        mapping.layers,
        as_compensation(compensation),
        mapping,
        tiled,
        passes,
        around,
        ranges or {},
        within_validity,
    )


@checks_keywords
def program(analog: AnalogModel, *, seed: int = SEED, chip: int = 0) -> ProgrammedChip:
    """Program one chip of a converted network; it stands at t = 0, the end of programming.

    A chip of a network that was converted with ``within_validity`` keeps to the device's range of validity: if that
    begins later than t = 0, the chip does not compute before it has been moved there with ``drift``.

    Args:
        analog: from :func:`convert`; it is not changed, so that many chips can live side by side.
        seed: of the evaluation.
        chip: number of the chip.

    >>> import torch
    >>> analog = convert(nn.Linear(8, 4), "pcm-nandakumar-2019")
    >>> chip = program(analog, chip=3)
    >>> chip.drift(t_s=3600.0).model(torch.ones(1, 8)).shape
    torch.Size([1, 4])
    """
    model, tiled, passes = copy.deepcopy((analog.model, analog.tiled, analog.passes))
    made = Chip(analog.mapping, analog.preset, seed=seed, chip=chip, compensation=analog.compensation)
    for layer in tiled.values():
        layer.place(made)
    passes.restart()
    return ProgrammedChip(model, 0.0, made, tiled, passes, analog.periphery, analog.ranges, analog.within_validity)
