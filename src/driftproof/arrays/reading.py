"""One array at one time: what it multiplies by, and what its outputs are multiplied by."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from driftproof.devices import LayerKey, ProductNoise, SampleNormals


@dataclass(frozen=True)
class ArrayReading:
    """One layer of a chip at one time.

    Attributes:
        net: [out, in], what the array multiplies by, relative to the columns' maxima (or the layer's).
        scale: [row splits, out], that maximum: what a column's output is multiplied by, in weight units.
        alpha: [row splits, out], the compensation that multiplies each tile's output.
        noise: read noise that is new in every MVM, None if there is none.
        samples: where the numbers of noise that is new in every MVM come from; None for no such noise at all.
        key: where numbers that are fixed for the chip's life come from; None: nothing asks for them.
    """

    net: Tensor
    scale: Tensor
    alpha: Tensor
    noise: ProductNoise | None = None
    samples: SampleNormals | None = None
    key: LayerKey | None = None
