"""The digital state of a network whose weights are on tiles: out of it, and into a freshly built one.

State is every parameter and buffer, by name. The network's code is not state: who loads builds the network, and what
its shapes do not tell (a stride, the kind of an activation) is compared.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from driftproof.conversion.saved_form import SavedNetwork, Tensors
from driftproof.errors import DriftproofError
from driftproof.mapping import MappedWeight

SHOWN = 6
# what makes no difference in eval mode, or none to the numbers
_IRRELEVANT = {"inplace", "momentum"}
_CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict, nn.ParameterList, nn.ParameterDict, nn.Identity)


def join(path: str, name: str) -> str:
    """Return the name of a module's parameter or child in the network."""
    return f"{path}.{name}" if path else name


def places(mapped: MappedWeight) -> list[tuple[str, str]]:
    """Return all (module, parameter) names of a weight on tiles."""
    return [(mapped.path, mapped.parameter), *mapped.aliases]


def digital_state(model: nn.Module, weights: Mapping[str, MappedWeight]) -> tuple[SavedNetwork, Tensors]:
    """Return what is written of a converted network, and its tensors; each tensor once, whatever names it has.

    Raises:
        DriftproofError: state that is no tensor.
    """
    arrays = _array_names(model, weights)
    tensors: Tensors = {}
    first: dict[int, str] = {}
    same: dict[str, str] = {}
    passing = []
    for name, value, persistent in _state(model, weights):
        if name in arrays:
            continue
        if not persistent:
            passing.append(name)
        if id(value) in first:
            same[name] = first[id(value)]
        else:
            first[id(value)] = name
            tensors[f"network/{name}"] = value
    return SavedNetwork(
        kind=type(model).__name__,
        arrays=arrays,
        same=same,
        passing=tuple(passing),
        settings=_settings(model, weights),
    ), tensors


