"""Standard normal numbers of a layer, drawn by key.

**Blocks.** On a CPU the laws run over fixed blocks of 32,000 devices. torch splits longer tensors over threads, and
the last elements of each part go through other instructions, whose powers and exponentials differ in the last bit. In
blocks, conductances are bit-identical for any number of threads. Blocks also stay in the cache and keep temporaries
small. A GPU takes the layer as one block.

**Padding.** The last elements of every tensor go through those other instructions, too. Devices are therefore padded to
a multiple of 64, so that a layer has the same bits alone and beside others (:mod:`driftproof._devices.line`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from driftproof._devices.keys import generator

# torch works through up to 32,768 elements in one thread; a multiple of 16, as its normal numbers need; below 128 KiB,
# from where on malloc takes fresh pages for every temporary, which cost more than the computation in them
BLOCK = 32_000
PADDING = 64  # torch computes with vectors of up to 16 numbers, at most four at a time; a block is a multiple of it


def padded_size(count: int) -> int:
    """Return the number of devices with those that pad them.

    >>> padded_size(1), padded_size(64), padded_size(65)
    (64, 64, 128)
    """
    return -(-count // PADDING) * PADDING


def padded(flat: Tensor) -> Tensor:
    """Return a copy of a tensor [n], with zeros up to a multiple of 64."""
    whole = flat.new_zeros(padded_size(len(flat)))
    whole[: len(flat)] = flat
    return whole


@dataclass(frozen=True)
class LayerKey:
    """One layer of one chip: the key by which its numbers are drawn.

    Attributes:
        seed: Seed of the evaluation.
        chip: Number of the chip.
        layer: Canonical name of the layer.
    """

    seed: int
    chip: int
    layer: str

    def fixed(self, purpose: str, count: int, torch_device: torch.device) -> Tensor:
        """Return numbers [count] that are the same at every call, for effects that a chip keeps for life.

        Args:
            purpose: Effect and line that the numbers are for, such as ``column-gain|sum0``.
            count: How many numbers; another count gives other numbers.
            torch_device: Where to draw; CPU and CUDA generators give different numbers.

        >>> key, cpu = LayerKey(seed=0, chip=3, layer="fc"), torch.device("cpu")
        >>> torch.equal(key.fixed("gain", 5, cpu), key.fixed("gain", 5, cpu))
        True
        """
        source = generator(self.seed, self.chip, self.layer, purpose, torch_device)
        return torch.empty(count, device=torch_device).normal_(generator=source)


def blocks(flat: Tensor) -> Iterator[slice]:
    """Yield the blocks of a tensor [n], in order."""
    size = BLOCK if flat.device.type == "cpu" else max(flat.numel(), 1)
    for start in range(0, flat.numel(), size):
        yield slice(start, min(start + size, flat.numel()))


def line_normals(
    like: Tensor,
    keys: Sequence[LayerKey],
    places: Sequence[slice],
    purpose: str,
    t_s: float | None,
    into: Tensor | None,
    kept: Sequence[Tensor | None],
) -> Iterator[Tensor]:
    """Yield every block of a line of layers: each layer's own numbers at its place, zeros between.

    Args:
        like: Tensor of the line, [n].
        keys: Key of each layer.
        places: Place of each layer in the line.
        purpose: What the numbers are for.
        t_s: Read-out time in s, for read noise.
        into: Memory [n] for the numbers (None: new memory).
        kept: Numbers of each layer that were stored, and are not drawn again, or None.
    """
    sources = [
        None if stored is not None else generator(key.seed, key.chip, key.layer, purpose, like.device, t_s)
        for key, stored in zip(keys, kept, strict=True)
    ]
    for part in blocks(like):
        numbers = torch.empty(part.stop - part.start, device=like.device) if into is None else into[part]
        if len(places) > 1 or places[0].stop < part.stop:  # there is something between or behind the layers
            numbers.zero_()
        for place, source, stored in zip(places, sources, kept, strict=True):
            low, high = max(place.start, part.start), min(place.stop, part.stop)
            if low >= high:
                continue
            own = numbers[low - part.start : high - part.start]
            if stored is not None:
                own.copy_(stored[low - place.start : high - place.start])
            else:
                own.normal_(generator=source)
        yield numbers


def layer_normals(
    like: Tensor, seed: int, chip: int, layer: str, purpose: str, t_s: float | None = None, into: Tensor | None = None
) -> Iterator[tuple[slice, Tensor]]:
    """Yield every block of a layer ``like`` [out, in] with its numbers, drawn for the whole layer in a fixed order.

    The numbers are written to ``into`` [n] if it is given, else to new memory.
    """
    source = generator(seed, chip, layer, purpose, like.device, t_s)
    for part in blocks(like.view(-1)):
        numbers = torch.empty(part.stop - part.start, device=like.device) if into is None else into[part]
        yield part, numbers.normal_(generator=source)
