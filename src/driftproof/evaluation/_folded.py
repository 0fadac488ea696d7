"""The fast backend: effective weights in a copy of the network, folded BatchNorms, ordinary torch kernels.

With an ideal periphery one chip costs one forward pass: a layer's column scales, its compensation and the BatchNorm
behind it fold into its weight, so that a chip is programmed by writing weights. Any other periphery has converters that
round between array and BatchNorm. Then each layer's :class:`driftproof.arrays.AnalogArray` computes the layer's
products, and nothing folds.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import nullcontext, redirect_stderr
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn

from driftproof._behaviour import AGREEMENT, Behaviour, observe
from driftproof._calls import Convolution, Interception, Located, Parameters, Product
from driftproof._calls.copies import copied
from driftproof._calls.geometry import geometry_of
from driftproof._chip import Chip
from driftproof._errors import DriftproofError
from driftproof._inputs import Inputs, call, on_tensors
from driftproof._mapping import MappedWeight, Mapping, map_weight, plain_copy, untie_tables
from driftproof._outputs import main_output
from driftproof.arrays import AnalogArray
from driftproof.arrays._code_reads import CodeReads, can_read_in_codes
from driftproof.arrays._passes import ThreadPasses
from driftproof.arrays._ranges import Ranges
from driftproof.arrays._reading import ArrayReading
from driftproof.evaluation._backends import Backend
from driftproof.evaluation._folding import fold_norm, foldable_norms, straight
from driftproof.evaluation._fusion import fuse
from driftproof.periphery import Periphery

_LAYOUTS = {nn.Conv2d: torch.channels_last, nn.Conv3d: torch.channels_last_3d}
_DIMENSIONS = {torch.channels_last: 4, torch.channels_last_3d: 5}


@dataclass
class _Slot:
    """The place of a layer's effective weight.

    Attributes:
        mapped: The weight on tiles.
        exact: The mapped weight without clipping, for layers that are digital.
        parameter: The parameter of the copied network.
        factor: Factor [out] of the norm that is folded into the weight, or None.
        array: The layer as a linear operator. With an ideal periphery it adds noise; otherwise it computes everything.
        matrix: Effective weight [out, in of a group] of the chip. It is used only if the network computes the weight
            from its parameter at every call (such as weight standardisation or quantisation).
    """

    mapped: MappedWeight
    exact: MappedWeight
    parameter: nn.Parameter
    factor: Tensor | None
    array: AnalogArray
    matrix: Tensor | None = None


class FoldedNetwork(Backend):
    """A copy of a network that becomes one chip after another.

    Args:
        model: The trained network. It is not changed.
        mapping: The mapping of this network.
        example: A batch of inputs on the network's torch device. It is used to choose the memory layout, and to check
            that the folded network computes the same outputs as the given one.
        fold: Whether BatchNorms may fold. They must not if their statistics are re-estimated.
        behaviour: What the network does with ``example``. If it is given, ``model`` is a plain copy in eval mode
            (default: it is observed).
        periphery: The periphery of the arrays (default: ideal).
        ranges: Static input ranges (:func:`driftproof.arrays.input_ranges`).

    Raises:
        DriftproofError: The periphery has IR drop; the network keeps something between calls, or is random; or the
            folded network has other outputs than the given one on the example.

    >>> from driftproof._mapping import map_model
    >>> from driftproof._presets import load_preset
    >>> layer, x = nn.Linear(3, 2).eval(), torch.ones(4, 3)
    >>> mapping = map_model(layer)
    >>> network = FoldedNetwork(layer, mapping, x)
    >>> network.load(Chip(mapping, load_preset("pcm-nandakumar-2019"), seed=0, chip=0), t_s=86400.0)
    >>> network(x).shape
    torch.Size([4, 2])
    """

    def __init__(
        self,
        model: nn.Module,
        mapping: Mapping,
        example: Inputs,
        *,
        fold: bool = True,
        periphery: Periphery | None = None,
        ranges: Ranges | None = None,
        behaviour: Behaviour | None = None,
    ) -> None:
        self.periphery = None if periphery is None or periphery.is_ideal else periphery
        self._ranges = ranges or {}
        self.alphas = {}
        if self.periphery and self.periphery.ir_drop:
            raise DriftproofError("only aihwkit's compiled tile computes IR drop: use --backend tiles")
        network = plain_copy(model) if behaviour is None else model
        self.behaviour = observe(network, example) if behaviour is None else behaviour
        self.at_once, reference = self.behaviour.at_once, self.behaviour.outputs
        self._fold = fold
        error = self._build(network, mapping, example, reference, traced=isinstance(example, Tensor))
        if not error <= self._tolerance:  # "not <=" is also true for NaN
            self._fold = False  # slower, with the same outputs
            error = self._build(network, mapping, example, reference, traced=False)
        if not error <= self._tolerance:
            raise DriftproofError(
                f"the folded network is off by {error:.3g} of the largest output on the same weights: this network "
                "uses its layers in a way that folding does not support. Use --backend tiles, and please report it"
            )
        self._choose_layout(example, reference)

    def _build(self, model: nn.Module, mapping: Mapping, example: Inputs, reference: Tensor, traced: bool) -> float:
        """Copy the network and fold its BatchNorms. Return the relative error of its outputs with exact weights."""
        self.model = nn.Identity()  # frees the copy of an earlier attempt
        self.model = untie_tables(copied(model), mapping)
        # a norm folds into a weight that is used once, under one name, and is not quantised: sums of quantised weights
        # may lie exactly on a threshold behind the norm
        fusible = self._fusible(mapping) if traced else set()
        analog = {w.path for w in mapping.weights.values() if _simple(w) and w.lost is None}
        if self.periphery is not None:  # converters round between array and norm: only reads in codes know its factor
            analog &= fusible
        foldable = foldable_norms(self.model, example) if self._fold else {}
        self.norms = {path: norm for path, norm in foldable.items() if path in analog}
        self.layout: torch.memory_format | None = None
        self._passes = ThreadPasses()
        self._slots: dict[str, _Slot] = {}
        for name, mapped in mapping.weights.items():
            layer, factor, exact = self.model.get_submodule(mapped.path), None, mapped
            if mapped.path in self.norms and mapped.parameter == "weight":
                norm = self.norms[mapped.path]
                factor = fold_norm(layer, self.model.get_submodule(norm))
                self.model.set_submodule(norm, nn.Identity())
            parameter = layer._parameters[mapped.parameter]
            assert parameter is not None
            parameter.requires_grad_(False)
            if mapped.clipped and not mapped.made:
                exact = map_weight(name, parameter, mapping.tile, layout=mapped.layout, scale=mapping.scale)
            array = AnalogArray(mapped, periphery=self.periphery, ranges=self._ranges, passes=self._passes)
            self._slots[name] = _Slot(mapped, exact, parameter, factor, array)
        self._run: Callable[..., Any]
        for slot in self._slots.values():
            self._write(slot, slot.exact.target, slot.exact.scale)
        self.arrays = {name: slot.array for name, slot in self._slots.items()}
        self._makes = any(slot.mapped.made for slot in self._slots.values())
        self._watch = Interception(self._parameters, self._multiply, fixed=self._fixed if self._makes else None)
        self._straight = straight(self.model) if traced else self.model
        self._unfused: list[str] = list(self._slots)
        self._fused = self._fuse(fusible, example) if isinstance(example, Tensor) and traced else None
        unread = {self._slots[name].mapped.path for name in self._unfused}
        if self.periphery is not None and not unread.isdisjoint(self.norms):
            return float("inf")
        self._choose_code()
        # float32 rounding lies far below the first, that of half precision below the second
        self._tolerance = max([AGREEMENT, *(8 * torch.finfo(s.parameter.dtype).eps for s in self._slots.values())])
        try:
            # torch.fx prints the errors of traced code to stderr. Hide them: if the traced code fails, the untraced
            # network is used instead.
            with redirect_stderr(io.StringIO()) if traced else nullcontext():
                return _relative_error(main_output(self(example)), reference)
        except Exception:  # the traced code of a network whose own Python looks at its inputs may not run
            if not traced:
                raise
            return float("inf")

    def _fusible(self, mapping: Mapping) -> set[str]:
        """Return the paths of the layers that can be computed in one call with what follows them."""
        found = set()
        for mapped in mapping.weights.values():
            layer = self.model.get_submodule(mapped.path)
            geometry = geometry_of(layer)
            hooked = layer._forward_hooks or layer._forward_pre_hooks or layer._parameters.get("weight") is None
            plain = type(layer) in (nn.Conv2d, nn.Linear) and getattr(layer, "padding_mode", "zeros") == "zeros"
            if not plain or hooked or not _used_by_its_module(mapped) or layer.weight.dtype != torch.float32:
                continue
            if isinstance(geometry, Convolution) and any(low != high for low, high in geometry.padding):
                continue
            if self.periphery is None or can_read_in_codes(mapped, geometry, self.periphery):
                found.add(mapped.path)
        return found

    def _fuse(self, fusible: Collection[str], example: Tensor) -> fx.GraphModule | None:
        """Return the network with fused layers, or None if its code cannot be traced."""
        traced = straight(self.model)
        if not isinstance(traced, fx.GraphModule):
            return None
        slots = {slot.mapped.path: slot for slot in self._slots.values() if slot.mapped.path in fusible}

        def reads(path: str) -> CodeReads | None:
            return slots[path].array.in_codes(geometry_of(self.model.get_submodule(path)))

        if (made := fuse(traced, slots.keys(), example, reads)) is None:
            return None
        network, done = made
        self._unfused = [name for name, slot in self._slots.items() if slot.mapped.path not in done]
        return network

    def _fixed(self) -> Parameters:
        return Parameters([*self.model.named_parameters(), *self.model.named_buffers()])

    def _parameters(self) -> Parameters:
        return Parameters((name, slot.parameter) for name, slot in self._slots.items())

    def _multiply(self, where: Located, product: Product, compute: Callable[[], Tensor]) -> Tensor:
        """Compute a product on the array, or add MVM read noise to the product that torch computes."""
        slot = self._slots[where.name]
        transposed = slot.mapped.is_transpose(where.layout(product.geometry))
        if self.periphery is not None and slot.array.reading is not None:
            return slot.array.multiply(product, where.columns, transposed)
        if slot.matrix is None or self.periphery is not None:
            outputs = compute()
        else:  # the network's code would compute the weight from its parameter, not from the chip's reading
            geometry, matrix = product.geometry, slot.matrix
            if transposed:
                matrix = slot.mapped.layout.reverse.matrix(slot.mapped.layout.weight(matrix, slot.mapped.shape))
            outputs = geometry.times(geometry.prepare(product.inputs), matrix.to(product.inputs.dtype))
            outputs = product.add_bias(geometry.finish(outputs, product.inputs))
        return slot.array.noise.add(outputs, product, where.columns, transposed)

    @property
    def written(self) -> dict[str, nn.Parameter]:
        """The parameters of :attr:`model` that a chip is written to; see :attr:`Backend.written`."""
        if self.periphery or self._makes:
            return {}
        slots = self._slots.values()
        return {f"{s.mapped.path}.{s.mapped.parameter}".lstrip("."): s.parameter for s in slots}

    def load(self, chip: Chip, t_s: float, digital: Collection[str] = (), *, to_calibrate: bool = False) -> None:
        """Become ``chip`` at ``t_s`` seconds after the first read. The layers named ``digital`` keep exact weights."""
        names = (name for name in self._slots if name not in digital)
        self.write(chip.readings(names, t_s, to_calibrate=to_calibrate))

    def load_exact(self) -> None:
        """Become the network with exact weights in all layers."""
        self.write({})

    def recalibrate(self, inputs: Iterable[Any]) -> None:
        """Re-estimate the BatchNorm statistics of the chip that was loaded last. They stay until the next call."""
        assert not self.norms, "folded norms have no statistics to re-estimate"
        super().recalibrate(inputs)

    def _pass(self, inputs: Inputs, samples: Sequence[int]) -> Any:
        self._passes.begin(samples)
        inputs = on_tensors(inputs, self._laid_out)
        with self._watch if self._watched else nullcontext():
            return call(self._run, inputs)

    def _laid_out(self, x: Tensor) -> Tensor:
        """Return a copy of an input, which the network's code may write into, in the order of memory that it wants."""
        wanted = self.layout is not None and x.dim() == _DIMENSIONS[self.layout]
        layout = self.layout if wanted and self.layout is not None else torch.preserve_format
        return x.to(memory_format=layout, copy=True)

    def write(self, readings: dict[str, ArrayReading]) -> None:
        """Become the network of these readings, one per layer of the mapping. A layer without one is digital."""
        self.alphas = {name: reading.alpha for name, reading in readings.items()}
        for name, slot in self._slots.items():
            reading = readings.get(name)
            slot.array.load(reading, slot.factor)
            if self.periphery is not None:
                continue  # the weight in the network stays exact
            if reading is None:
                self._write(slot, slot.exact.target, slot.exact.scale)
            else:
                self._write(slot, reading.net, reading.scale * reading.alpha)
        self._choose_code()

    def _choose_code(self) -> None:
        """Choose between the network's own code and that with fused layers, which no read noise of MVMs reaches."""
        noisy = self.noisy
        fused = self._fused is not None and not noisy
        self._run = self._fused if fused and self._fused is not None else self._straight
        left = [self.arrays[name] for name in (self._unfused if fused else self.arrays)]
        converted = self.periphery is not None and any(array.reading is not None for array in left)
        self._watched = self._makes or noisy or converted
        self.side_by_side = fused and not self._watched

    @torch.no_grad()
    def _write(self, slot: _Slot, net: Tensor, scale: Tensor) -> None:
        """Write the effective weight of a layer.

        Args:
            slot: Place of the layer's weight.
            net: Weights [out, in of a group], relative to ``scale``.
            scale: Maximum of each column of each tile times its drift compensation, [row splits, out].
        """
        if slot.factor is not None:
            scale = scale * slot.factor
        mapped = slot.exact if net is slot.exact.target else slot.mapped
        if mapped.made:
            slot.matrix = mapped.matrix(net, scale)
        else:
            slot.parameter.copy_(mapped.weight(net, scale))

    def _choose_layout(self, example: Inputs, reference: Tensor) -> None:
        """Choose channels-last if the network runs with it.

        The outputs do not change. Convolutions are up to twice as fast.
        """
        kinds = {type(module) for module in self.model.modules()}
        layout = next((layout for kind, layout in _LAYOUTS.items() if kind in kinds), None)
        if layout is None:
            return
        self.layout = layout
        self._to_layout(layout)
        try:
            error = _relative_error(main_output(self(example)), reference)
        except RuntimeError:  # such as view() of a tensor in another order
            error = float("inf")
        if not error <= self._tolerance:
            self.layout = None
            self._to_layout(torch.contiguous_format)

    def _to_layout(self, layout: torch.memory_format) -> None:
        # a view of a weight in another order is a copy, which the interception would not take for the weight
        kept = {id(s.parameter) for s in self._slots.values() if not _used_by_its_module(s.mapped)}
        for module in self.model.modules():
            weight = getattr(module, "weight", None)
            if id(weight) in kept or not isinstance(weight, nn.Parameter):
                continue
            if weight.dim() == _DIMENSIONS.get(layout, weight.dim()):  # in place: the slots hold the parameter
                weight.data = weight.data.contiguous(memory_format=layout)


def _simple(mapped: MappedWeight) -> bool:
    """Whether a weight is a parameter ``weight`` that is stored as it is used, under one name, and used once."""
    return mapped.parameter == "weight" and mapped.uses <= 1 and not mapped.aliases and not mapped.made


def _used_by_its_module(mapped: MappedWeight) -> bool:
    """Whether a weight is multiplied once, by the code of the module that owns it."""
    return _simple(mapped) and set(mapped.modules) <= {mapped.path}


def _relative_error(outputs: Tensor, reference: Tensor) -> float:
    """Return the largest difference from the reference, relative to the largest reference output."""
    return float((outputs.float() - reference.float()).abs().max() / reference.float().abs().max().clamp(min=1e-30))
