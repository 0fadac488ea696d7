"""What is known of a weight's uses, and whether it can go on tiles.

Uses are watched; without example inputs they follow from the classes of layers.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

from driftproof._calls import Layout
from driftproof._calls.watch import Uses, matrices
from driftproof._mapping.places import TABLES

LOOK_UP = "embedding"
_SHARE_A_TABLE = "look rows up with an nn.Embedding that shares the weight, then the product goes on tiles"
_NORMS = (nn.modules.batchnorm._BatchNorm, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)  # the first includes instance norms
_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
# functions of weights that are not matrices: they add, scale, look up, or repeat
_ELEMENTWISE = {
    *("add", "add_", "__add__", "__radd__", "sub", "rsub", "mul", "mul_", "__mul__", "__rmul__", "div", "where"),
    *("expand", "expand_as", "repeat", "repeat_interleave", "tile", "cat", "stack", "embedding", "embedding_bag"),
    *("__getitem__", "index_select", "gather", "take", "narrow", "roll", "pad", "flip", "masked_fill", "copy_"),
    *("layer_norm", "group_norm", "batch_norm", "rms_norm", "instance_norm", "prelu", "interpolate", "normalize"),
    *("exp", "neg", "sigmoid", "tanh", "softplus", "softmax", "abs", "clamp", "addcmul", "lerp", "clone"),
    *("to", "float", "type", "scaled_dot_product_attention"),
}


def known_uses(network: nn.Module) -> dict[str, Uses]:
    """Return what the classes of layers tell about their weights: parameter name → uses.

    Only modules whose forward is torch's (or Hugging Face's ``Conv1D``) are known. What a subclass does with its weight
    can only be watched.
    """
    names = {parameter: name for name, parameter in matrices(network)}
    uses: dict[str, Uses] = {}
    attention = ""
    for path, module in network.named_modules(remove_duplicate=False):
        if isinstance(module, torch.jit.ScriptModule):
            continue  # its class does not tell what it computes
        forward = vars(module).get("forward", type(module).forward)
        parameters: Iterable[str] = ("weight",)
        layout, by = Layout(), path
        if forward is nn.Linear.forward:
            by = attention if attention and path.startswith(f"{attention}.") else path
        elif any(forward is kind.forward for kind in _CONVOLUTIONS):
            layout = Layout(groups=int(module.groups))
        elif any(forward is kind.forward for kind in _TRANSPOSED):
            layout = Layout(inputs_first=True, groups=int(module.groups))
        elif forward is nn.MultiheadAttention.forward:
            attention = path
            parameters = ("in_proj_weight", "q_proj_weight", "k_proj_weight", "v_proj_weight")
        elif isinstance(module, nn.RNNBase | nn.RNNCellBase) and forward.__module__ == nn.RNNBase.__module__:
            parameters = module._parameters
        elif (type(module).__module__, type(module).__name__) == ("transformers.pytorch_utils", "Conv1D"):
            layout = Layout(inputs_first=True)
        elif forward is not nn.Embedding.forward:
            continue
        for weight in map(module._parameters.get, parameters):
            if weight is not None and weight in names:
                use = uses.setdefault(names[weight], Uses())
                if forward is nn.Embedding.forward:
                    use.others.add(LOOK_UP)
                else:
                    use.layouts.setdefault(layout)
                    use.modules.add(by)
    return uses


def why_digital(
    module: nn.Module, parameter: nn.Parameter, use: Uses | None, watched: bool, table: bool = False
) -> tuple[str, bool]:
    """Return why a weight stays digital (empty if it can), and whether it is, or may be, used in a product.

    Args:
        module: Module that owns the weight.
        parameter: The weight.
        use: The uses of the weight that are known, if there are any.
        watched: Whether the network was watched.
        table: Whether one of torch's look-up tables shares the weight. The table then gets a digital copy.
    """
    if isinstance(module, torch.jit.ScriptModule):
        return "TorchScript: its code cannot be watched; give the Python module", True
    if isinstance(module, _NORMS) or type(module).__name__.endswith("Norm"):  # LlamaRMSNorm, for example
        return "normalisation stays digital", False
    if parameter.dim() < 2:
        numbers = "1 number" if parameter.numel() == 1 else f"{parameter.numel()} numbers"
        return f"{numbers} that act one by one, not a matrix", False
    if isinstance(module, TABLES) and (use is None or not use.layouts):
        return "a look-up table, not a product", False
    if use is None:
        if watched:
            return "the network does not call it with these inputs", False
        kind = type(module).__name__
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
        return f"its weight {also}goes through {listed}: {form}", bool(
            use.layouts or use.multiplying or others - _ELEMENTWISE
        )
    if not use.layouts and use.constant:
        return "it is computed with other parameters only, no inputs: the result is the same at every call", False
    if len(use.layouts) > 1 and not _opposite(list(use.layouts)):
        return "products take its weight as a matrix in several ways: an array has its columns one way", True
    return "", True


def array_layout(use: Uses, known: Uses | None) -> Layout:
    """Return the layout of a weight in its array, where some products take its transpose.

    It is the layout that the class of the layer tells; otherwise that of the first product.

    Args:
        use: The uses of the weight.
        known: The uses that the layer's class tells (:func:`known_uses`), if any.
    """
    by_class = [layout for layout in (known.layouts if known else ()) if layout in use.layouts]
    return next(iter(by_class or use.layouts))


def _opposite(layouts: list[Layout]) -> bool:
    """Return whether two layouts are a matrix and its transpose: one array can be driven from both sides."""
    return len(layouts) == 2 and layouts[1] == layouts[0].reverse and not layouts[0].stacked
