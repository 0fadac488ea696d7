"""The plain digital network behind a converted one: without tiles, with the weights of the mapping."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from driftproof._conversion.analog_model import AnalogModel
from driftproof._conversion.hand_over import HandOver
from driftproof.arrays._passes import Passes


@torch.no_grad()
def digital_network(analog: AnalogModel) -> nn.Module:
    """Return the network that :func:`driftproof.convert` was given, as a plain one in eval mode.

    Weights on tiles are returned as target times scale: they equal the given ones to the last bit of a float32
    (quantised ones bit for bit), and are clipped if the mapping clipped them.

    >>> from driftproof._conversion import convert
    >>> layer = nn.Linear(8, 4)
    >>> plain = digital_network(convert(layer, "ideal"))
    >>> type(plain).__name__, torch.allclose(plain.weight, layer.weight)
    ('Linear', True)
    """
    network = copy.deepcopy(analog.model)
    for mapped in analog.mapping.weights.values():
        layer: Any = network.get_submodule(mapped.path)
        weight = mapped.weight(mapped.target)
        if not hasattr(layer, "analog_module"):
            del layer._modules[f"{mapped.parameter}_on_tiles"]
            parameter = layer._parameters[mapped.parameter].requires_grad_(True)
            if not mapped.made:  # otherwise the parameter has kept its values
                parameter.copy_(weight)
            continue
        plain = _plain_layer(layer, weight)
        if mapped.path:
            network.set_submodule(mapped.path, plain)
        else:
            network = plain
    for module in network.modules():
        _remove_hooks(module)
    return network.eval()


def _plain_layer(layer: Any, weight: Tensor) -> nn.Module:
    """Return torch's layer for one of aihwkit's."""
    bias = layer.analog_module.bias
    named: dict[str, Any] = {"bias": bias is not None, "device": "meta"}  # no random initial weights are drawn
    plain: nn.Linear | nn.Conv2d
    if isinstance(layer, nn.Linear):
        plain = nn.Linear(layer.in_features, layer.out_features, **named)
    else:
        sizes = layer.kernel_size, layer.stride, layer.padding, layer.dilation
        plain = nn.Conv2d(layer.in_channels, layer.out_channels, *sizes, **named)
    plain.weight = nn.Parameter(weight)
    if bias is not None:
        plain.bias = nn.Parameter(bias.detach().clone())
    return plain


def _remove_hooks(module: nn.Module) -> None:
    """Remove the hooks that conversion has registered."""
    before: list[dict[int, Any]] = [module._forward_pre_hooks, module._forward_pre_hooks_with_kwargs]
    after: list[dict[int, Any]] = [module._forward_hooks, module._forward_hooks_with_kwargs]
    after.append(module._forward_hooks_always_called)
    for hooks, *marks in (before, after):
        ours = [key for key, hook in hooks.items() if isinstance(getattr(hook, "__self__", hook), HandOver | Passes)]
        for key in ours:
            for entries in (hooks, *marks):
                entries.pop(key, None)
