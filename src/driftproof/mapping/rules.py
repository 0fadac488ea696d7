"""What is known of a network's weights: by watching it compute or, without example inputs, by the classes of layers."""

from __future__ import annotations

import torch
from torch import nn

from driftproof.calls import Layout
from driftproof.calls.watch import Uses, matrices

LOOK_UP = "embedding"
_SHARE_A_TABLE = "look rows up with an nn.Embedding that shares the weight, then the product goes on tiles"
_NORMS = (nn.modules.batchnorm._BatchNorm, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)  # instance norms are among the first
_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
# what is done with weights that are no matrix: added, scaled by, looked up, repeated
_ELEMENTWISE = {
    *("add", "add_", "__add__", "__radd__", "sub", "rsub", "mul", "mul_", "__mul__", "__rmul__", "div", "where"),
    *("expand", "expand_as", "repeat", "repeat_interleave", "tile", "cat", "stack", "embedding", "embedding_bag"),
    *(
        "__getitem__",
        "index_select",
        "gather",
        "take",
        "narrow",
        "roll",
        "pad",
        "flip",
        "masked_fill",
        "copy_",
        "clone",
    ),
    *("layer_norm", "group_norm", "batch_norm", "rms_norm", "instance_norm", "prelu", "interpolate", "normalize"),
    *(
        "exp",
        "neg",
        "sigmoid",
        "tanh",
        "softplus",
        "softmax",
        "abs",
        "clamp",
        "addcmul",
        "lerp",
        "to",
        "float",
        "type",
        "scaled_dot_product_attention",
    ),
}


def is_norm(module: nn.Module) -> bool:
    """Return whether a module normalises: by its class, or by the name it has (``LlamaRMSNorm``)."""
    return isinstance(module, _NORMS) or type(module).__name__.endswith("Norm")


def known_uses(network: nn.Module) -> dict[str, Uses]:
    """Return what the classes of layers say about their weights; parameter name → use.

    Only of modules whose forward is torch's own (or Hugging Face's ``Conv1D``): what a subclass does with its weight
    shows only when it is watched.
    """
    names = {id(parameter): name for name, parameter in matrices(network)}
    uses: dict[str, Uses] = {}

    def product(module: nn.Module, parameter: str, layout: Layout, by: str) -> None:
        weight = module._parameters.get(parameter)
        if weight is not None and id(weight) in names:
            use = uses.setdefault(names[id(weight)], Uses())
            use.layouts.setdefault(layout)
            use.modules.add(by)

    attention = ""
    for path, module in network.named_modules(remove_duplicate=False):
        if isinstance(module, torch.jit.ScriptModule):
            continue  # its class says nothing
        forward = type(module).forward
        inside = attention and path.startswith(f"{attention}.")
        if forward is nn.Linear.forward:
            product(module, "weight", Layout(), attention if inside else path)
        elif any(forward is kind.forward for kind in _CONVOLUTIONS):
            product(module, "weight", Layout(groups=int(module.groups)), path)
        elif any(forward is kind.forward for kind in _TRANSPOSED):
            product(module, "weight", Layout(inputs_first=True, groups=int(module.groups)), path)
        elif forward is nn.MultiheadAttention.forward:
            attention = path
            for parameter in ("in_proj_weight", "q_proj_weight", "k_proj_weight", "v_proj_weight"):
                product(module, parameter, Layout(), path)
        elif isinstance(module, nn.RNNBase | nn.RNNCellBase) and forward.__module__ == nn.RNNBase.__module__:
            for parameter in module._parameters:
                product(module, parameter, Layout(), path)
        elif (type(module).__module__, type(module).__name__) == ("transformers.pytorch_utils", "Conv1D"):
            product(module, "weight", Layout(inputs_first=True), path)
        elif forward is nn.Embedding.forward:
            weight = module._parameters.get("weight")
            if weight is not None and id(weight) in names:
                uses.setdefault(names[id(weight)], Uses()).others.add(LOOK_UP)
    return uses


def why_digital(
    module: nn.Module, parameter: nn.Parameter, use: Uses | None, watched: bool, table: bool = False
) -> tuple[str, bool]:
    """Return why a weight stays digital, empty if it goes on tiles; and whether it multiplies (or may) all the same.

    Args:
        module: that owns it.
        parameter: the weight.
        use: what is known of it.
        watched: whether the network was run.
        table: whether a look-up table of torch's shares the weight; it gets a digital copy.
    """
    kind = type(module).__name__
    if isinstance(module, torch.jit.ScriptModule):
        return "TorchScript: its code cannot be watched; give the Python module", True
    if is_norm(module):
        return "normalisation stays digital", False
    if parameter.dim() < 2:
        return f"{_numbers(parameter)} that act one by one, not a matrix", False
    if isinstance(module, nn.Embedding | nn.EmbeddingBag) and (use is None or not use.layouts):
        return "a look-up table, not a product", False
    if use is None:
        if watched:
            return "the network does not call it with these inputs", False
        return f"{kind}: what it does with its weight shows only when it computes; give example inputs", True
    others = use.others - {LOOK_UP} if use.layouts and table else use.others
    if others == {LOOK_UP}:
        if use.layouts:
            return f"also a look-up table, but not torch's: {_SHARE_A_TABLE}", True
        return "a look-up table, not a product", False
    if others:
        listed = ", ".join(sorted(others))
        also = "also " if use.layouts else ""
        form = "not only a product of inputs and weight"
        if use.multiplying:
            form = (
                "another product than that of inputs by the whole weight (F.linear(x, W), x @ W, a convolution), which "
                "is what an array computes"
            )
        return f"its weight {also}goes through {listed}: {form}", bool(use.layouts or others - _ELEMENTWISE)
    if not use.layouts and use.constant:
        return "it is computed with other parameters only, no inputs: the result is the same at every call", False
    if len(use.layouts) > 1 and not _opposite(list(use.layouts)):
        return "products take its weight as a matrix in several ways: an array has its columns one way", True
    return "", True


def array_layout(use: Uses, known: Uses | None) -> Layout:
    """Return how a weight lies in its array, where products take it both as it is and transposed.

    As the class of its layer says; otherwise as it was first used.

    Args:
        use: what was seen.
        known: what the layer's class says (:func:`known_uses`), if anything.
    """
    own = [layout for layout in (known.layouts if known else ()) if layout in use.layouts]
    return next(iter(own or use.layouts))


def _opposite(layouts: list[Layout]) -> bool:
    """Return whether two layouts are a matrix and its transpose, which one array has from its other side."""
    return len(layouts) == 2 and layouts[1] == layouts[0].reverse and not layouts[0].stacked


def _numbers(parameter: nn.Parameter) -> str:
    return f"{parameter.numel()} number{'s' if parameter.numel() != 1 else ''}"
