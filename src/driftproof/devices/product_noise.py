"""Noise that is new in every matrix-vector product: its spread, and its numbers sample by sample.

**Blocks of samples.** A sample has n numbers, one for each output and position. Samples 0 … B-1, B … 2B-1, …
are blocks, B the largest power of two with B n ≤ 512, at least 1. A block is drawn whole, [B, n], by a generator
that is seeded with the key and the number of the block; its rows are its samples' numbers. So a sample has the same
numbers in any batch and any order, to the last bit; a seed, which costs as much as 400 numbers, serves up to 512; and a
sample that comes alone costs no more numbers than its block has.

The numbers do depend on n: a sample of a longer sequence, or of a larger image, has others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from driftproof.devices.keys import block_seeds
from driftproof.errors import DriftproofError

# torch's CPU generator makes 624 numbers at a time; with 1,024 a few scattered samples would cost more than seeds of
# their own, with 256 many samples that follow each other would
BLOCK_NUMBERS = 512
"""A block of more than one sample has at most so many numbers."""

FURTHEST = 2**62
"""The largest number of a sample, either way: the inputs that re-estimate norms' statistics count from -1 downwards."""

_BLOCKS_AT_ONCE = 256  # of scattered samples: up to 512 KiB beside the numbers that are wanted


def samples_per_block(count: int) -> int:
    """Return how many samples of so many numbers are drawn together.

    >>> [samples_per_block(count) for count in (0, 1, 10, 640, 16_384)]
    [512, 512, 32, 1, 1]
    """
    return 1 << (max(BLOCK_NUMBERS // max(count, 1), 1).bit_length() - 1)


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
            samples: which ones, as numbers from -2⁶² to 2⁶²: a sample has the same normal numbers in any batch.
            purpose: what the numbers are for; with a number if a forward pass uses the layer several times.
            device: where to draw; CPU and CUDA generators give different numbers.

        Raises:
            DriftproofError: a sample's number is no integer or too large, or the shape is one of more or fewer samples.

        >>> numbers = SampleNormals(seed=0, chip=0, layer="fc", t_s=1.0)
        >>> cpu = torch.device("cpu")
        >>> torch.equal(numbers.draw((3, 4), range(5, 8), "mvm", cpu)[2], numbers.draw((1, 4), [7], "mvm", cpu)[0])
        True
        """
        known = _numbers_of(samples, shape, self.layer)
        drawn = torch.empty(shape, device=device, dtype=torch.float32)
        if drawn.numel():
            rows = drawn.view(len(known), -1)
            size = samples_per_block(rows.shape[1])
            stream = torch.Generator(device)
            if size == 1:
                self._fill(rows.unbind(), known, purpose, stream)
            elif known[-1] - known[0] == len(known) - 1 and (np.diff(known) == 1).all():
                self._draw_run(rows, int(known[0]), size, purpose, stream)
            else:
                self._draw_scattered(rows, known, size, purpose, stream)
        return drawn

    def _draw_run(self, rows: Tensor, first: int, size: int, purpose: str, stream: torch.Generator) -> None:
        """Draw samples [samples, n] that follow each other: whole blocks in place, parts of one at both ends."""
        head = min(-first % size, len(rows))
        end = len(rows) - (len(rows) - head) % size
        parts = list(rows[head:end].view(-1, size, rows.shape[1]).unbind())
        before, after = rows.new_empty(2, size, rows.shape[1])
        parts = [before] * (head > 0) + parts + [after] * (end < len(rows))
        self._fill(parts, first // size + np.arange(len(parts)), purpose, stream)
        if head:
            rows[:head] = before[first % size :][:head]
        if end < len(rows):
            rows[end:] = after[: len(rows) - end]

    def _draw_scattered(
        self, rows: Tensor, known: NDArray[np.int64], size: int, purpose: str, stream: torch.Generator
    ) -> None:
        """Draw samples [samples, n] in any order out of blocks of their own, each drawn once, a few at a time."""
        order = np.argsort(known, kind="stable")
        within, block_of = known[order] % size, known[order] // size
        blocks, starts = np.unique(block_of, return_index=True)
        ends = np.append(starts[1:], len(known))
        beside = rows.new_empty(min(len(blocks), _BLOCKS_AT_ONCE), size, rows.shape[1])
        parts, candidates = beside.unbind(), beside.view(-1, rows.shape[1])
        for start in range(0, len(blocks), _BLOCKS_AT_ONCE):
            some = slice(start, start + _BLOCKS_AT_ONCE)
            count = len(blocks[some])
            self._fill(parts[:count], blocks[some], purpose, stream)
            own = slice(starts[start], ends[some][-1])
            places = np.repeat(np.arange(count), ends[some] - starts[some]) * size + within[own]
            wanted = candidates.index_select(0, torch.from_numpy(places).to(rows.device))
            rows.index_copy_(0, torch.from_numpy(order[own]).to(rows.device), wanted)

    def _fill(self, parts: Sequence[Tensor], blocks: NDArray[np.int64], purpose: str, stream: torch.Generator) -> None:
        """Draw each block, contiguous numbers of one shape, with its own seed."""
        seeds = block_seeds(self.seed, self.chip, self.layer, purpose, self.t_s, blocks)
        for part, seed in zip(parts, seeds, strict=True):
            part.normal_(generator=stream.manual_seed(seed))


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

        Raises:
            DriftproofError: as :meth:`SampleNormals.draw`.

        >>> noise = ProductNoise(torch.ones(4, 2), None, seed=0, chip=0, layer="fc", t_s=1.0)
        >>> torch.equal(noise.normals((3, 4), range(5, 8))[2], noise.normals((1, 4), [7])[0])
        True
        """
        numbers = SampleNormals(self.seed, self.chip, self.layer, self.t_s)
        return numbers.draw(shape, samples, purpose, self.weights.device)


def _numbers_of(samples: Sequence[int], shape: tuple[int, ...], layer: str) -> NDArray[np.int64]:
    """Return samples' numbers, [samples], checked."""
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
