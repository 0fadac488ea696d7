"""What can be simplified in a network: norms that fold into the layer before, its code in a straight line."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, fx, nn

from driftproof.inputs import Inputs, call

_NORM_OF = {
    nn.Linear: nn.BatchNorm1d,
    nn.Conv1d: nn.BatchNorm1d,
    nn.Conv2d: nn.BatchNorm2d,
    nn.Conv3d: nn.BatchNorm3d,
}
CACHE_BYTES = 4 * 1024**2  # on a CPU, activations of this size stay near the core and need no fresh memory pages


def foldable_norms(model: nn.Module, example: Inputs) -> dict[str, str]:
    """Return layer → BatchNorm for every pair that can fold: each runs once, and nothing else reads in between.

    Found by tracing with torch.fx; a network that cannot be traced, or that takes other inputs than one tensor, folds
    nothing, which is slower and as right.

    >>> net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU()).eval()
    >>> foldable_norms(net, torch.zeros(1, 1, 8, 8))
    {'0': '1'}
    """
    if not isinstance(example, Tensor):
        return {}
    try:
        graph = fx.Tracer().trace(model)
    except Exception:  # what a network's own Python does under tracing is its own affair
        return {}
    modules = dict(model.named_modules())
    calls: dict[str, list[fx.Node]] = {}
    for node in graph.nodes:
        if node.op == "call_module":
            calls.setdefault(str(node.target), []).append(node)
    places: dict[int, list[str]] = {}
    for name, module in model.named_modules(remove_duplicate=False):
        places.setdefault(id(module), []).append(name)
    aliased = {name for names in places.values() if len(names) > 1 for name in names}
    read_directly = {str(node.target).rpartition(".")[0] for node in graph.nodes if node.op == "get_attr"}
    pairs = {}
    for target, nodes in calls.items():
        norm = modules[target]
        if type(norm) not in _NORM_OF.values() or len(nodes) != 1 or not isinstance(norm.running_var, Tensor):
            continue
        if norm.training or target in read_directly:
            continue
        source = nodes[0].args[0] if nodes[0].args else None
        if not isinstance(source, fx.Node) or source.op != "call_module" or len(source.users) != 1:
            continue
        name = str(source.target)
        if any(_has_hooks(module) for module in (norm, modules[name])) or {target, name} & aliased:
            continue
        if len(calls[name]) == 1 and name not in read_directly and _NORM_OF.get(type(modules[name])) is type(norm):
            pairs[name] = target
    sequences = _linear_layers_on_sequences(model, example)
    return {name: norm for name, norm in pairs.items() if name not in sequences}


def samples_at_once(model: nn.Module, example: Inputs, outputs: Any) -> int:
    """Return how many samples to compute at once: on a CPU, as many as keep the largest activation in the cache.

    It depends on shapes alone, so that the same evaluation gives the same numbers. (ResNet-20 on CIFAR: 64 of a batch
    of 250, which takes half the time of the whole batch.)
    """
    if not isinstance(example, Tensor) or not isinstance(outputs, Tensor) or example.device.type != "cpu":
        return 2**31
    largest = example.nbytes
    handles = []

    def note(_: nn.Module, __: object, output: object) -> None:
        nonlocal largest
        if isinstance(output, Tensor):
            largest = max(largest, output.nbytes)

    for module in model.modules():
        handles.append(module.register_forward_hook(note))
    with torch.inference_mode():
        call(model, example)
    for handle in handles:
        handle.remove()
    return max(8, CACHE_BYTES * len(example) // largest)


def straight(model: nn.Module) -> nn.Module:
    """Return the network as straight-line code over the same modules, or itself if it cannot be traced.

    The traced code drops each activation after its last use, which a user's own forward does not: large activations
    are then reused while they are in the cache.
    """
    try:
        graph = fx.Tracer().trace(model)
    except Exception:  # as in foldable_norms
        return model
    modules = dict(model.named_modules())
    for node in list(graph.nodes):
        if node.op == "call_module" and type(modules[str(node.target)]) is nn.Identity:
            node.replace_all_uses_with(node.args[0])
            graph.erase_node(node)
    return fx.GraphModule(model, graph).eval()


def _has_hooks(module: nn.Module) -> bool:
    return bool(module._forward_hooks or module._forward_pre_hooks)


def _linear_layers_on_sequences(model: nn.Module, example: Inputs) -> set[str]:
    """Return the linear layers with outputs [N, length, features]: a BatchNorm1d behind one normalises the length."""
    found: set[str] = set()
    handles = []
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear):

            def note(_: object, __: object, output: Tensor, name: str = name) -> None:
                if output.dim() != 2:
                    found.add(name)

            handles.append(module.register_forward_hook(note))
    with torch.inference_mode():
        call(model, example)
    for handle in handles:
        handle.remove()
    return found


@torch.no_grad()
def fold_norm(layer: nn.Module, norm: nn.Module) -> Tensor:
    """Give the layer the BatchNorm's shift as its bias, and return the factor [out] that its weight needs."""
    mean, var, weight, bias = (getattr(norm, key) for key in ("running_mean", "running_var", "weight", "bias"))
    factor = torch.rsqrt(var.double() + norm.eps)
    if weight is not None:
        factor = factor * weight.double()
    shift = -mean.double() if layer.bias is None else layer.bias.double() - mean.double()
    shift = shift * factor if bias is None else shift * factor + bias.double()
    layer.bias = nn.Parameter(shift.to(layer.weight.dtype), requires_grad=False)
    return factor.float()
