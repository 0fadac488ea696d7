"""Noise that is new in every matrix-vector product: its spread, and its numbers sample by sample."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from driftproof.devices.keys import generator


@dataclass(frozen=True)
class SampleNormals:
    """Standard normal numbers of single products of one layer of one chip at one time, keyed by sample.

    Attributes:
        seed: of the evaluation.
        chip: number of the chip.
        layer: canonical name of the layer.
        t_s: seconds after programming.
    """

    seed: int
    chip: int
    layer: str
    t_s: float

    def draw(self, shape: tuple[int, ...], samples: Sequence[int], purpose: str, device: torch.device) -> Tensor:
        """Return the numbers of some samples, [samples, …] float32.

        Args:
            shape: [samples, …], one number per output and position.
            samples: their numbers in the data: a sample has the same numbers in any batch.
            purpose: what the numbers are for; with a number if a forward pass uses the layer several times.
            device: where to draw; CPU and CUDA generators give different numbers.

        >>> numbers = SampleNormals(seed=0, chip=0, layer="fc", t_s=1.0)
        >>> cpu = torch.device("cpu")
        >>> torch.equal(numbers.draw((3, 4), range(5, 8), "mvm", cpu)[2], numbers.draw((1, 4), [7], "mvm", cpu)[0])
        True
        """
        numbers = torch.empty(shape, device=device)
        for sample, row in zip(samples, numbers, strict=True):
            row.normal_(generator=generator(self.seed, self.chip, self.layer, purpose, device, self.t_s, sample))
        return numbers


@dataclass(frozen=True)
class ProductNoise:
    """The read noise of one layer of one chip at one time.

    Attributes:
        weights: [out, in], standard deviations relative to the columns' maxima; an output's noise has the variance
            Σ σ² x² over its inputs x.
        reference: [groups, in], the same of a reference column, whose noise all outputs of a group share; None without
            one.
        seed: of the evaluation.
        chip: number of the chip.
        layer: canonical name of the layer.
        t_s: seconds after programming.
    """

    weights: Tensor
    reference: Tensor | None
    seed: int
    chip: int
    layer: str
    t_s: float

    def normals(self, shape: tuple[int, ...], samples: Sequence[int], purpose: str = "mvm") -> Tensor:
        """Return the standard normal numbers of some samples' products, [samples, …] float32.

        Args:
            shape: [samples, …], one number per output and position.
            samples: their numbers in the data: a sample has the same numbers in any batch.
            purpose: ``mvm``; with a number if a forward pass uses the layer several times.

        >>> noise = ProductNoise(torch.ones(4, 2), None, seed=0, chip=0, layer="fc", t_s=1.0)
        >>> torch.equal(noise.normals((3, 4), range(5, 8))[2], noise.normals((1, 4), [7])[0])
        True
        """
        numbers = SampleNormals(self.seed, self.chip, self.layer, self.t_s)
        return numbers.draw(shape, samples, purpose, self.weights.device)
