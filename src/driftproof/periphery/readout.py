"""From an array's sums to numbers: noise, further stages, ADC."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from driftproof.errors import DriftproofError
from driftproof.periphery.converters import adc_
from driftproof.periphery.counts import Counts
from driftproof.periphery.noise import MvmNoise
from driftproof.periphery.settings import Periphery
from driftproof.periphery.sums import Sums


class Effect(Protocol):
    """What changes an array's sums."""

    def apply(self, sums: Sums) -> Tensor:
        """Return the sums with this effect."""


class Readout:
    """What the sums of every tile go through.

    Args:
        periphery: its output noise, its stages, its ADC.
    """

    def __init__(self, periphery: Periphery) -> None:
        self.periphery = periphery
        self.stages: tuple[Effect, ...] = (MvmNoise(periphery.output_noise), *periphery.stages)
        self.codes: list[Tensor] | None = None
        """A list to which the ADC's outputs are appended, for comparisons; None to keep none."""

    def analog(self, sums: Sums) -> Tensor:
        """Return what reaches the ADC, and count what is beyond its full scale."""
        for stage in self.stages:
            found = stage.apply(sums)
            if not isinstance(found, Tensor) or found.shape != sums.values.shape:
                came = list(found.shape) if isinstance(found, Tensor) else type(found).__name__
                raise DriftproofError(
                    f"stage {type(stage).__name__} gave {came} for sums of shape {list(sums.values.shape)}; apply "
                    "returns a tensor of the same shape"
                )
            sums.values = found
        self.count(sums.values, sums.counts)
        return sums.values

    def count(self, values: Tensor, counts: Counts) -> None:
        """Count what is beyond the ADC's full scale."""
        if self.periphery.adc_full_scale is not None:
            counts.beyond("saturated_outputs", values, self.periphery.adc_full_scale)

    def __call__(self, sums: Sums) -> Tensor:
        """Return the converted sums; the values of ``sums`` are written over."""
        y = adc_(self.analog(sums), self.periphery)
        if self.codes is not None:
            self.codes.append(y.clone())
        return y
