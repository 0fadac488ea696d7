"""From an array's sums to numbers: noise, further stages, ADC."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from driftproof._errors import DriftproofError
from driftproof.periphery._converters import adc_
from driftproof.periphery._counts import Counts
from driftproof.periphery._settings import Periphery
from driftproof.periphery._stage import Stage
from driftproof.periphery._sums import Sums


@dataclass(frozen=True)
class MvmNoise:
    """Noise of the sums that is new in every MVM: the first stage after every array.

    The noise is Gaussian and independent. A sum y = Σ ŵ x̂ gets σ ξ with σ² = σ_out² + Σ v x̂², where v are the variances
    of the weights (read noise and weight noise that are new in every MVM), and ξ is one number per line and MVM.

    Attributes:
        output_noise: σ_out of each line, in units of one full-scale input times one full-scale weight.
    """

    output_noise: float

    def apply(self, sums: Sums) -> Tensor:
        """Return the sums with their noise."""
        if sums.variance is None and not self.output_noise:
            return sums.values
        xi = sums.new("")
        if sums.variance is None:
            return sums.values + self.output_noise * xi
        squares = sums.times(sums.inputs.square(), sums.variance)
        return sums.values + (squares.clamp(min=0) + self.output_noise**2).sqrt() * xi


class Readout:
    """The steps from the sums of a tile to its outputs.

    Args:
        periphery: Periphery whose output noise, stages and ADC are applied.
    """

    def __init__(self, periphery: Periphery) -> None:
        self.periphery = periphery
        self.stages: tuple[MvmNoise | Stage, ...] = (MvmNoise(periphery.output_noise), *periphery.stages)

    def analog(self, sums: Sums) -> Tensor:
        """Return the values that reach the ADC, and count those beyond its full scale."""
        for stage in self.stages:
            values = stage.apply(sums)
            if not isinstance(values, Tensor) or values.shape != sums.values.shape:
                came = list(values.shape) if isinstance(values, Tensor) else type(values).__name__
                raise DriftproofError(
                    f"stage {type(stage).__name__} gave {came} for sums of shape {list(sums.values.shape)}; apply "
                    "returns a tensor of the same shape"
                )
            sums.values = values
        self.count(sums.values, sums.counts)
        return sums.values

    def count(self, values: Tensor, counts: Counts) -> None:
        """Count the values beyond the ADC's full scale."""
        if self.periphery.adc_full_scale is not None:
            counts.beyond("saturated_outputs", values, self.periphery.adc_full_scale)

    def __call__(self, sums: Sums) -> Tensor:
        """Return the converted sums. The values of ``sums`` are overwritten."""
        return adc_(self.analog(sums), self.periphery)
