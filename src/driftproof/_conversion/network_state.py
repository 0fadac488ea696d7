"""The digital state of a network whose weights are on tiles: read from it, and put into a freshly built one.

State is every parameter and buffer, by name. The network's code is not state: the user builds the network, and settings
that its shapes do not determine (a stride, the kind of an activation) are compared.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from driftproof._conversion.grid import TileGrid
from driftproof._conversion.saved_form import SavedNetwork, Tensors
from driftproof._errors import DriftproofError
from driftproof._mapping import MappedWeight
from driftproof._mapping.places import join
from driftproof._sparse import dense_parts

SHOWN = 6
# settings that change no number in eval mode
_IRRELEVANT = {"inplace", "momentum"}
_CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict, nn.ParameterList, nn.ParameterDict, nn.Identity)


def digital_state(model: nn.Module, weights: Mapping[str, MappedWeight]) -> tuple[SavedNetwork, Tensors]:
    """Return the form of a converted network, and its tensors, each tensor once, whatever names it has.

    Raises:
        DriftproofError: If some state is not a tensor.
    """
    arrays = _array_names(model, weights)
    digital = [entry for entry in _state(model) if entry[0] not in arrays]
    first: dict[Tensor, str] = {}
    for name, value, _ in digital:
        first.setdefault(value, name)
    return SavedNetwork(
        kind=type(model).__name__,
        arrays=arrays,
        same={name: first[value] for name, value, _ in digital if first[value] != name},
        passing=tuple(name for name, _, persistent in digital if not persistent),
        settings=_settings(model),
    ), {f"network/{name}": value for value, name in first.items()}


@torch.no_grad()
def fill(network: nn.Module, saved: SavedNetwork, tensors: Tensors, weights: Mapping[str, MappedWeight]) -> None:
    """Put a saved state into a freshly built network, which is changed.

    Args:
        network: A network of the same architecture.
        saved: The form of the saved network.
        tensors: Tensors of the file.
        weights: Weights on tiles; the network gets their values, too.

    Raises:
        DriftproofError: If names, shapes, dtypes, shared weights or settings of layers differ.
    """
    prefix = "network/"
    came = {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
    if missing := sorted(set(saved.same.values()) - came.keys()):
        raise DriftproofError(
            f"no tensor {prefix + missing[0]!r} in the file of weights: it was changed; save it again"
        )
    came |= {name: came[first] for name, first in saved.same.items()}
    shapes = {name: (tuple(value.shape), value.dtype) for name, value in came.items()}
    together = {
        layer: [join(mapped.path, mapped.parameter), *(join(*place) for place in mapped.aliases)]
        for layer, mapped in weights.items()
    }
    for name, layer in saved.arrays.items():
        together[layer] += [] if name in together[layer] else [name]
    # a parameter that the network's code makes another weight of is digital state, and is filled like it
    arrays = {name: weights[layer] for layer, names in together.items() for name in names if not weights[layer].made}
    shapes |= {name: (mapped.shape, torch.float32) for name, mapped in arrays.items()}
    state = list(_state(network))
    present = {name: value for name, value, _ in state}
    unfit = [
        f"{name}: {_form_text(shapes[name])} in the file, {_form_text(_form(value))} in the network"
        for name, value in present.items()
        if name in shapes and shapes[name] != _form(value)
    ]
    problems = [
        _listed("missing in the network", sorted(shapes.keys() - present.keys() - set(saved.passing))),
        _listed("not in the file", [name for name, _, persistent in state if name not in shapes and persistent]),
        _listed("of another shape or kind", unfit),
        _listed("shared with others", list(_otherwise_tied(present, came, together)) if not unfit else []),
        _listed("with other settings", _other_settings(saved.settings, _settings(network))),
    ]
    if any(problems):
        raise DriftproofError(
            f"the saved {saved.kind} does not fit this {type(network).__name__}. {'. '.join(filter(None, problems))}. "
            "Build the network as it was when it was saved"
        )
    for name, mapped in arrays.items():
        present[name].copy_(mapped.weight(mapped.target))
    for name, value in came.items():  # after the arrays: a look-up table has the digital copy of a shared weight
        if name in present:
            present[name].copy_(value)


def _array_names(model: nn.Module, weights: Mapping[str, MappedWeight]) -> dict[str, str]:
    """Return the names of the plain network's weights that are on tiles, and the layer of each."""
    layers: dict[object, str] = {}  # aihwkit's layer, or the parameter that a grid of tiles replaces
    for name, mapped in weights.items():
        if not mapped.made:  # the parameter that it is made of stays as it was
            module = model.get_submodule(mapped.path)
            layers[module if _is_aihwkit(module) else module._parameters[mapped.parameter]] = name
    names = {}
    for path, module in model.named_modules(remove_duplicate=False):
        if module in layers:
            names[join(path, "weight")] = layers[module]
        names |= {join(path, name): layers[p] for name, p in module._parameters.items() if p in layers}
    return names


def _is_aihwkit(module: nn.Module) -> bool:
    return hasattr(module, "analog_module")


