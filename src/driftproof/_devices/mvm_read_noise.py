"""Noise that is new in every MVM: its standard deviation, and its numbers sample by sample.

A sample has n numbers, one for each output and position. Number i of a sample is a function of the key, the sample and
i (:mod:`driftproof._devices.philox`), so a sample has the same numbers in any batch and any order, on any device.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from driftproof._devices.keys import words
from driftproof._devices.philox import fill_normals
from driftproof._errors import DriftproofError

FURTHEST = 2**62
"""Largest absolute number of a sample. Inputs that recalibrate BatchNorm have the numbers -1, -2, …"""


@dataclass(frozen=True)
class SampleNormals:
    """Standard normal numbers of the MVMs of one layer of one chip at one time, keyed by sample.

    Attributes:
        seed: Seed of the evaluation.
        chip: Number of the chip.
        layer: Canonical name of the layer.
        t_s: Seconds after the first read.
    """

    seed: int
    chip: int
    layer: str
    t_s: float

    def draw(self, shape: tuple[int, ...], samples: Sequence[int], purpose: str, torch_device: torch.device) -> Tensor:
        """Return the numbers of some samples, [samples, …] float32.

        Args:
            shape: Shape of the result, [samples, …], with one number per output and position.
            samples: Numbers of the samples in the data, from -2⁶² to 2⁶². A sample has the same normal numbers in any
                batch.
            purpose: Effect that the numbers are for, with a number if a forward pass uses the layer several times.
            torch_device: Where to draw; the numbers are the same everywhere.

        Raises:
            DriftproofError: If a sample's number is not an integer or too large, or if the shape is for another number
                of samples.

        >>> numbers = SampleNormals(seed=0, chip=0, layer="fc", t_s=1.0)
        >>> cpu = torch.device("cpu")
        >>> torch.equal(numbers.draw((3, 4), range(5, 8), "mvm", cpu)[2], numbers.draw((1, 4), [7], "mvm", cpu)[0])
        True
        """
        known = _numbers_of(samples, shape, self.layer)
        drawn = torch.empty(shape, device=torch_device, dtype=torch.float32)
        if drawn.numel():
            key = words(self.seed, self.chip, self.layer, purpose, self.t_s)
            fill_normals(key, known, drawn.view(len(known), -1))
        return drawn


@dataclass(frozen=True)
class MvmReadNoise:
    """The read noise of one layer of one chip at one time that is new in every MVM.

    Attributes:
        weights: Standard deviations σ [out, in], relative to the columns' maxima. The noise of an output has the
            variance Σ σ² x² over its inputs x.
        reference: Standard deviations of a reference column, [groups, in], or None. All outputs of a group share its
            noise.
    """

    weights: Tensor
    reference: Tensor | None


def _numbers_of(samples: Sequence[int], shape: tuple[int, ...], layer: str) -> NDArray[np.int64]:
    """Return the numbers of samples as an array [samples], checked."""
    if not shape or shape[0] != len(samples):
        raise DriftproofError(
            f"layer {layer!r}: numbers of shape {list(shape)} for {len(samples)} samples; [samples, …] is wanted"
        )
    # an array from a range's ends is 20 times faster than from its numbers
    ends = (samples.start, samples.stop, samples.step) if isinstance(samples, range) else None
    known = np.arange(*ends) if ends else np.asarray(samples)
    if len(known) and (known.dtype.kind not in "iu" or known.ndim != 1 or max(-known.min(), known.max()) > FURTHEST):
        few = ", ".join(repr(sample) for sample in samples[:3])
        raise DriftproofError(
            f"layer {layer!r}: samples {few}{', …' * (len(samples) > 3)}; integers from -2⁶² to 2⁶² are wanted"
        )
    return known.astype(np.int64)
