"""The fast backend: effective weights in a copy of the network, BatchNorm folded, ordinary torch kernels.

With an ideal periphery one chip costs a forward pass: a layer's column scales, its compensation and the BatchNorm
behind it fold into its weight, so a chip is programmed by writing weights. Converters round in between: with them each
layer's products are taken over by its :class:`driftproof.arrays.AnalogArray`, and nothing folds.
"""

from __future__ import annotations

import copy
import io
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import nullcontext, redirect_stderr
from dataclasses import dataclass
from itertools import count as count_from
from typing import Any

import torch
from torch import Tensor, nn

from driftproof.arrays import AnalogArray, ArrayReading, Passes, Ranges
from driftproof.batch_norm import recalibrate
from driftproof.calls import Interception, Located, Parameters, Product
from driftproof.chip import Chip
from driftproof.errors import DriftproofError
from driftproof.evaluation.folding import fold_norm, foldable_norms, samples_at_once, straight
from driftproof.inputs import Inputs, call, count, main_output, on_tensors, split
from driftproof.mapping import MappedWeight, Mapping, map_weight, plain, plain_copy, untie_tables
from driftproof.periphery import Periphery

_LAYOUTS = {nn.Conv2d: torch.channels_last, nn.Conv3d: torch.channels_last_3d}
AGREEMENT = 1e-3  # of the largest output: far above float32 rounding, far below any mistake


@dataclass
class _Slot:
    """Where a layer's effective weight goes.

    Attributes:
        mapped: the weight on tiles.
        parameter: of the copied network.
        factor: [out], of the norm that is folded into the weight.
        array: the layer as a linear operator: its noise with an ideal periphery, all that it computes with another one.
        whole: the weight without clips.
        digital: whether the layer is digital now.
        matrix: the chip's effective weight, if the network's code makes the weight of its parameter.
    """

    mapped: MappedWeight
    parameter: nn.Parameter
    factor: Tensor | None
    array: AnalogArray
    whole: MappedWeight | None = None
    digital: bool = True
    matrix: Tensor | None = None


