"""One array at one time: its net weights, and the factors of its outputs."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from driftproof._devices import LayerKey, MvmReadNoise, SampleNormals


@dataclass(frozen=True)
class ArrayReading:
    """One layer of a chip at one time.

    Attributes:
        net: Net weights [out, in], relative to the columns' maxima (or the layer's).
        scale: That maximum, [row splits, out], in weight units, which multiplies a column's output.
        alpha: Drift compensation [row splits, out], which multiplies each tile's output.
        noise: Read noise that is new in every MVM, or None.
        samples: Source of the numbers for noise that is new in every MVM, or None without such noise.
        key: Source of numbers that are fixed for the chip's life, or None if no stage needs them.
    """

    net: Tensor
    scale: Tensor
    alpha: Tensor
    noise: MvmReadNoise | None = None
    samples: SampleNormals | None = None
    key: LayerKey | None = None
