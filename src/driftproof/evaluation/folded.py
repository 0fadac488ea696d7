"""The fast backend: effective weights in a copy of the network, BatchNorm folded, ordinary torch kernels.

One chip costs a forward pass: a layer's column scales, its compensation and the BatchNorm behind it fold into its
weight, so a chip is programmed by writing weights. Valid for an ideal periphery, where nothing rounds in between.
"""

from __future__ import annotations

import copy
import io
from collections.abc import Callable, Iterable
from contextlib import nullcontext, redirect_stderr
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn

from driftproof.calls import Interception, Located, Parameters, Product
from driftproof.chip import ArrayReading, Chip
from driftproof.errors import DriftproofError
from driftproof.evaluation.recalibration import measure_norms
from driftproof.inputs import Inputs, call, count, main_output, on_tensors, split
from driftproof.mapping import MappedWeight, Mapping, map_weight, plain, plain_copy, untie_tables
from driftproof.products import NoisyProducts, Passes

_NORM_OF = {
    nn.Linear: nn.BatchNorm1d,
    nn.Conv1d: nn.BatchNorm1d,
    nn.Conv2d: nn.BatchNorm2d,
    nn.Conv3d: nn.BatchNorm3d,
}
_LAYOUTS = {nn.Conv2d: torch.channels_last, nn.Conv3d: torch.channels_last_3d}
CACHE_BYTES = 4 * 1024**2  # on a CPU, activations of this size stay near the core and need no fresh memory pages
AGREEMENT = 1e-3  # of the largest output: far above float32 rounding, far below any mistake


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


def _samples_at_once(model: nn.Module, example: Inputs, outputs: Any) -> int:
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


def _straight(model: nn.Module) -> nn.Module:
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


@dataclass
class _Slot:
    """Where a layer's effective weight goes, the factor of the BatchNorm folded into it, and its noise."""

    mapped: MappedWeight
    parameter: nn.Parameter
    factor: Tensor | None  # [out]
    products: NoisyProducts


