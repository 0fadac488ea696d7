"""Networks and checkpoints with aihwkit's layers → digital networks, with what the tiles know besides weights."""

from __future__ import annotations

import copy
import importlib
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from driftproof._calls.analog import check_digital, is_tile
from driftproof._errors import DriftproofError, foreign_code
from driftproof._files import check_file

_UNDER = ("state_dict", "model", "model_state_dict")
"""Keys under which training scripts put a state dict."""
_SHOWN = 4
_STATE = "analog_tile_state"
_SAFE = ("aihwkit.simulator.", "aihwkit.inference.", "aihwkit.nn.modules.", "aihwkit.optim.", "torch.nn.modules.")
"""Modules whose classes a file may make objects of without consent: they compute, and touch nothing else."""


@dataclass(frozen=True)
class AnalogLayer:
    """A layer on aihwkit's tiles.

    Attributes:
        config: Its ``rpu_config``.
        size: Inputs and outputs of its weight.
        has_initial_range: Whether its tiles have the input range that they began with, and no data or learning has
            changed it.
        largest: Largest weights of its columns on the tiles, in units of a tile's full weight: the smallest and the
            largest of them.
    """

    config: Any
    size: tuple[int, int]
    has_initial_range: bool
    largest: tuple[float, float]


@dataclass(frozen=True)
class DigitalCopy:
    """The digital network of an analog one.

    Attributes:
        network: The network, in eval mode.
        layers: The layers that were on tiles, by name.
        digital: Names of the layers with a weight matrix that were digital.
        ranges: Input range of each layer, or of each of its row splits, where the tiles have them.
        notes: What was not taken over.
    """

    network: nn.Module
    layers: dict[str, AnalogLayer]
    digital: tuple[str, ...]
    ranges: dict[str, float | list[float]]
    notes: tuple[str, ...]


@torch.no_grad()
def digital_copy(model: nn.Module) -> DigitalCopy:
    """Return the digital network with the weights of an analog one, which is not changed.

    Programmed and drifted chips give back the weights that they were programmed to.

    Raises:
        DriftproofError: There is no layer on aihwkit's tiles, a layer has no digital counterpart, or the network was
            made by :func:`driftproof.convert`.
    """
    if not any(is_tile(module) for module in model.modules()):
        raise DriftproofError(
            f"from_aihwkit: the network {type(model).__name__} has no layer on aihwkit's tiles: it is digital already, "
            "and driftproof.evaluate, convert and train take it as it is"
        )
    from aihwkit.nn.conversion import _DEFAULT_DIGITAL_CONVERSION_SET, convert_to_digital
    from aihwkit.nn.modules.base import AnalogLayerBase

    with foreign_code("from_aihwkit: the network cannot be copied, a copy raised"):
        model = copy.deepcopy(model)
    layers: dict[str, AnalogLayer] = {}
    ranges: dict[str, float | list[float]] = {}
    notes: list[str] = []
    kinds = set(_DEFAULT_DIGITAL_CONVERSION_SET)
    for name, layer in model.named_modules():
        tiles = [tile for path, tile in layer.named_modules() if is_tile(tile) and hasattr(tile, "rpu_config")]
        if not isinstance(layer, AnalogLayerBase) or not tiles or not hasattr(layer, "analog_module"):
            continue
        _check_not_ours(tiles[0])
        kinds.add(type(layer))
        notes += _unprogrammed(name or "(root)", tiles)
        layers[name] = AnalogLayer(tiles[0].rpu_config, _size(layer), all(map(_is_initial, tiles)), _largest(tiles))
        ranges |= _ranges(name or "(root)", layer, notes)
    network = convert_to_digital(model, conversion_set=kinds, inplace=True)
    check_digital(network)
    if initial := [name or "(root)" for name, layer in layers.items() if layer.has_initial_range]:
        shown = ", ".join(initial[:_SHOWN]) + (f" and {len(initial) - _SHOWN} more" if len(initial) > _SHOWN else "")
        notes.append(
            f"input ranges of {shown} = the value that they began with: they were never learned; to measure them on "
            "your data, evaluate with calibration=INPUTS and **found.settings | {'ranges': None}"
        )
    if any(name not in ranges and (name or "(root)") not in ranges for name in layers):
        if ranges:
            notes.append(f"input ranges of {', '.join(ranges)}: other layers have none, so that all are measured here")
        ranges = {}
    digital = tuple(name for name, module in network.named_modules() if _is_matrix(module) and name not in layers)
    return DigitalCopy(network.eval(), layers, digital, ranges, tuple(notes))


