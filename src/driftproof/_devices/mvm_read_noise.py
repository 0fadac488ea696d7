"""Noise that is new in every MVM: its standard deviation, and its numbers sample by sample.

**Blocks of samples.** A sample has n numbers, one for each output and position. Samples 0 … B-1, B … 2B-1, … are
blocks, where B is the largest power of two with B n ≤ 512, and at least 1. A block [B, n] is drawn as a whole by a
generator that is seeded with the key and the number of the block, and its rows are the numbers of its samples. So a
sample has the same numbers in any batch and any order, to the last bit. One seed, which costs as much as 400 numbers,
serves up to 512 numbers, and a single sample costs no more numbers than its block has.

The numbers depend on n: a sample of a longer sequence, or of a larger image, has different ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from driftproof._devices.keys import block_seeds
from driftproof._errors import DriftproofError

# torch's CPU generator makes 624 numbers at a time. With blocks of 1,024, a few scattered samples would cost more than
# one seed per sample; with blocks of 256, many consecutive samples would.
BLOCK_NUMBERS = 512
"""Largest count of numbers in a block of more than one sample."""

FURTHEST = 2**62
"""Largest absolute number of a sample. Inputs that recalibrate BatchNorm have the numbers -1, -2, …"""

_BLOCKS_AT_ONCE = 256  # of scattered samples: up to 512 KiB in addition to the result


def samples_per_block(count: int) -> int:
    """Return how many samples with ``count`` numbers each are drawn together.

    >>> [samples_per_block(count) for count in (0, 1, 10, 640, 16_384)]
    [512, 512, 32, 1, 1]
    """
    return 1 << (max(BLOCK_NUMBERS // max(count, 1), 1).bit_length() - 1)


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
            torch_device: Where to draw; CPU and CUDA generators give different numbers.

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
            rows = drawn.view(len(known), -1)
            size = samples_per_block(rows.shape[1])
            stream = torch.Generator(torch_device)
            if size == 1:
                self._fill(rows.unbind(), known, purpose, stream)
            elif known[-1] - known[0] == len(known) - 1 and (np.diff(known) == 1).all():
                self._draw_run(rows, int(known[0]), size, purpose, stream)
            else:
                self._draw_scattered(rows, known, size, purpose, stream)
        return drawn

    def _draw_run(self, rows: Tensor, first: int, size: int, purpose: str, stream: torch.Generator) -> None:
        """Draw consecutive samples [samples, n]: whole blocks in place, and parts of a block at both ends."""
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
        """Draw samples [samples, n] in any order from their blocks. Each block is drawn once, some at a time."""
        order = np.argsort(known, kind="stable")
        within, block_of = known[order] % size, known[order] // size
        blocks, starts = np.unique(block_of, return_index=True)
        ends = np.append(starts[1:], len(known))
        memory = rows.new_empty(min(len(blocks), _BLOCKS_AT_ONCE), size, rows.shape[1])
        parts, candidates = memory.unbind(), memory.view(-1, rows.shape[1])
        for start in range(0, len(blocks), _BLOCKS_AT_ONCE):
            some = slice(start, start + _BLOCKS_AT_ONCE)
            count = len(blocks[some])
            self._fill(parts[:count], blocks[some], purpose, stream)
            members = slice(starts[start], ends[some][-1])
            places = np.repeat(np.arange(count), ends[some] - starts[some]) * size + within[members]
            wanted = candidates.index_select(0, torch.from_numpy(places).to(rows.device))
            rows.index_copy_(0, torch.from_numpy(order[members]).to(rows.device), wanted)

    def _fill(self, parts: Sequence[Tensor], blocks: NDArray[np.int64], purpose: str, stream: torch.Generator) -> None:
        """Draw each block, a contiguous tensor, with the seed of its number."""
        seeds = block_seeds(self.seed, self.chip, self.layer, purpose, self.t_s, blocks)
        for part, seed in zip(parts, seeds, strict=True):
            part.normal_(generator=stream.manual_seed(seed))


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
