"""Two verbs: ``convert`` puts a network onto aihwkit tiles, ``program`` makes a chip of it."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from driftproof._behaviour import check_function, fresh
from driftproof._calls import geometry_of
from driftproof._calls.copies import copied
from driftproof._chip import Chip
from driftproof._compensation import Compensation, as_compensation, late_reference_text
from driftproof._conversion.analog_model import AnalogModel, ProgrammedChip
from driftproof._conversion.grid import TileGrid
from driftproof._conversion.hand_over import HandOver, add_read_noise
from driftproof._conversion.perfect import digital_outputs, warn_of_differences
from driftproof._conversion.tiles import TiledLayer, analog_layer, attach_noise, check_dtype, tile_config
from driftproof._conversion.unread import stand_for_weight
from driftproof._defaults import COMPENSATION, SCALE, SEED
from driftproof._device_choice import as_device
from driftproof._devices import Device, ReadOuts
from driftproof._errors import DriftproofError, aihwkit_hint, warn
from driftproof._inputs import Inputs
from driftproof._keywords import checks_keywords
from driftproof._mapping import (
    MappedWeight,
    Mapping,
    Scale,
    TileSize,
    Where,
    map_plain,
    plain_copy,
    unasked_text,
    untie_tables,
)
from driftproof._mapping.places import as_torch_made_it, count_places
from driftproof._random_state import random_state_kept
from driftproof.arrays import AnalogArray, input_ranges
from driftproof.arrays._passes import Passes
from driftproof.arrays._ranges import Ranges
from driftproof.periphery import Periphery, StaticRange, load_periphery
from driftproof.periphery._settings import GivenRange

# these pass their parts' weights to one fused kernel, unless a function mode or a hook is active
_FAST_PATHS = (nn.TransformerEncoder, nn.TransformerEncoderLayer, nn.MultiheadAttention)


@checks_keywords
@random_state_kept()
def convert(
    model: nn.Module,
    preset: Device | str,
    *,
    compensation: str | Compensation = COMPENSATION,
    tile: TileSize | str | int | None = None,
    example: Inputs | None = None,
    where: Where | None = None,
    scale: Scale = SCALE,
    clip: float | None = None,
    all_analog: bool = False,
    within_validity: bool = False,
    strict: bool = False,
    periphery: Periphery | str | Path = "ideal",
    calibration: Inputs | Iterable[Inputs] | None = None,
    ranges: float | str | dict[str, Any] | None = None,
) -> AnalogModel:
    """Return a copy of a network whose matrix products are computed on aihwkit tiles.

    ``Linear`` and ``Conv2d`` become aihwkit's layers. All other modules that multiply (grouped and transposed
    convolutions, attention, recurrent layers, subclasses with another forward) keep their code; their products are
    handed over to tiles while it runs.

    Args:
        model: A trained network; it is not changed.
        preset: The device, or a text for :func:`driftproof.load_device`.
        compensation: Drift compensation: ``none``, ``tile``, ``column`` or ``exact`` (against the targets), with
            parameters after a colon (default: ``tile``).
        tile: Size of the largest crossbar: a :class:`driftproof.TileSize`, a text such as ``512x256`` (rows x columns),
            or a number for a square (default: 512 × 512).
        example: Inputs to watch the network with. Without them, only layers of torch's classes are converted.
        where: Layers to convert: names, patterns, ``inner``, or a function of name and module (default: all).
        scale: Whether weights are relative to the maximum of their tile's ``column`` or of the whole ``layer``.
        clip: Percentile of |w| that replaces the maximum (default: no clipping).
        all_analog: Whether to raise an error if a weight that is used in a matrix multiplication stays digital although
            ``where`` does not exclude it (default: a warning).
        within_validity: Whether chips of this network refuse times outside the device's range of validity.
        strict: Whether to set both ``all_analog`` and ``within_validity`` (default: False).
        periphery: Periphery of the arrays: ``ideal``, ``standard``, a file, or a
            :class:`driftproof.periphery.Periphery` (default: ``ideal``).
        calibration: Inputs, or batches of inputs, on which static input ranges are measured (default: ``example``).
        ranges: Input ranges in place of measured ones: a number for all layers, or a mapping layer → number (or a list
            with one number per row split; default: they are measured).

    Raises:
        DriftproofError: If nothing can be converted, weights are not finite, or aihwkit is missing; if the network
            keeps something between calls or is random, which the example shows; for an unknown device, compensation or
            periphery, and for a device of layers that do not exist; for static input ranges without inputs to measure
            them on.

    >>> analog = convert(nn.Sequential(nn.Linear(8, 4), nn.ReLU()), "pcm-nandakumar-2019")
    >>> [(layer.name, layer.kind, layer.tiles) for layer in analog.layers]
    [('0', 'Linear', 1)]
    """
    preset = as_device(preset)
    network = plain_copy(model)
    unused, analog = fresh(network), all_analog or strict
    mapping = map_plain(network, tile, example, where=where, scale=scale, clip=clip, all_analog=analog)
    if example is not None:
        check_function(unused, network, example)
    if text := unasked_text(mapping):
        warn(text)
    if text := late_reference_text(preset, as_compensation(compensation)):
        warn(text)
    periphery = load_periphery(periphery)
    if ranges is not None:
        periphery = periphery.with_ranges(ranges)
        if calibration is not None:
            raise DriftproofError("calibration data and given input ranges: leave one of them out")
    reaches = None
    if isinstance(periphery.input_range, StaticRange):
        given = example if calibration is None else calibration
        if given is None:
            raise DriftproofError(
                f"periphery {periphery.name} has static input ranges; give calibration=INPUTS to measure them on"
            )
        batches = [given] if isinstance(given, Tensor | dict | tuple) else given
        reaches = input_ranges(network, mapping, periphery, batches)
    elif isinstance(periphery.input_range, GivenRange):
        reaches = input_ranges(network, mapping, periphery, ())
    keep, digital = within_validity or strict, None
    if periphery.is_ideal and not clip:
        digital = digital_outputs(network, mapping, preset, example)
    made = convert_mapped(
        network, preset, mapping, compensation, copied=True, periphery=periphery, ranges=reaches, within_validity=keep
    )
    if digital is not None and example is not None:
        warn_of_differences(made.model, digital, example)
        made.passes.restart()
    return made


@random_state_kept()
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
    """Put a network whose weights are already mapped onto tiles.

    Args:
        model: The network that was mapped.
        preset: The device.
        mapping: The mapping of this network.
        compensation: Drift compensation, as for :func:`convert`.
        copied: Whether ``model`` is a copy that may be changed.
        periphery: Periphery of the arrays (default: ideal).
        ranges: Static input ranges.
        within_validity: Whether its chips refuse times outside the device's range of validity.
    """
    preset.check_layers(mapping.weights)
    periphery = None if periphery is None or periphery.is_ideal else periphery
    _check_ir_drop(periphery, mapping)
    placing = _Placing(mapping, periphery, ranges or {}, untie_tables(model if copied else plain_copy(model), mapping))
    for name in mapping.weights:
        placing.place(name)
    compensation, network = as_compensation(compensation), placing.finish().eval()
    on_tiles = mapping, placing.tiled, placing.passes, periphery, placing.ranges
    return AnalogModel(network, preset, mapping.layers, compensation, *on_tiles, within_validity)


def _check_ir_drop(periphery: Periphery | None, mapping: Mapping) -> None:
    """Raise for IR drop where arrays are read from both sides."""
    back = [name or "(root)" for name, mapped in mapping.weights.items() if mapped.both_ways]
    if periphery and periphery.ir_drop and back:
        raise DriftproofError(
            f"periphery {periphery.name} has IR drop, which is not modelled for transposed reads, but the network "
            f"drives these layers from the columns, too: {', '.join(back)}; leave them out with where="
        )


class _Placing:
    """Put the weights of a network on tiles, one after the other.

    Args:
        mapping: The mapping of the network.
        periphery: Periphery of the arrays; None if it is ideal.
        ranges: Static input ranges.
        network: A copy that may be changed.
    """

    def __init__(self, mapping: Mapping, periphery: Periphery | None, ranges: Ranges, network: nn.Module) -> None:
        self.mapping, self.periphery, self.ranges, self.network = mapping, periphery, ranges, network
        self.config = tile_config(mapping.tile, periphery)
        self.tiled: dict[str, TiledLayer] = {}
        makes = any(mapped.made for mapped in mapping.weights.values())
        self.passes = Passes()
        self.hand_over = HandOver([*network.named_parameters(), *network.named_buffers()] if makes else [])

    def place(self, name: str) -> None:
        """Put one weight on the tiles of aihwkit's layer, or on a grid of tiles for handed-over products."""
        mapped = self.mapping.weights[name]
        layer = self.network.get_submodule(mapped.path)
        weight = layer._parameters[mapped.parameter]
        assert weight is not None
        check_dtype(mapped, weight)
        # a periphery that is not repeatable has IR drop: aihwkit's compiled tile computes all of it
        repeatable = self.periphery if self.periphery and self.periphery.repeatable else None
        array = AnalogArray(mapped, periphery=repeatable, ranges=self.ranges, passes=self.passes)
        analog = analog_layer(layer, copy.deepcopy(self.config)) if self._is_simple(mapped, layer) else None
        if analog is None:
            grid = TileGrid(mapped, self.config, self.ranges.get(name, ())).to(weight.device)
            self.tiled[name] = attach_noise(grid, mapped, array, ideal=self.periphery is None)
            layer.add_module(f"{mapped.parameter}_on_tiles", grid)
            self.hand_over.take(weight, grid, self.tiled[name])
            return
        self.tiled[name] = attach_noise(analog, mapped, array)
        stand_for_weight(analog, name)
        analog.register_forward_hook(partial(add_read_noise, array.noise, geometry_of(layer)), with_kwargs=True)
        if mapped.path:
            self.network.set_submodule(mapped.path, analog)
        else:
            self.network = analog

    def _is_simple(self, mapped: MappedWeight, layer: nn.Module) -> bool:
        """Return whether aihwkit's layer can replace a layer."""
        if self.mapping.clip or self.mapping.scale != "column" or self.periphery is not None:
            return False
        # aihwkit's layer runs no other code, has no weight that other code could read, and cannot be in several places
        if not as_torch_made_it(layer):
            return False
        alone = not mapped.made and not mapped.aliases and {*mapped.modules, *mapped.readers} <= {mapped.path}
        return alone and count_places(layer, self.network) <= 1

    def finish(self) -> nn.Module:
        """Return the network with the hooks that it needs when it runs."""
        self.network.register_forward_pre_hook(self.passes, with_kwargs=True)
        if self.hand_over.needed:
            # the whole network, and each module that multiplies, in case it is called alone
            inside = {path for mapped in self.mapping.weights.values() for path in mapped.modules}
            for path, module in list(self.network.named_modules()):
                if not path or path in inside or isinstance(module, _FAST_PATHS):
                    self.hand_over.watch(module)
        return self.network