def _check_not_ours(tile: Any) -> None:
    if type(getattr(tile.rpu_config, "noise_model", None)).__module__.startswith("driftproof."):
        raise DriftproofError(
            "from_aihwkit: this network was made by driftproof.convert; its digital network is the one that was "
            "given to driftproof.convert"
        )


def _size(layer: Any) -> tuple[int, int]:
    """Return the numbers of inputs and outputs of an analog layer's weight, an analog bias not counted."""
    weight = layer.get_weights()[0]
    return weight[0].numel(), weight.shape[0]


def _largest(tiles: list[Any]) -> tuple[float, float]:
    """Return the smallest and the largest maximum of a column on the tiles; columns of zeros do not count."""
    columns = torch.cat([tile.tile.get_weights().detach().abs().amax(dim=1).cpu() for tile in tiles])
    columns = columns[columns > 0]
    return (float(columns.min()), float(columns.max())) if len(columns) else (1.0, 1.0)


def _is_matrix(module: nn.Module) -> bool:
    own = module.parameters(recurse=False)
    return any(parameter.dim() > 1 for parameter in own)


def _unprogrammed(name: str, tiles: list[Any]) -> list[str]:
    """Put the weights back that the tiles were programmed to; return a note if they were programmed."""
    programmed = [tile for tile in tiles if getattr(tile, "programmed_weights", None) is not None]
    for tile in programmed:
        tile.tile.set_weights(tile.reference_combined_weights)
    if not programmed:
        return []
    return [f"{name} = a programmed chip: the weights before it was programmed are taken; driftproof programs its own"]


def _is_initial(tile: Any) -> bool:
    """Return whether a tile's input range is the one that it began with."""
    if getattr(tile, "input_range", None) is None:
        return False
    return (
        not int(tile.input_range_update_idx)
        and float(tile.input_range) == tile.rpu_config.pre_post.input_range.init_value
    )


def _ranges(name: str, layer: Any, notes: list[str]) -> dict[str, float | list[float]]:
    """Return the input range of a layer, or of each of its row splits."""
    from aihwkit.simulator.tiles.array import TileModuleArray

    held = layer.analog_module
    splits = [list(row) for row in held.array] if isinstance(held, TileModuleArray) else [[held]]
    found: list[float] = []
    for split in splits:
        values = [abs(float(tile.input_range)) for tile in split if getattr(tile, "input_range", None) is not None]
        if len(values) < len(split):
            return {}
        if len(set(values)) > 1:
            notes.append(
                f"input ranges of {name} = {', '.join(f'{value:.4g}' for value in values)}: its tiles of the same "
                "inputs learned several, and here they have one, the largest"
            )
        found.append(max(values))
    return {name: found[0] if len(found) == 1 else found}


# --- checkpoints ---


def loaded(state: Mapping[str, Any], network: nn.Module | None) -> nn.Module:
    """Return an analog network with the weights of a state dict.

    Args:
        state: State dict of an analog network, bare or under a key of a training script.
        network: The digital network, or the analog one; it is not changed.

    Raises:
        DriftproofError: There is no network, the state dict is not one of an analog network, or does not fit.
    """
    while (under := next((key for key in _UNDER if isinstance(state.get(key), Mapping)), None)) is not None:
        state = state[under]
    state = {str(name).removeprefix("module."): value for name, value in state.items()}
    configs: dict[str, Any] = {}
    for name, value in state.items():
        if name.rpartition(".")[2] == _STATE:
            configs.setdefault(
                name.partition(".analog_module")[0] if not name.startswith("analog_module") else "", value["rpu_config"]
            )
    if not configs:
        raise DriftproofError(
            "from_aihwkit: the state dict has no layer on aihwkit's tiles: it is one of a digital network, which "
            "load_state_dict, or --weights on the command line, reads"
        )
    if network is None:
        raise DriftproofError(
            f"from_aihwkit: a state dict came ({len(configs)} layers on tiles: {', '.join(list(configs)[:_SHOWN])}"
            f"{', …' if len(configs) > _SHOWN else ''}), which has weights and no network: give the network "
            "too, digital or analog: from_aihwkit(FILE, network)"
        )
    with foreign_code("from_aihwkit: the network cannot be copied, a copy raised"):
        analog = copy.deepcopy(network)
    if not any(is_tile(module) for module in analog.modules()):
        analog = _on_tiles(analog, configs, list(state))
    with foreign_code("from_aihwkit: the state dict does not fit the network:"):
        analog.load_state_dict(state)
    return analog


