"""A network as plain modules: without wrappers, with the weights that it has in eval mode."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import nn
from torch.nn.parameter import is_lazy
from torch.nn.utils import parametrize, prune

from driftproof._calls.analog import check_digital
from driftproof._calls.copies import copied
from driftproof._errors import DriftproofError


def unwrap(model: nn.Module) -> nn.Module:
    """Return the network inside ``DataParallel``, ``DistributedDataParallel`` and ``torch.compile`` wrappers.

    Wrappers are recognised by type: a user's network that holds another one as ``module`` has its own forward.
    """
    if isinstance(model, nn.DataParallel | nn.parallel.DistributedDataParallel):
        return unwrap(model.module)
    if type(model).__name__ != "OptimizedModule":
        return model
    inner = model._modules.get("_orig_mod")
    return model if inner is None else unwrap(inner)


def check_numbers(network: nn.Module) -> None:
    """Raise DriftproofError for parameters or buffers without numbers: lazy ones, and those on the meta device."""
    for name, tensor in (*network.named_parameters(), *network.named_buffers()):
        lazy = is_lazy(tensor)
        if lazy or tensor.is_meta:
            kind = "a lazy layer's, which gets its shape" if lazy else "on the meta device, and gets its numbers"
            when = "in a first pass: call the network once" if lazy else "when weights are loaded: load them"
            raise DriftproofError(f"the network's {name} has no numbers yet. It is {kind} {when}, then give it here")


def plain(model: nn.Module) -> nn.Module:
    """Return the network itself if it is plain already, in train or eval mode; otherwise a :func:`plain_copy`.

    Raises:
        DriftproofError: If the network is analog already, or cannot be copied.
    """
    check_digital(unwrap(model))
    check_numbers(model)
    for module in model.modules():
        if unwrap(module) is not module or module._forward_pre_hooks or parametrize.is_parametrized(module):
            return plain_copy(model)
    return model


def plain_copy(model: nn.Module) -> nn.Module:
    """Return a copy of a network in eval mode that computes the same, with weights that are plain parameters.

    Wrappers are removed, also inside the network. Weights that are computed at every call (weight norm, spectral norm,
    pruning, any ``parametrize``) become parameters with their values in eval mode: an array holds numbers, not
    formulas.

    Raises:
        DriftproofError: If the network is analog already, or cannot be copied.

    >>> layer = nn.utils.parametrizations.weight_norm(nn.Linear(3, 2))
    >>> plain = plain_copy(layer)
    >>> [name for name, _ in plain.named_parameters()], torch.equal(plain.weight, layer.weight)
    (['bias', 'weight'], True)
    """
    network = unwrap(model)
    check_digital(network)
    check_numbers(network)
    made = copied(network).eval()
    for path, module in list(made.named_modules(remove_duplicate=False)):
        inner = unwrap(module)
        if inner is not module and path:
            made.set_submodule(path, inner)
    for module in made.modules():
        _fix_weights(module)
    return made


@torch.no_grad()
def _fix_weights(module: nn.Module) -> None:
    """Turn weights that are computed at every call into parameters."""
    if parametrize.is_parametrized(module):
        values = {name: getattr(module, name).detach().clone() for name in module.parametrizations}  # type: ignore[union-attr]
        # torch's own removal would change the class, which the copy shares with the given network
        module.__class__ = parametrize.type_before_parametrizations(module)
        del module._modules["parametrizations"]
        for name, value in values.items():
            module.register_parameter(name, nn.Parameter(value, requires_grad=False))
    for key, hook in list(module._forward_pre_hooks.items()):
        kind, made = type(hook).__name__, cast(Any, hook)
        name = str(getattr(hook, "name", "") or getattr(hook, "_tensor_name", ""))
        if kind in ("WeightNorm", "SpectralNorm") and hasattr(hook, "compute_weight"):
            value = made.compute_weight(module, False) if kind == "SpectralNorm" else made.compute_weight(module)
        elif isinstance(hook, prune.BasePruningMethod):
            value = made.apply_mask(module)
        else:
            continue
        for suffix in ("_g", "_v", "_orig"):  # what the weight was computed from
            module._parameters.pop(f"{name}{suffix}", None)
        module._buffers.pop(f"{name}_mask", None)
        vars(module).pop(name, None)
        del module._forward_pre_hooks[key]
        module.register_parameter(name, nn.Parameter(value.detach().clone(), requires_grad=False))
