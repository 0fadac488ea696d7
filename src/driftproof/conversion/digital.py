"""The plain digital network of a converted one: its tiles taken out again, its weights those that mapping put there."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from driftproof.arrays import Passes
from driftproof.conversion.analog_model import AnalogModel
from driftproof.conversion.hand_over import HandOver


@torch.no_grad()
def digital_network(analog: AnalogModel) -> nn.Module:
    """Return the network that :func:`driftproof.convert` was given, as a plain one in eval mode.

    Weights on tiles come back as target times scale: equal but for the last bit of a float32, and clipped if they were.

    >>> from driftproof.conversion import convert
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
            if not mapped.made:  # else the parameter is what it was
                layer._parameters[mapped.parameter].copy_(weight)
            layer._parameters[mapped.parameter].requires_grad_(True)
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
    """Return torch's layer of aihwkit's."""
    bias = layer.analog_module.bias
    named: dict[str, Any] = {"bias": bias is not None, "device": "meta"}  # nothing is drawn for it
    plain: nn.Linear | nn.Conv2d
    if isinstance(layer, nn.Linear):
        plain = nn.Linear(layer.in_features, layer.out_features, **named)
    else:
        plain = nn.Conv2d(
            layer.in_channels,
            layer.out_channels,
            layer.kernel_size,
            stride=layer.stride,
            padding=layer.padding,
            dilation=layer.dilation,
            **named,
        )
    plain.weight = nn.Parameter(weight)
    if bias is not None:
        plain.bias = nn.Parameter(bias.detach().clone())
    return plain


def _remove_hooks(module: nn.Module) -> None:
    """Take off the hooks that conversion put there."""
    kinds = (
        (module._forward_pre_hooks, (module._forward_pre_hooks_with_kwargs,)),
        (module._forward_hooks, (module._forward_hooks_with_kwargs, module._forward_hooks_always_called)),
    )
    for hooks, marks in kinds:
        for key, hook in list(hooks.items()):
            if isinstance(getattr(hook, "__self__", hook), HandOver | Passes):
                del hooks[key]
                for mark in marks:
                    mark.pop(key, None)