def _on_tiles(network: nn.Module, configs: dict[str, Any], names: list[str]) -> nn.Module:
    """Return a digital network with aihwkit's layers where a state dict has them."""
    from aihwkit import nn as analog_nn

    modules = dict(network.named_modules())
    for name, config in configs.items():
        layer = modules.get(name)
        kind = f"Analog{type(layer).__name__}"
        if layer is None or not hasattr(analog_nn, kind):
            has = f"a {type(layer).__name__}" if layer is not None else "no such layer"
            raise DriftproofError(
                f"from_aihwkit: the state dict has layer {name or '(root)'} on tiles, where the network has {has}; "
                "give the analog network itself, as it was before it was saved"
            )
        wanted = {one for one in names if one.startswith(f"{name}." if name else "")}
        for made in (getattr(analog_nn, kind), getattr(analog_nn, f"{kind}Mapped", None)):
            analog = None if made is None else made.from_digital(layer, copy.deepcopy(config))
            if analog is not None and {f"{name}.{key}" if name else key for key in analog.state_dict()} == wanted:
                break
        if analog is None:
            continue  # load_state_dict says what does not fit
        if not name:
            return analog  # type: ignore[no-any-return]
        network.set_submodule(name, analog)
    return network


def read_checkpoint(path: Path, *, trust_pickle: bool) -> Any:
    """Return what ``torch.save`` wrote: an analog network, or a state dict.

    Without ``trust_pickle``, torch makes objects of its own safe classes only, and of aihwkit's and ``torch.nn``'s.

    Raises:
        DriftproofError: There is no such file, it cannot be read, or it makes objects of other classes.
    """
    if not path.is_file():
        raise DriftproofError(f"checkpoint {path}: no such file; wanted one that torch.save wrote")
    check_file(path)
    try:
        if trust_pickle:
            return torch.load(path, map_location="cpu", weights_only=False)
        needed = torch.serialization.get_unsafe_globals_in_checkpoint(path)
        others = [name for name in needed if _safe_class(name) is None]
        if others:
            more = f" and {len(others) - _SHOWN} more classes" if len(others) > _SHOWN else ""
            raise DriftproofError(
                f"checkpoint {path}: it makes objects of {', '.join(others[:_SHOWN])}{more}, which can run code of the "
                "file. If you trust the file, give trust_pickle=True; or save the state dict, "
                "torch.save(model.state_dict(), FILE), and give the network: from_aihwkit(FILE, network)"
            )
        with torch.serialization.safe_globals([_safe_class(name) for name in needed]):
            return torch.load(path, map_location="cpu", weights_only=True)
    except DriftproofError:
        raise
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError, LookupError, TypeError) as error:
        text = str(error).partition("\n")[0]
        raise DriftproofError(f"checkpoint {path}: it cannot be read ({type(error).__name__}: {text})") from error
    except (AttributeError, ImportError) as error:  # a class of another version, or of the user's program
        raise DriftproofError(
            f"checkpoint {path}: a class in it is not known here ({error}); import the module that defines it"
        ) from error


def _safe_class(name: str) -> Any:
    """Return the class of aihwkit or torch.nn that a name in a pickle stands for; None for everything else."""
    module, _, kind = name.rpartition(".")
    if not f"{module}.".startswith(_SAFE):
        return None
    try:
        found = getattr(importlib.import_module(module), kind, None)
    except ImportError as error:
        if not module.startswith("aihwkit."):
            return None
        raise DriftproofError(
            f"the file holds objects of aihwkit, which does not import: {error}. Install it (pip install aihwkit)"
        ) from error
    return found if isinstance(found, type) else None
