"""Noise of each tile's sums before its ADC: output noise, and weights whose noise is new in every product.

All of it is Gaussian and independent: a sum y = Σ ŵ x̂ gets σ ξ with σ² = σ_out² + Σ v x̂², v the variances of the
weights (read noise of single products, noise of the weights in an MVM), and one number ξ per output and position.
"""

from __future__ import annotations

import torch
from torch import Tensor

from driftproof.calls import Product
from driftproof.chip import ArrayReading
from driftproof.devices import SampleNormals
from driftproof.errors import DriftproofError
from driftproof.mapping import MappedWeight
from driftproof.periphery import Periphery, mvm_noise_variances
from driftproof.products.passes import Calls, Passes, by_sample


class TileSumNoise:
    """The noise of one array's sums, tile by tile.

    Args:
        mapped: the weight on tiles.
        passes: which samples come.
        periphery: its output noise and weight noise.
    """

    def __init__(self, mapped: MappedWeight, passes: Passes, periphery: Periphery) -> None:
        self.mapped, self.passes, self.periphery = mapped, passes, periphery
        self.variance: Tensor | None = None  # [out, in of a group], relative to the largest conductance
        self._samples: SampleNormals | None = None
        self._calls = Calls(passes)
        self._mark = ""

    @torch.no_grad()
    def load(self, reading: ArrayReading | None) -> None:
        """Take the spreads of a reading; None for none."""
        self.variance = None
        self._samples = reading.samples if reading else None
        if reading is None:
            return
        variance = mvm_noise_variances(reading.net, self.periphery)
        if reading.noise is not None:
            if reading.noise.reference is not None:
                raise DriftproofError(
                    f"layer {self.mapped.name}: read noise of single products of a reference column is known for an "
                    'ideal periphery only; use reference = "none" in the device, or --periphery ideal'
                )
            read = reading.noise.weights.square()
            variance = read if variance is None else variance + read
        self.variance = variance

    @property
    def quiet(self) -> bool:
        """Whether there is no noise at all."""
        return self._samples is None or (self.variance is None and not self.periphery.output_noise)

    def begin(self) -> None:
        """Say that the layer is used (once more) in this pass."""
        self._mark = self._calls.mark()

    def normals(self, product: Product, shape: tuple[int, ...], split: int, device: torch.device) -> Tensor:
        """Return ξ of one row split, in the order of the product's vectors: [samples, …, out]."""
        samples, purpose = self._samples, f"sum{split}|{self._mark}"
        assert samples is not None
        return by_sample(
            self.passes,
            product,
            shape,
            lambda own, numbers: samples.draw(own, numbers, purpose, device),
            self.mapped.name,
        )

    def spread(self, squares_times_variance: Tensor | None) -> Tensor | float:
        """Return σ from Σ v x̂², None where there is no weight noise."""
        out = self.periphery.output_noise
        if squares_times_variance is None:
            return out
        return (squares_times_variance.clamp(min=0) + out**2).sqrt()
