"""Fuse what follows a layer in a traced network into the layer: another tensor that is added, and ReLU."""

from __future__ import annotations

import io
import operator
from collections import Counter
from collections.abc import Callable, Collection
from contextlib import redirect_stderr
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.fx.passes.shape_prop import ShapeProp
from torch.nn import functional as F

from driftproof.arrays._code_reads import CodeReads
from driftproof.evaluation._kernels import kernel_of, tell_of_missing_kernels

_ADDS: tuple[Any, ...] = (operator.add, torch.add, "add")
_ADDS_IN_PLACE: tuple[Any, ...] = (operator.iadd, "add_")
_RELUS: tuple[Any, ...] = (F.relu, torch.relu, torch.relu_, "relu", "relu_")


class FusedLayer(nn.Module):
    """A layer together with what follows it.

    Args:
        layer: The layer, with the weight of a digital layer, or of a chip under an ideal periphery.
        reads: Its array between converters, or None with an ideal periphery.
        relu: Whether ReLU follows.
    """

    def __init__(self, layer: nn.Module, reads: CodeReads | None, relu: bool) -> None:
        super().__init__()
        self.layer, self.reads, self.relu = layer, reads, relu
        self._kernel = kernel_of(layer, relu)

    def forward(self, x: Tensor, other: Tensor | None = None) -> Tensor:
        """Return relu(layer(x) + other)."""
        if self.reads is None or self.reads.loaded is None:
            return self._kernel(x, other)
        return self.reads(x, self.layer.bias, other, self.relu)  # type: ignore[arg-type]  # a layer's bias


@torch.no_grad()
def fuse(
    traced: fx.GraphModule, layers: Collection[str], example: Tensor, reads: Callable[[str], CodeReads | None]
) -> tuple[fx.GraphModule, set[str]] | None:
    """Return a traced network in which layers are computed together with what follows them, and these layers.

    The result is None if the network cannot be followed without gradients.

    Args:
        traced: A traced network. It is changed; its modules are used, not copied.
        layers: Names of layers that may be fused: each an ``nn.Conv2d`` or an ``nn.Linear`` that runs once.
        example: A batch of inputs, for the shapes.
        reads: Function from the name of such a layer to its array between converters, or None.
    """
    try:
        with redirect_stderr(io.StringIO()):  # it prints what it also raises
            ShapeProp(traced).propagate(example.clone())
    except Exception:  # a network that differentiates in its forward
        return None
    modules = dict(traced.named_modules())
    calls = [node for node in traced.graph.nodes if node.op == "call_module" and str(node.target) in layers]
    times = Counter(str(call.target) for call in calls)
    calls = [call for call in calls if times[str(call.target)] == 1 and len(call.args) == 1 and not call.kwargs]
    if example.device.type == "cpu" and any(isinstance(modules[str(call.target)], nn.Conv2d) for call in calls):
        tell_of_missing_kernels()
    for number, call in enumerate(calls):
        name = str(call.target)
        chain, other, relu = _followed(call, modules)
        codes = reads(name)
        if codes is not None:
            codes.behind_relu = _is_not_negative(call.args[0], traced)
        traced.add_submodule(f"fused_{number}", FusedLayer(modules[name], codes, relu))
        last = chain[-1]
        with traced.graph.inserting_after(last):
            inputs = call.args if other is None else (*call.args, other)
            new = traced.graph.call_module(f"fused_{number}", inputs)
        new.meta = dict(last.meta)
        last.replace_all_uses_with(new)
        for node in reversed(chain):
            traced.graph.erase_node(node)
    traced.delete_all_unused_submodules()
    traced.recompile()
    return traced, {str(call.target) for call in calls}


def _followed(call: fx.Node, modules: dict[str, nn.Module]) -> tuple[list[fx.Node], fx.Node | None, bool]:
    """Return the nodes that become one with a layer's call, what they add to its outputs, and whether ReLU is last."""
    chain, other = [call], None
    added = _only_user(call)
    if added is not None and (other := _other_summand(added, call)) is not None:
        chain.append(added)
    after = _only_user(chain[-1])
    relu = after is not None and _is_relu(after, modules)
    if relu and after is not None:
        chain.append(after)
    # the layer is computed where its chain ends: nothing in between may write into a tensor
    between, node = [], call.next
    while len(chain) > 1 and node is not chain[-1]:
        between += [node] if node not in chain else []
        node = node.next
    if any(_writes(node, modules) for node in between):
        return [call], None, False
    return chain, other, relu


def _only_user(node: fx.Node) -> fx.Node | None:
    (user,) = node.users if len(node.users) == 1 else (None,)
    return user


def _other_summand(node: fx.Node, mine: fx.Node) -> fx.Node | None:
    """Return what a node adds to a layer's outputs, if it adds a tensor of the same shape."""
    if node.kwargs or len(node.args) != 2 or node.target not in (*_ADDS, *_ADDS_IN_PLACE):
        return None
    first, second = node.args
    other = second if first is mine else first
    if other is mine or not isinstance(other, fx.Node) or (node.target in _ADDS_IN_PLACE and first is not mine):
        return None
    return other if _shape(mine) == _shape(other) is not None else None


def _shape(node: fx.Node) -> tuple[torch.Size, torch.dtype] | None:
    """Return shape and type of a node's result, None if it is not one tensor."""
    meta: Any = node.meta.get("tensor_meta")
    return (meta.shape, meta.dtype) if isinstance(getattr(meta, "shape", None), torch.Size) else None


def _is_relu(node: fx.Node, modules: dict[str, nn.Module]) -> bool:
    if node.op == "call_module":
        module = modules.get(str(node.target))  # None for a layer that is fused already
        return isinstance(module, nn.ReLU) and not module._forward_hooks and not module._forward_pre_hooks
    return node.target in _RELUS and len(node.args) == 1


def _is_not_negative(node: Any, traced: fx.GraphModule) -> bool:
    """Whether ReLU is the last operation behind a node that changes signs."""
    while isinstance(node, fx.Node) and node.op == "call_module":
        module = traced.get_submodule(str(node.target))
        if isinstance(module, FusedLayer | nn.ReLU):
            return isinstance(module, nn.ReLU) or module.relu
        if type(module) not in (nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d):
            return False
        node = node.args[0]
    return isinstance(node, fx.Node) and node.target in _RELUS


def _writes(node: fx.Node, modules: dict[str, nn.Module]) -> bool:
    """Whether a node may write into one of its inputs."""
    if node.op == "call_module":
        return bool(getattr(modules.get(str(node.target)), "inplace", False))
    name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")
    in_place = name.endswith("_") and not name.endswith("__")
    of_operator = getattr(node.target, "__module__", "") == "_operator" and name.startswith(("i", "setitem"))
    return in_place or of_operator or bool(node.kwargs.get("inplace")) or "out" in node.kwargs