@checks_keywords
@random_state_kept()
def program(
    analog: AnalogModel, *, seed: int = SEED, chip: int = 0, read_outs: ReadOuts | str | None = None
) -> ProgrammedChip:
    """Program one chip of a converted network; it is at t = 0, the end of programming.

    A chip of a network that was converted with ``within_validity`` keeps to the device's range of validity. If that
    range begins later than t = 0, the chip does not compute until ``drift`` has moved it there.

    Args:
        analog: A converted network from :func:`convert`. It is not changed, so that many chips can exist side by side.
        seed: Seed of the evaluation (default: 0).
        chip: Number of the chip (default: 0).
        read_outs: The read-out that measures the compensation, and that in which the chip is used
            (default: ``duration_s=1,pause_s=3600``).

    >>> import torch
    >>> analog = convert(nn.Linear(8, 4), "pcm-nandakumar-2019")
    >>> chip = program(analog, chip=3)
    >>> chip.drift(t_s=3600.0).model(torch.ones(1, 8)).shape
    torch.Size([1, 4])
    """
    if not isinstance(analog, AnalogModel):
        raise DriftproofError(
            f"program: a {type(analog).__name__} came; wanted the result of driftproof.convert(network, device)"
            f"{aihwkit_hint(analog, 'network')}"
        )
    model, tiled, passes = copied((analog.model, analog.tiled, analog.passes))
    made = Chip(
        analog.mapping, analog.preset, seed=seed, chip=chip, compensation=analog.compensation, read_outs=read_outs
    )
    return ProgrammedChip.on(replace(analog, model=model, tiled=tiled, passes=passes), made)
