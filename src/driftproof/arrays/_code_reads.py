"""Forward reads in converter codes: what :class:`ForwardReads` computes, in a few passes over memory.

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
from driftproof.arrays._code_steps import Adc, After, Dac, convert
from driftproof.arrays._forward import ForwardReads
from driftproof.arrays._loaded import Lines, Loaded
from driftproof.periphery import Periphery


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
        self.dac, self.adc = Dac.of(reads.periphery), Adc.of(reads.periphery)
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
            scale = loaded.factor[split] * (self.adc.step * self._reach(split))
            variance = None if lines.variance is None else lines.variance * (self.dac.step / self.adc.step) ** 2
            splits.append(
                Split(
                    lines,
                    self._weight(lines.net * (self.dac.step / self.adc.step), split),
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

    def __call__(self, inputs: Tensor, bias: Tensor | None, other: Tensor | None = None, relu: bool = False) -> Tensor:
        """Return the layer's outputs.

        Args:
            inputs: Inputs of the layer, float32. They are not changed.
            bias: Shift [out] of the outputs, or None.
            other: Tensor in the shape of the outputs that is added to them (default: None).
            relu: Whether ReLU follows (default: False).
        """
        self.reads.begin()
        product = Product(inputs, inputs, None, self.geometry)
        images = isinstance(self.geometry, Convolution)
        total: Tensor | None = None
        for number, split in enumerate(self.splits):
            sums, variances, reach = self._sums(inputs, number, split)
            last = split is self.splits[-1]
            after = After(
                factor=split.factor,
                bias=bias if total is None else None,
                reach=reach,
                total=total,
                other=(other.permute(0, 2, 3, 1) if images else other) if last and other is not None else None,
                relu=relu and last,
            )
            normals = None
            if variances is not None or self.adc.sigma:
                assert self.loaded is not None
                normals = self.reads.normals(self.loaded, product, tuple(sums.shape), split.lines.name)
            total = convert(sums, normals, variances, self.adc, after, self.reads.counts)
        assert total is not None, "nothing is loaded"
        return total.permute(0, 3, 1, 2) if images else total


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
