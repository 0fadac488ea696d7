"""Simplify a network: fold norms into the layer before, and trace its code into a straight line."""

from __future__ import annotations

import io
from collections import Counter, defaultdict
from contextlib import redirect_stderr

import torch
from torch import Tensor, fx, nn
from torch.fx.passes.shape_prop import ShapeProp

from driftproof._inputs import Inputs

_NORM_OF = {nn.Linear: nn.BatchNorm1d, nn.Conv1d: nn.BatchNorm1d, nn.Conv2d: nn.BatchNorm2d, nn.Conv3d: nn.BatchNorm3d}


def foldable_norms(model: nn.Module, example: Inputs) -> dict[str, str]:
    """Return layer → BatchNorm for every pair that can fold: each runs once, and nothing else reads the layer's output.

    The pairs come from a torch.fx trace. A network that cannot be traced, or that takes other inputs than one tensor,
    folds nothing. This is slower and gives the same outputs.

    Args:
        model: A copy of a network: its own code runs on torch.fx's stand-ins for numbers, and may keep some.
        example: A batch of inputs.

    >>> net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU()).eval()
    >>> foldable_norms(net, torch.zeros(1, 1, 8, 8))
    {'0': '1'}
    """
    if not isinstance(example, Tensor):
        return {}
    try:
        graph = fx.Tracer().trace(model)
        with torch.no_grad(), redirect_stderr(io.StringIO()):  # it prints what it also raises
            ShapeProp(fx.GraphModule(model, graph)).propagate(example.clone())
    except Exception:  # a network's own Python may fail under tracing
        return {}
    modules = dict(model.named_modules())
    names_of = Counter(id(module) for _, module in model.named_modules(remove_duplicate=False))
    calls: defaultdict[str, list[fx.Node]] = defaultdict(list)
    for node in graph.nodes:
        if node.op == "call_module":
            calls[str(node.target)].append(node)
    read_directly = {str(node.target).rpartition(".")[0] for node in graph.nodes if node.op == "get_attr"}

    def simple(name: str) -> bool:
        """Whether a module has one name and no hooks, runs once, and none of its tensors is read elsewhere."""
        module = modules[name]
        hooked = module._forward_hooks or module._forward_pre_hooks
        return len(calls[name]) == 1 and names_of[id(module)] == 1 and name not in read_directly and not hooked

    pairs = {}
    for target in [name for name in calls if type(modules[name]) in _NORM_OF.values() and simple(name)]:
        norm, args = modules[target], calls[target][0].args
        source = args[0] if args else None
        if norm.training or not isinstance(norm.running_var, Tensor):
            continue
        if not isinstance(source, fx.Node) or source.op != "call_module" or len(source.users) != 1:
            continue
        name = str(source.target)
        if not simple(name) or _NORM_OF.get(type(modules[name])) is not type(norm):
            continue
        # behind a linear layer on sequences, [N, length, features], a BatchNorm1d normalises the length
        if not isinstance(modules[name], nn.Linear) or len(source.meta["tensor_meta"].shape) == 2:
            pairs[name] = target
    return pairs


def straight(model: nn.Module) -> nn.Module:
    """Return the network as straight-line code over the same modules, or the network itself if it cannot be traced.

    The traced code drops each activation after its last use. The memory of a large activation is then used again while
    it is in the cache.
    """
    try:
        graph = fx.Tracer().trace(model)
        modules = dict(model.named_modules())
        for node in list(graph.nodes):
            if node.op == "call_module" and type(modules[str(node.target)]) is nn.Identity:
                node.replace_all_uses_with(node.args[0])
                graph.erase_node(node)
        return fx.GraphModule(model, graph).eval()
    except Exception:  # as in foldable_norms; names of modules may not be names in Python
        return model


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