class FoldedNetwork:
    """A copy of a network that becomes one chip after another.

    Args:
        model: the trained network; it is not changed.
        mapping: of this network.
        example: a batch of inputs on the network's device, to choose the memory layout with and to prove that
            the folded network computes what the given one does.
        fold: whether BatchNorms may fold; not if their statistics are to be measured anew.

    Raises:
        DriftproofError: if the folded network does not agree with the given one on the example.
    """

    def __init__(self, model: nn.Module, mapping: Mapping, example: Inputs, *, fold: bool = True) -> None:
        given = plain_copy(model) if any(module.training for module in model.modules()) else plain(model)
        with torch.inference_mode():
            outputs = call(given, example)
            wanted, again = main_output(outputs), main_output(call(given, example))
        if not torch.equal(wanted, again):
            raise DriftproofError(
                "two passes of the network on the same inputs differ: something in it is random in eval mode, such as "
                "functional dropout without training=self.training; make it deterministic"
            )
        self.at_once = _samples_at_once(given, example, outputs)
        # a norm folds into a weight that is used once, under one name
        analog = {w.path for w in mapping.weights.values() if w.parameter == "weight" and w.uses <= 1 and not w.aliases}
        foldable = foldable_norms(given, example) if fold else {}
        self.norms = {path: norm for path, norm in foldable.items() if path in analog}
        gap = self._build(given, mapping, example, wanted, traced=isinstance(example, Tensor))
        if not gap <= self._tolerance:
            self.norms = {}  # slower, and as right
            gap = self._build(given, mapping, example, wanted, traced=False)
        if not gap <= self._tolerance:
            raise DriftproofError(
                f"the folded network is off by {gap:.3g} of the largest output on the same weights: this network "
                "uses its layers in a way that folding does not know. Use --backend tiles, and please report it"
            )
        self._choose_layout(example, wanted)

    def _build(self, model: nn.Module, mapping: Mapping, example: Inputs, wanted: Tensor, traced: bool) -> float:
        """Copy the network with its BatchNorms folded; return how far it is off with exact devices."""
        self.model: nn.Module = nn.Identity()  # the copy before, if there was one, is not needed any more
        self.model = untie_tables(copy.deepcopy(model), mapping)
        self.layout: torch.memory_format | None = None
        self._passes = Passes()
        self._slots: dict[str, _Slot] = {}
        for name, mapped in mapping.weights.items():
            layer, factor = self.model.get_submodule(mapped.path), None
            if mapped.path in self.norms and mapped.parameter == "weight":
                norm = self.norms[mapped.path]
                factor = _fold(layer, self.model.get_submodule(norm))
                self.model.set_submodule(norm, nn.Identity())
            parameter = layer._parameters[mapped.parameter]
            assert parameter is not None
            parameter.requires_grad_(False)
            self._slots[name] = _Slot(mapped, parameter, factor, NoisyProducts(mapped, self._passes))
        self._watch = Interception(self._parameters, self._multiply)
        self._run: Callable[..., Any] = _straight(self.model) if traced else self.model
        for slot in self._slots.values():
            self._write_exact(slot, mapping)
        # float32 rounding lies far below the first, that of half precision below the second
        self._tolerance = max([AGREEMENT, *(8 * torch.finfo(s.parameter.dtype).eps for s in self._slots.values())])
        try:
            # torch.fx prints what its code stumbles over; the code is then not used
            with redirect_stderr(io.StringIO()) if traced else nullcontext():
                return _gap(main_output(self(example)), wanted)
        except Exception:  # the traced code of a network whose own Python looks at its inputs may not run
            if not traced:
                raise
            return float("inf")

    def _write_exact(self, slot: _Slot, mapping: Mapping) -> None:
        """Write the weights that mapping put on tiles; the network's own if mapping clipped some."""
        mapped = slot.mapped
        if mapped.clipped:
            own = slot.parameter.detach().clone()
            mapped = map_weight(mapped.name, own, mapping.tile, layout=mapped.layout, scale=mapping.scale)
        self._write(slot, mapped.target, mapped.scale)

    def _parameters(self) -> Parameters:
        return Parameters((name, slot.parameter) for name, slot in self._slots.items())

    def _multiply(self, where: Located, product: Product, compute: Callable[[], Tensor]) -> Tensor:
        """Add the read noise of single products to what torch computes with the chip's weights."""
        return self._slots[where.name].products.add(compute(), product, where.columns)

    def load(self, chip: Chip, t_s: float) -> None:
        """Become ``chip`` at ``t_s`` seconds after programming."""
        self.write({name: chip.read(name, t_s) for name in self._slots})

    def recalibrate(self, inputs: Iterable[Any]) -> None:
        """Measure the BatchNorm statistics of the chip that was loaded last; they stay until the next call."""
        assert not self.norms, "norms that are folded cannot be measured"
        measure_norms(self.model, self._whole, inputs)

    @torch.no_grad()
    def _whole(self, inputs: Inputs, first: int) -> Any:
        """Run a whole batch at once: what norms measure should not depend on the size of a cache."""
        return self._pass(self._laid_out(inputs), first)

    def _pass(self, inputs: Inputs, first: int) -> Any:
        self._passes.begin(first, count(inputs))
        noisy = any(slot.products.noise is not None for slot in self._slots.values())
        with self._watch if noisy else nullcontext():
            return call(self._run, inputs)

    def _laid_out(self, inputs: Inputs) -> Inputs:
        if self.layout is None:
            return inputs
        layout, dims = self.layout, 5 if self.layout == torch.channels_last_3d else 4
        return on_tensors(inputs, lambda part: part.contiguous(memory_format=layout) if part.dim() == dims else part)

    def write(self, readings: dict[str, ArrayReading]) -> None:
        """Become what these arrays compute: one reading per layer of the mapping."""
        for name, slot in self._slots.items():
            self._write(slot, readings[name].net, readings[name].scale * readings[name].alpha)
            slot.products.load(readings[name], slot.factor)

    @torch.inference_mode()
    def __call__(self, inputs: Inputs, first: int = 0) -> Any:
        """Return the outputs of the chip that was loaded last; ``first`` is the number of the first sample."""
        inputs = self._laid_out(inputs)
        if count(inputs) <= self.at_once:
            return self._pass(inputs, first)
        parts: list[Tensor] = []
        for part in split(inputs, self.at_once):
            parts.append(self._pass(part, first))
            first += count(part)
        return torch.cat(parts)

    @torch.no_grad()
    def _write(self, slot: _Slot, net: Tensor, scale: Tensor) -> None:
        if slot.factor is not None:
            scale = scale * slot.factor
        slot.parameter.copy_(slot.mapped.weight(net, scale))

    def _choose_layout(self, example: Inputs, wanted: Tensor) -> None:
        """Take channels-last if the network runs so: the same numbers, its convolutions are up to twice as fast."""
        kinds = {type(module) for module in self.model.modules()}
        layout = next((layout for kind, layout in _LAYOUTS.items() if kind in kinds), None)
        if layout is None:
            return
        self.layout = layout
        self._to_layout(layout)
        try:
            gap = _gap(main_output(self(example)), wanted)
        except RuntimeError:  # such as view() of a tensor in another order
            gap = float("inf")
        if not gap <= self._tolerance:
            self.layout = None
            self._to_layout(torch.contiguous_format)

    def _to_layout(self, layout: torch.memory_format) -> None:
        dims = 5 if layout == torch.channels_last_3d else 4
        for module in self.model.modules():
            weight = getattr(module, "weight", None)
            if isinstance(weight, nn.Parameter) and (weight.dim() == dims or layout == torch.contiguous_format):
                # in place: the slots hold the parameter
                weight.data = weight.data.contiguous(memory_format=layout)


def _gap(outputs: Tensor, wanted: Tensor) -> float:
    """Largest difference relative to the largest wanted output."""
    return float((outputs.float() - wanted.float()).abs().max() / wanted.float().abs().max().clamp(min=1e-30))


@torch.no_grad()
def _fold(layer: nn.Module, norm: nn.Module) -> Tensor:
    """Give the layer the BatchNorm's shift as its bias, and return the factor [out] that its weight needs."""
    mean, var, weight, bias = (getattr(norm, key) for key in ("running_mean", "running_var", "weight", "bias"))
    factor = torch.rsqrt(var.double() + norm.eps)
    if weight is not None:
        factor = factor * weight.double()
    shift = -mean.double() if layer.bias is None else layer.bias.double() - mean.double()
    shift = shift * factor if bias is None else shift * factor + bias.double()
    layer.bias = nn.Parameter(shift.to(layer.weight.dtype), requires_grad=False)
    return factor.float()
