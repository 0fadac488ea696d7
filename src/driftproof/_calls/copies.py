"""Copies of networks, whatever their modules keep: results of a pass, locks, Python modules."""

from __future__ import annotations

import copy
import threading
from collections import deque
from collections.abc import Iterable
from functools import partial, update_wrapper
from types import CellType, FunctionType, MethodType, ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from driftproof._errors import DriftproofError

_LOCKS = {type(threading.Lock()): threading.Lock, type(threading.RLock()): threading.RLock}


def copied[T](network: T, shared: Iterable[Tensor] = ()) -> T:
    """Return a deep copy of a network (or of a tuple of things with it), in the same mode, with parameters to train.

    ``deepcopy`` alone refuses results of a computation, such as an attention map that a module keeps for whoever looks
    at it: the copy holds their numbers. It refuses locks, too: the copy has its own.

    Args:
        network: The network.
        shared: Tensors that the copy has in common with it (default: none).

    Raises:
        DriftproofError: The network keeps something that cannot be copied. The message says where.

    >>> network = nn.Linear(3, 2)
    >>> network.seen = [network.weight * 2]
    >>> copy_ = copied(network)
    >>> copy_.training, copy_.weight.requires_grad, copy_.seen[0].requires_grad
    (True, True, False)
    """
    try:
        memo = _substitutes(network) | {id(tensor): tensor for tensor in shared}
        made = copy.deepcopy(network, memo)
        whole: Any = made
        pairs = zip(network, whole, strict=True) if isinstance(network, tuple) else [(network, whole)]
        for given, part in pairs:
            if isinstance(given, nn.Module):
                _take_modes(given, part)
                for module in part.modules():
                    _rebind(module, memo)
        return made
    except Exception as error:  # a network's own code may raise anything
        raise DriftproofError(
            f"the network {type(network).__name__} cannot be copied{_where(network)}: {type(error).__name__}: {error}. "
            "Give one without open files or running generators"
        ) from error


def _take_modes(network: nn.Module, made: nn.Module) -> None:
    """Give a copy the modes of the network: ``deepcopy`` puts all modules of a graph of torch.fx in train mode."""
    modes = {path: module.training for path, module in network.named_modules(remove_duplicate=False)}
    for path, module in made.named_modules(remove_duplicate=False):
        module.training = modes.get(path, network.training)


def _substitutes(network: object) -> dict[int, Any]:
    """Return what stands in a copy for the things that ``deepcopy`` refuses, by the ``id`` of each: a memo for it."""
    found: dict[int, Any] = {}
    seen: set[int] = set()
    left: list[Any] = [network]
    while left:
        value = left.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, Tensor):
            if not value.is_leaf or value.layout not in (torch.strided, torch.sparse_coo):
                found[id(value)] = value.detach().clone()
        elif type(value) in _LOCKS:
            found[id(value)] = _LOCKS[type(value)]()
        elif isinstance(value, ModuleType):
            found[id(value)] = value
        else:
            left.extend(_parts(value))
    return found


def _parts(value: Any) -> Iterable[Any]:
    """Return what ``deepcopy`` would copy of a container or of an object's attributes."""
    if isinstance(value, type) or callable(getattr(value, "__deepcopy__", None)):
        return ()
    parts: list[Any] = list(getattr(value, "__dict__", {}).values())
    if isinstance(value, MethodType):
        parts.append(value.__self__)
    if isinstance(value, partial):
        parts += [value.func, value.args, value.keywords]
    if isinstance(value, dict):
        parts += [*value.keys(), *value.values()]
    elif isinstance(value, list | tuple | set | frozenset | deque):
        parts += value
    for kind in type(value).__mro__:
        slots = vars(kind).get("__slots__", ())
        parts += [getattr(value, name, None) for name in ((slots,) if isinstance(slots, str) else slots)]
    return parts


def _rebind(module: nn.Module, copies: dict[int, Any]) -> None:
    """Let functions that a copied module has, such as a ``forward`` given to one object, refer to the copies.

    ``deepcopy`` takes functions as they are: one that refers to the network from outside would run the given network.

    Args:
        module: A module of the copy.
        copies: Everything that was copied, by the ``id`` of the original.
    """
    for held in (vars(module), *(part for name, part in vars(module).items() if name.endswith("_hooks") and part)):
        for key, value in list(held.items()):
            held[key] = _renewed(value, copies) if isinstance(value, FunctionType) else value


def _renewed(value: Any, copies: dict[int, Any]) -> Any:
    """Return the copy of something that a function refers to, or the same if it was not copied."""
    if id(value) in copies:
        return copies[id(value)]
    if isinstance(value, MethodType) and id(value.__self__) in copies:
        return MethodType(value.__func__, copies[id(value.__self__)])
    if not isinstance(value, FunctionType):
        return value
    copies[id(value)] = value  # while its variables are looked at: one may be the function itself
    cells = [(cell, _renewed_cell(cell, copies)) for cell in value.__closure__ or ()]
    defaults = tuple((old, _renewed(old, copies)) for old in value.__defaults__ or ())
    if any(new is not old for old, new in (*cells, *defaults)):
        closure = tuple(new for _, new in cells) or None
        made = FunctionType(
            value.__code__, value.__globals__, value.__name__, tuple(new for _, new in defaults) or None, closure
        )
        made.__kwdefaults__ = value.__kwdefaults__
        update_wrapper(made, value)
        copies[id(value)] = made
    return copies[id(value)]


def _renewed_cell(cell: CellType, copies: dict[int, Any]) -> CellType:
    """Return a cell with the copy of what a function's variable refers to; the same cell if that was not copied."""
    try:
        new = _renewed(cell.cell_contents, copies)
    except ValueError:  # an empty one
        return cell
    return cell if new is cell.cell_contents else CellType(new)


def _where(network: object) -> str:
    """Return the first attribute of a module that cannot be copied, as a text for a message."""
    for path, module in network.named_modules() if isinstance(network, nn.Module) else ():
        for name, value in vars(module).items():
            if name in ("_modules", "_parameters", "_buffers"):
                continue
            try:
                copy.deepcopy(value, _substitutes(network))
            except Exception:  # as above
                return f" because of the attribute {name!r} of {path or 'the network'}"
    return ""