class FoldedNetwork:
    """A copy of a network that becomes one chip after another.

    Args:
        model: the trained network; it is not changed.
        mapping: of this network.
        example: a batch of inputs on the network's device, to choose the memory layout with and to prove that
            the folded network computes what the given one does.
        fold: whether BatchNorms may fold; not if their statistics are to be measured anew.
        periphery: what is around the arrays; ideal unless said.
        ranges: static input ranges (:func:`driftproof.arrays.input_ranges`).

    Raises:
        DriftproofError: if the folded network does not agree with the given one on the example.
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
    ) -> None:
        self.periphery = None if periphery is None or periphery.is_ideal else periphery
        self._ranges = ranges or {}
        self.alphas: dict[str, Tensor] = {}
        if self.periphery and self.periphery.wire_drop:
            raise DriftproofError("wire drop is known to aihwkit's compiled tile only: use --backend tiles")
        given = plain_copy(model) if any(module.training for module in model.modules()) else plain(model)
        with torch.inference_mode():
            outputs = call(given, example)
            wanted, again = main_output(outputs), main_output(call(given, example))
        if not torch.equal(wanted, again):
            raise DriftproofError(
                "two passes of the network on the same inputs differ: something in it is random in eval mode, such as "
                "functional dropout without training=self.training; make it deterministic"
            )
        self.at_once = samples_at_once(given, example, outputs)
        # a norm folds into a weight that is used once, under one name
        analog = {w.path for w in mapping.weights.values() if _simple(w)}
        foldable = foldable_norms(given, example) if fold and not self.periphery else {}
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
                factor = fold_norm(layer, self.model.get_submodule(norm))
                self.model.set_submodule(norm, nn.Identity())
            parameter = layer._parameters[mapped.parameter]
            assert parameter is not None
            parameter.requires_grad_(False)
            whole = None
            if mapped.clipped and not mapped.made:
                whole = map_weight(name, parameter, mapping.tile, layout=mapped.layout, scale=mapping.scale)
            array = AnalogArray(
                mapped,
                periphery=self.periphery,
                ranges=self._ranges,
                passes=self._passes,
            )
            self._slots[name] = _Slot(mapped, parameter, factor, array, whole)
        self._makes = any(slot.mapped.made for slot in self._slots.values())
        self._watch = Interception(self._parameters, self._multiply, fixed=self._fixed if self._makes else None)
        self._run: Callable[..., Any] = straight(self.model) if traced else self.model
        for slot in self._slots.values():
            self._write_exact(slot)
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

    def _write_exact(self, slot: _Slot) -> None:
        """Write the weights that mapping put on tiles; the network's own if mapping clipped some."""
        mapped = slot.mapped if slot.whole is None else slot.whole
        self._write(slot, mapped.target, mapped.scale)

    def _fixed(self) -> Parameters:
        return Parameters([*self.model.named_parameters(), *self.model.named_buffers()])

    def _parameters(self) -> Parameters:
        return Parameters((name, slot.parameter) for name, slot in self._slots.items())

    def _multiply(self, where: Located, product: Product, compute: Callable[[], Tensor]) -> Tensor:
        """Take a product over, or add the noise of single MVMs to what torch computes with the chip's weights."""
        slot = self._slots[where.name]
        transposed = slot.mapped.is_transpose(where.layout(product.geometry))
        if self.periphery is not None and not slot.digital:
            return slot.array.multiply(product, where.columns, transposed)
        if slot.matrix is None or self.periphery is not None:
            outputs = compute()
        else:  # the network's own code would make another weight
            geometry, matrix = product.geometry, slot.matrix
            if transposed:
                matrix = slot.mapped.layout.reverse.matrix(slot.mapped.layout.weight(matrix, slot.mapped.shape))
            outputs = geometry.times(geometry.prepare(product.inputs), matrix.to(product.inputs.dtype))
            outputs = product.add_bias(geometry.finish(outputs, product.inputs))
        return slot.array.noise.add(outputs, product, where.columns, transposed)

    def load(self, chip: Chip, t_s: float, digital: Collection[str] = ()) -> None:
        """Become ``chip`` at ``t_s`` seconds after programming; the layers named ``digital`` keep exact weights."""
        self.write({name: chip.read(name, t_s) for name in self._slots if name not in digital})

    def load_exact(self) -> None:
        """Become the network with exact weights in all layers."""
        self.write({})

    def recalibrate(self, inputs: Iterable[Any]) -> None:
        """Measure the BatchNorm statistics of the chip that was loaded last; they stay until the next call."""
        assert not self.norms, "norms that are folded cannot be measured"
        recalibrate(self.model, self._whole, inputs)

    @torch.no_grad()
    def _whole(self, inputs: Inputs, first: int) -> Any:
        """Run a whole batch at once: what norms measure should not depend on the size of a cache."""
        return self._pass(self._laid_out(inputs), range(first, first + count(inputs)))

    def _pass(self, inputs: Inputs, samples: Sequence[int]) -> Any:
        self._passes.begin(samples)
        watched = self._makes or any(
            s.array.noise.noise is not None or (self.periphery and not s.digital) for s in self._slots.values()
        )
        with self._watch if watched else nullcontext():
            return call(self._run, inputs)

    def _laid_out(self, inputs: Inputs) -> Inputs:
        if self.layout is None:
            return inputs
        layout, dims = self.layout, 5 if self.layout == torch.channels_last_3d else 4
        return on_tensors(inputs, lambda part: part.contiguous(memory_format=layout) if part.dim() == dims else part)

    def write(self, readings: dict[str, ArrayReading]) -> None:
        """Become what these arrays compute: one reading per layer of the mapping; a layer without one is digital."""
        self.alphas = {name: reading.alpha for name, reading in readings.items()}
        for name, slot in self._slots.items():
            reading = readings.get(name)
            slot.digital = reading is None
            slot.array.load(reading, slot.factor)
            if self.periphery is not None:
                continue  # the weight in the network stays exact
            if reading is None:
                self._write_exact(slot)
            else:
                self._write(slot, reading.net, reading.scale * reading.alpha)

    def clear_counts(self) -> None:
        """Count from now on."""
        for slot in self._slots.values():
            slot.array.counts.clear()

    def diagnostics(self) -> dict[str, dict[str, float]]:
        """Return what was counted since the last chip was loaded: layer → name → share of conversions."""
        return {name: slot.array.counts.shares() for name, slot in self._slots.items()}

    @torch.inference_mode()
    def __call__(self, inputs: Inputs, samples: Sequence[int] | None = None) -> Any:
        """Return the outputs of the chip that was loaded last.

        Args:
            inputs: [N, …].
            samples: their numbers in the data; 0 to N − 1 unless given.
        """
        inputs = self._laid_out(inputs)
        samples = range(count(inputs)) if samples is None else samples
        if count(inputs) <= self.at_once:
            return self._pass(inputs, samples)
        parts: list[Tensor] = []
        for start, part in zip(count_from(0, self.at_once), split(inputs, self.at_once), strict=False):
            parts.append(self._pass(part, samples[start : start + self.at_once]))
        return torch.cat(parts)

    @torch.no_grad()
    def _write(self, slot: _Slot, net: Tensor, scale: Tensor) -> None:
        if slot.factor is not None:
            scale = scale * slot.factor
        if slot.mapped.made:
            slot.matrix = slot.mapped.matrix(net, scale)
        else:
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
        # a view of a weight in another order is a copy, which nobody would know for the weight
        kept = {id(s.parameter) for s in self._slots.values() if not _own_product(s.mapped)}
        for module in self.model.modules():
            weight = getattr(module, "weight", None)
            if id(weight) in kept:
                continue
            if isinstance(weight, nn.Parameter) and (weight.dim() == dims or layout == torch.contiguous_format):
                # in place: the slots hold the parameter
                weight.data = weight.data.contiguous(memory_format=layout)


def _simple(mapped: MappedWeight) -> bool:
    """Whether a weight is a layer's own, stored as it is used, and used once."""
    return mapped.parameter == "weight" and mapped.uses <= 1 and not mapped.aliases and not mapped.made


def _own_product(mapped: MappedWeight) -> bool:
    """Whether a weight is multiplied once, by its own module's code: no view of it is."""
    return _simple(mapped) and set(mapped.modules) <= {mapped.path}


def _gap(outputs: Tensor, wanted: Tensor) -> float:
    """Largest difference relative to the largest wanted output."""
    return float((outputs.float() - wanted.float()).abs().max() / wanted.float().abs().max().clamp(min=1e-30))