@torch.no_grad()
def fill(network: nn.Module, saved: SavedNetwork, tensors: Tensors, weights: Mapping[str, MappedWeight]) -> None:
    """Put a saved state into a freshly built network, a copy that nobody else needs.

    Args:
        network: of the same architecture.
        saved: what was written of the network.
        tensors: of the file.
        weights: what is on tiles; the network gets their values, too.

    Raises:
        DriftproofError: names, shapes, kinds of number, shared weights or settings of layers that differ.
    """
    prefix = "network/"
    came = {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
    if missing := sorted(set(saved.same.values()) - came.keys()):
        raise DriftproofError(f"no tensor {prefix + missing[0]!r} in the file of weights: it was changed; save anew")
    came |= {name: came[first] for name, first in saved.same.items()}
    shapes = {name: (tuple(value.shape), value.dtype) for name, value in came.items()}
    together = {layer: [join(*place) for place in places(mapped)] for layer, mapped in weights.items()}
    for name, layer in saved.arrays.items():
        together[layer] += [] if name in together[layer] else [name]
    # what the network's code makes another weight of is its own state, and stays
    arrays = {name: weights[layer] for layer, names in together.items() for name in names if not weights[layer].made}
    shapes |= {name: (mapped.shape, torch.float32) for name, mapped in arrays.items()}
    own, kept = {}, set()
    for name, value, persistent in _state(network, {}):
        own[name] = value
        if not persistent:
            kept.add(name)
    unfit = [
        f"{name}: {_said(shapes[name])} in the file, {_said(_form(value))} in the network"
        for name, value in own.items()
        if name in shapes and shapes[name] != _form(value)
    ]
    problems = [
        _listed("missing in the network", sorted(shapes.keys() - own.keys() - set(saved.passing))),
        _listed("not in the file", [name for name in own if name not in shapes and name not in kept]),
        _listed("of another shape or kind", unfit),
        _listed("shared with others", list(_otherwise_tied(own, came, together)) if not unfit else []),
        _listed("with other settings", _other_settings(saved.settings, _settings(network, {}))),
    ]
    said = [problem for problem in problems if problem]
    if said:
        raise DriftproofError(
            f"the saved {saved.kind} does not fit this {type(network).__name__}. {'. '.join(said)}. "
            "Build the network as it was when it was saved"
        )
    for name, mapped in arrays.items():
        own[name].copy_(mapped.weight(mapped.target))
    for name, value in came.items():  # behind the arrays: a look-up table has its digital copy of a shared weight
        if name in own:
            own[name].copy_(value)


def _array_names(model: nn.Module, weights: Mapping[str, MappedWeight]) -> dict[str, str]:
    """Return which names of the plain network are weights on tiles, and of which layer."""
    layers: dict[int, str] = {}  # aihwkit's layer, or the parameter that a grid of tiles stands for
    for name, mapped in weights.items():
        if mapped.made:
            continue  # the parameter that it is made of stays what it was
        module = model.get_submodule(mapped.path)
        layers[id(module if _is_aihwkit(module) else module._parameters[mapped.parameter])] = name
    found = {}
    for path, module in model.named_modules(remove_duplicate=False):
        if id(module) in layers:
            found[join(path, "weight")] = layers[id(module)]
        found |= {join(path, own): layers[id(p)] for own, p in module._parameters.items() if id(p) in layers}
    return found


def _is_aihwkit(module: nn.Module) -> bool:
    return hasattr(module, "analog_module")


def _grids(model: nn.Module, weights: Mapping[str, MappedWeight]) -> set[int]:
    """Return which modules are grids of tiles: the plain network does not have them."""
    paths = (join(mapped.path, f"{mapped.parameter}_on_tiles") for mapped in weights.values())
    modules = dict(model.named_modules())
    return {id(modules[path]) for path in paths if path in modules}


def _state(network: nn.Module, weights: Mapping[str, MappedWeight]) -> Iterator[tuple[str, Tensor, bool]]:
    """Yield name, tensor, and whether it counts as state, by every name that the plain network has for it."""
    grids, hidden = _grids(network, weights), list[str]()
    for path, module in network.named_modules(remove_duplicate=False):
        if any(path.startswith(inside) for inside in hidden):
            continue
        if id(module) in grids or _is_aihwkit(module):
            hidden.append(join(path, ""))
        if id(module) in grids:
            continue
        if _is_aihwkit(module):
            bias = module.analog_module.bias
            if bias is not None:
                yield join(path, "bias"), bias, True
            continue
        if type(module).get_extra_state is not nn.Module.get_extra_state:
            raise DriftproofError(
                f"{path or 'the network'} ({type(module).__name__}) has state that is no tensor (get_extra_state): "
                "it cannot be saved; keep it in buffers"
            )
        passing = module._non_persistent_buffers_set
        for name, value in (*module._parameters.items(), *module._buffers.items()):
            if value is not None:
                yield join(path, name), value, name not in passing


def _form(value: Tensor) -> tuple[tuple[int, ...] | str, torch.dtype]:
    if is_lazy(value) or value.is_meta:
        return "without numbers", value.dtype
    return tuple(value.shape), value.dtype


def _said(form: tuple[tuple[int, ...] | str, torch.dtype]) -> str:
    shape, dtype = form
    return f"{shape if isinstance(shape, str) else list(shape)} {str(dtype).removeprefix('torch.')}"


def _otherwise_tied(own: dict[str, Tensor], came: Tensors, together: Mapping[str, list[str]]) -> Iterator[str]:
    """Yield what the network shares, or does not share, unlike the file: it would compute something else."""
    groups: dict[int, list[str]] = {}
    for name, value in own.items():
        groups.setdefault(id(value), []).append(name)
    for wanted in together.values():
        if any(name not in own for name in wanted):
            continue  # said elsewhere
        copies = [came[name] for name in wanted if name in came]  # of look-up tables
        wanted = [*wanted, *(n for n in came if n not in wanted and any(came[n] is copy for copy in copies))]
        group = groups.get(id(own.get(wanted[0])), [])
        if not set(wanted) <= set(group):
            yield f"{' and '.join(wanted)} are one weight in the file, but not in the network"
        elif extra := [name for name in group if name not in wanted and name in came]:
            yield f"{' and '.join([*wanted, *extra])} are one weight in the network, but not in the file"
    for group in groups.values():
        first, *others = [name for name in group if name in came] or [""]
        for name in others:
            if came[name] is not came[first] and not torch.equal(came[name], came[first]):
                yield f"{first} and {name} are one tensor in the network, but not in the file"


def _settings(network: nn.Module, weights: Mapping[str, MappedWeight]) -> dict[str, dict[str, Any]]:
    """Return what torch's own modules were made with, as plain JSON values."""
    grids, hidden = _grids(network, weights), list[str]()
    found: dict[str, dict[str, Any]] = {}
    for path, module in network.named_modules():
        if id(module) in grids or _is_aihwkit(module):
            hidden.append(join(path, ""))
        kind = next((k for k in type(module).__mro__ if k.__module__.startswith("torch.nn.modules.")), nn.Module)
        inside = path and any(path.startswith(prefix) for prefix in hidden)
        if inside or kind is nn.Module or "Dropout" in kind.__name__ or issubclass(kind, _CONTAINERS):
            continue
        constants = set(getattr(module, "__constants__", ())) - _IRRELEVANT
        # aihwkit's Conv2d is torch's by its parent only
        values = {"class": "Conv2d" if kind.__name__ == "_ConvNd" else kind.__name__}
        values |= {name: getattr(module, name, None) for name in sorted(constants)}
        simple = {name: _plain(value) for name, value in values.items()}
        found[path] = {name: value for name, value in simple.items() if value is not None}
    return found


def _plain(value: Any) -> Any:
    """Return a JSON value, as it comes back out of a file; None for anything else."""
    try:
        return json.loads(json.dumps(value, allow_nan=False))
    except (TypeError, ValueError):
        return None


def _other_settings(file: dict[str, dict[str, Any]], network: dict[str, dict[str, Any]]) -> list[str]:
    """Return what differs; a number that only one of the two knows (another version of torch) is none."""
    found = []
    for path in [*file, *(path for path in network if path not in file)]:
        was, now = file.get(path), network.get(path)
        if was is None or now is None:
            there, where = (was or now or {}), "file" if now is None else "network"
            found.append(f"{path or '(root)'}: {there['class']} only in the {where}")
            continue
        found += [
            f"{path or '(root)'}: {name} {was[name]} in the file, {now[name]} in the network"
            for name in was
            if name in now and was[name] != now[name]
        ]
    return found


def _listed(what: str, names: list[str]) -> str:
    if not names:
        return ""
    more = len(names) - SHOWN
    return f"{len(names)} {what}: {'; '.join(names[:SHOWN])}{f' and {more} more' if more > 0 else ''}"
