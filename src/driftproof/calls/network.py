"""A network as plain modules: out of its wrappers, its weights as they are in eval mode."""

from __future__ import annotations

import copy
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize, prune

from driftproof.errors import DriftproofError


def unwrap(model: nn.Module) -> nn.Module:
    """Return the network inside ``DataParallel``, ``DistributedDataParallel`` and ``torch.compile`` wrappers.

    By type: a network of the user's that holds another one as ``module`` has a forward of its own.
    """
    if isinstance(model, nn.DataParallel | nn.parallel.DistributedDataParallel):
        return unwrap(model.module)
    if type(model).__name__ != "OptimizedModule":
        return model
    inner = model._modules.get("_orig_mod")
    return model if inner is None else unwrap(inner)


def plain(model: nn.Module) -> nn.Module:
    """Return the network itself if it is plain already, in whatever mode, else a :func:`plain_copy`."""
    for module in model.modules():
        if unwrap(module) is not module or module._forward_pre_hooks or parametrize.is_parametrized(module):
            return plain_copy(model)
    return model


def plain_copy(model: nn.Module) -> nn.Module:
    """Return a copy of a network in eval mode that computes the same, with weights that are plain parameters.

    Wrappers are taken off, inside too. Weights that are made anew at every call (weight norm, spectral norm, pruning,
    any ``parametrize``) become the parameters that they are in eval mode: an array holds numbers, not formulas.

    >>> layer = nn.utils.parametrizations.weight_norm(nn.Linear(3, 2))
    >>> plain = plain_copy(layer)
    >>> [name for name, _ in plain.named_parameters()], torch.equal(plain.weight, layer.weight)
    (['bias', 'weight'], True)
    """
    network = unwrap(model)
    try:
        made = copy.deepcopy(network, _results(network))
    except Exception as error:  # whatever a network's own code raises
        raise DriftproofError(
            f"the network {type(network).__name__} cannot be copied: {type(error).__name__}: {error}. "
            "Give one without open files, locks, or tensors that are results of a computation"
        ) from error
    made.eval()
    for path, module in list(made.named_modules(remove_duplicate=False)):
        inner = unwrap(module)
        if inner is not module and path:
            made.set_submodule(path, inner)
    for module in made.modules():
        _fix_weights(module)
    return made


def _results(network: nn.Module) -> dict[int, Any]:
    """Return copies of tensors that modules keep as results (an old-style weight norm does): copying refuses them."""
    memo: dict[int, Any] = {}
    for module in network.modules():
        for value in vars(module).values():
            if isinstance(value, Tensor) and not value.is_leaf:
                memo[id(value)] = value.detach().clone()
    return memo


@torch.no_grad()
def _fix_weights(module: nn.Module) -> None:
    """Turn weights that are made at every call into parameters."""
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
            leftovers = [f"{name}_g", f"{name}_v"] if kind == "WeightNorm" else [f"{name}_orig"]
        elif isinstance(hook, prune.BasePruningMethod):
            value, leftovers = made.apply_mask(module), [f"{name}_orig"]
        else:
            continue
        for left in leftovers:
            module._parameters.pop(left, None)
        module._buffers.pop(f"{name}_mask", None)
        vars(module).pop(name, None)
        del module._forward_pre_hooks[key]
        module.register_parameter(name, nn.Parameter(value.detach().clone(), requires_grad=False))
