"""Forward reads in converter codes: what :class:`ForwardReads` computes, in a third of the passes over memory.

:class:`ForwardReads` takes each step of a read for itself, as aihwkit does. Here the weights of the array carry the
steps of both converters, so that its inputs and its sums are codes, and everything digital is one factor and one shift:

    q = round(clip(x / range) / step_in)      codes of the DAC, −127 … 127 with 8 bits
    s = Σ w' q,  w' = ŵ · step_in / step_out  the array's sums, in steps of the ADC
    c = clip(round(s + noise))                codes of the ADC
    y = Σ_splits c · f + b                    f = step_out · range · scale · compensation · factor of a folded BatchNorm

The DAC's codes are the same. Sums and outputs are the same but for their rounding, so that a sum that lies within
rounding of the ADC's threshold can get the neighbouring code: about one in 100,000.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from driftproof._calls import Convolution, Geometry, Product
from driftproof._mapping import MappedWeight
from driftproof.arrays._forward import ForwardReads
from driftproof.arrays._loaded import Lines, Loaded
from driftproof.periphery import Periphery
from driftproof.periphery._converters import converter_step


@dataclass(frozen=True)
class Split:
    """One row split of a loaded array.

    Attributes:
        lines: Its columns, as the slow form has them.
        weight: Weights from DAC codes to steps of the ADC, in the form that a subclass multiplies with.
        variance: Variance of the noise of each weight that is new in every MVM, in the same form, or None.
        factor: Factor [out] from codes of the ADC to the layer's outputs, without the range of a dynamic input.
    """

    lines: Lines
    weight: Tensor
    variance: Tensor | None
    factor: Tensor


class CodeReads(ABC):
    """Forward reads of one convolution or linear layer, in converter codes.

    Args:
        reads: The same reads in single steps. Samples, ranges and counters are theirs.
        geometry: Geometry of the layer.

    Attributes:
        behind_relu: Whether no input is negative, which saves the search for inputs below the range.
    """

    def __init__(self, reads: ForwardReads, geometry: Geometry) -> None:
        self.behind_relu = False
        self.reads, self.geometry, self.mapped = reads, geometry, reads.mapped
        periphery = self.periphery = reads.periphery
        self.step_in = 1.0 if periphery.dac_bits is None else converter_step(periphery.dac_bits, 1.0)
        self.full_scale = math.inf if periphery.adc_full_scale is None else periphery.adc_full_scale
        self.rounds = periphery.adc_bits is not None and periphery.adc_full_scale is not None
        self.step_out = converter_step(periphery.adc_bits or 0, self.full_scale) if self.rounds else 1.0
        # the largest code, 127 of 8 bits; without an ADC's steps, its full scale
        self.largest = round(self.full_scale / self.step_out) if self.rounds else self.full_scale
        self.splits: tuple[Split, ...] = ()
        self.loaded: Loaded | None = None

    @torch.no_grad()
    def load(self, loaded: Loaded | None, factor: Tensor | None = None) -> None:
        """Load a chip's reading at a time, or unload it.

        Args:
            loaded: The reading, or None.
            factor: Factor [out] of a BatchNorm that is folded into the layer (default: None).
        """
        self.loaded, self.splits = loaded, ()
        if loaded is None:
            return
        splits = []
        for split, rows in enumerate(self.mapped.rows):
            lines = loaded.columns(split, rows, slice(None))
            scale = loaded.factor[split] * (self.step_out * self._reach(split))
            variance = None if lines.variance is None else lines.variance * (self.step_in / self.step_out) ** 2
            splits.append(
                Split(
                    lines,
                    self._weight(lines.net * (self.step_in / self.step_out), split),
                    None if variance is None else self._weight(variance, split),
                    scale if factor is None else scale * factor,
                )
            )
        self.splits = tuple(splits)

    @abstractmethod
    def _reach(self, split: int) -> float:
        """Return the input range that the factor of a row split carries; 1 if it is dynamic."""

    @abstractmethod
    def _weight(self, matrix: Tensor, split: int) -> Tensor:
        """Return a matrix [out, rows of the split] in the form that this class multiplies with."""

    @abstractmethod
    def _sums(self, inputs: Tensor, number: int, split: Split) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """Return one row split's sums in steps of the ADC, [..., out], in new memory.

        Returns:
            The sums; the sums of variances times squared inputs if the split has variances, else None; and the ranges
            of dynamic inputs, which broadcast with the sums, or None.
        """

    def __call__(self, inputs: Tensor, bias: Tensor | None, other: Tensor | None = None) -> Tensor:
        """Return the layer's outputs.

        Args:
            inputs: Inputs of the layer, float32. They are not changed.
            bias: Shift [out] of the outputs, or None.
            other: Tensor in the shape of the outputs that is added to them (default: None).
        """
        self.reads.begin()
        product = Product(inputs, inputs, None, self.geometry)
        total: Tensor | None = None
        for number, split in enumerate(self.splits):
            sums, squares, reach = self._sums(inputs, number, split)
            converted = self._converted(sums, split, product, squares)
            if reach is not None:
                converted.mul_(reach)
            if total is None:
                total = self._scaled(converted, split.factor, bias)
            else:
                total.addcmul_(converted, split.factor)
        assert total is not None, "nothing is loaded"
        outputs = total.permute(0, 3, 1, 2) if isinstance(self.geometry, Convolution) else total
        return outputs if other is None else outputs.add_(other)

    def _rounded(self, scaled: Tensor) -> Tensor:
        """Return the DAC's codes of inputs relative to their range, which are overwritten.

        The steps are those of :func:`driftproof.periphery._converters.dac`: inputs that are few different numbers, such
        as grey levels, may lie exactly between two codes, and go to the same one.
        """
        return scaled if self.periphery.dac_bits is None else scaled.div_(self.step_in).round_()

    def _scaled(self, codes: Tensor, factor: Tensor, bias: Tensor | None) -> Tensor:
        """Return codes of the ADC [..., out], which are overwritten, as outputs of the layer."""
        return codes.mul_(factor) if bias is None else torch.addcmul(bias, codes, factor, out=codes)

    def _converted(self, sums: Tensor, split: Split, product: Product, squares: Tensor | None) -> Tensor:
        """Return the ADC's codes of sums, [..., out], which are overwritten.

        Args:
            sums: Sums in steps of the ADC, [samples, *positions, out].
            split: The row split that they belong to.
            product: Product of the layer.
            squares: Sums of variances times squared inputs, in steps squared, which are overwritten; None without them.
        """
        sigma = self.periphery.output_noise / self.step_out
        if squares is not None or sigma:
            assert self.loaded is not None
            xi = self.reads.normals(self.loaded, product, tuple(sums.shape), split.lines.name)
            if squares is None:
                sums.add_(xi, alpha=sigma)
            else:
                sums.addcmul_(squares.clamp_(min=0).add_(sigma**2).sqrt_(), xi)
        if self.full_scale == math.inf:
            return sums
        beyond = self.reads.counts.beyond("saturated_outputs", sums, self.largest)
        if self.rounds:
            sums.round_()
        return sums.clamp_(-self.largest, self.largest) if beyond else sums


def can_read_in_codes(mapped: MappedWeight, geometry: Geometry, periphery: Periphery) -> bool:
    """Whether the reads of a layer can be computed in converter codes; otherwise they are computed step by step.

    Further stages of the periphery take the sums in other units. Transposed convolutions and paddings that differ
    between both sides go through a padded copy.
    """
    if periphery.stages or periphery.ir_drop:
        return False
    if not isinstance(geometry, Convolution):
        return mapped.layout.groups == 1
    plain = geometry.output_padding is None and all(low == high for low, high in geometry.padding)
    kernel = math.prod(geometry.kernel)
    whole = all(rows.start % kernel == 0 and rows.stop % kernel == 0 for rows in mapped.rows)
    return plain and whole and len(geometry.kernel) == 2