def _plain_modules(network: nn.Module, *, repeated: bool) -> Iterator[tuple[str, nn.Module]]:
    """Yield the modules of the plain network: no grids of tiles, and nothing inside aihwkit's layers.

    Args:
        network: A plain or converted network.
        repeated: Whether a module that has several names is yielded under each of them.
    """
    hidden: list[str] = []
    for path, module in network.named_modules(remove_duplicate=not repeated):
        if any(path.startswith(prefix) for prefix in hidden):
            continue
        if isinstance(module, TileGrid) or _is_aihwkit(module):
            hidden.append(join(path, ""))
        if not isinstance(module, TileGrid):
            yield path, module


def _state(network: nn.Module) -> Iterator[tuple[str, Tensor, bool]]:
    """Yield name, tensor, and whether it is persistent, under each name that the plain network has for it."""
    for path, module in _plain_modules(network, repeated=True):
        if _is_aihwkit(module):
            held: Any = module.analog_module
            if held.bias is not None:
                yield join(path, "bias"), held.bias, True
            continue
        if type(module).get_extra_state is not nn.Module.get_extra_state:
            raise DriftproofError(
                f"{path or 'the network'} ({type(module).__name__}) has state that is not a tensor (get_extra_state): "
                "it cannot be saved; keep it in buffers"
            )
        for name, value in (*module._parameters.items(), *module._buffers.items()):
            if value is None:
                continue
            for part, tensor in ({"": value} if _has_no_numbers(value) else dense_parts(value)).items():
                kept = value if part == "" else tensor
                yield join(path, f"{name} {part}".rstrip()), kept, name not in module._non_persistent_buffers_set


def _has_no_numbers(value: Tensor) -> bool:
    return is_lazy(value) or value.is_meta


def _form(value: Tensor) -> tuple[tuple[int, ...] | str, torch.dtype]:
    if _has_no_numbers(value):
        return "without numbers", value.dtype
    return tuple(value.shape), value.dtype


def _form_text(form: tuple[tuple[int, ...] | str, torch.dtype]) -> str:
    shape, dtype = form
    return f"{shape if isinstance(shape, str) else list(shape)} {str(dtype).removeprefix('torch.')}"


def _otherwise_tied(present: Tensors, came: Tensors, together: Mapping[str, list[str]]) -> Iterator[str]:
    """Yield the tensors that the network shares and the file does not, and the reverse: the results would differ.

    Args:
        present: Tensors of the network by name.
        came: Tensors of the file by name.
        together: Layer on tiles → names of its weight.
    """
    groups: dict[Tensor, list[str]] = {}
    for name, value in present.items():
        groups.setdefault(value, []).append(name)
    for wanted in together.values():
        if any(name not in present for name in wanted):
            continue  # listed as missing
        copies = {came[name] for name in wanted if name in came}  # of look-up tables
        wanted = [*wanted, *(name for name in came if name not in wanted and came[name] in copies)]
        group = groups[present[wanted[0]]]
        if not set(wanted) <= set(group):
            yield f"{' and '.join(wanted)} are one weight in the file, but not in the network"
        elif extra := [name for name in group if name not in wanted and name in came]:
            yield f"{' and '.join([*wanted, *extra])} are one weight in the network, but not in the file"
    for group in groups.values():
        first, *others = [name for name in group if name in came] or [""]
        for name in others:
            if came[name] is not came[first] and not torch.equal(came[name], came[first]):
                yield f"{first} and {name} are one tensor in the network, but not in the file"


def _settings(network: nn.Module) -> dict[str, dict[str, Any]]:
    """Return the settings of torch's modules, as plain JSON values."""
    settings: dict[str, dict[str, Any]] = {}
    for path, module in _plain_modules(network, repeated=False):
        kind = next((k for k in type(module).__mro__ if k.__module__.startswith("torch.nn.modules.")), nn.Module)
        if kind is nn.Module or "Dropout" in kind.__name__ or issubclass(kind, _CONTAINERS):
            continue
        constants = set(getattr(module, "__constants__", ())) - _IRRELEVANT
        # aihwkit's Conv2d inherits from torch's abstract class only
        values = {"class": "Conv2d" if kind.__name__ == "_ConvNd" else kind.__name__}
        values |= {name: getattr(module, name, None) for name in sorted(constants)}
        simple = {name: _plain(value) for name, value in values.items()}
        settings[path] = {name: value for name, value in simple.items() if value is not None}
    return settings


def _plain(value: Any) -> Any:
    """Return a JSON value, as it comes back out of a file; None for anything else."""
    try:
        return json.loads(json.dumps(value, allow_nan=False))
    except (TypeError, ValueError):
        return None


def _other_settings(file: dict[str, dict[str, Any]], network: dict[str, dict[str, Any]]) -> list[str]:
    """Return the differences; a setting that only one of the two has (another version of torch) is not one."""
    differences = []
    for path, was in file.items():
        now = network.get(path, was)
        differences += [
            f"{path or '(root)'}: {name} {was[name]} in the file, {now[name]} in the network"
            for name in was
            if name in now and was[name] != now[name]
        ]
        if path not in network:
            differences.append(f"{path or '(root)'}: {was['class']} only in the file")
    only_here = [path for path in network if path not in file]
    return differences + [f"{path or '(root)'}: {network[path]['class']} only in the network" for path in only_here]


def _listed(problem: str, names: list[str]) -> str:
    if not names:
        return ""
    more = len(names) - SHOWN
    return f"{len(names)} {problem}: {'; '.join(names[:SHOWN])}{f' and {more} more' if more > 0 else ''}"
