"""Standard normal numbers of a layer's devices, by key.

**Blocks.** On a CPU the laws run over fixed blocks of 32,000 devices. torch splits longer tensors over threads, and
the last elements of each part go through other instructions, whose powers and exponentials differ in the last bit: in
blocks, conductances are bit-identical for any number of threads. Blocks also stay in the cache, and keep temporaries
small. A GPU takes the layer as one block.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from driftproof.devices.keys import generator

# torch works through up to 32,768 elements in one thread; a multiple of 16, as its normal numbers want; below 128 KiB,
# from where on malloc takes fresh pages for every temporary, which cost more than what is computed in them
BLOCK = 32_000


def blocks(flat: Tensor) -> Iterator[slice]:
    """Yield the blocks of a tensor [n], in order."""
    size = BLOCK if flat.device.type == "cpu" else max(flat.numel(), 1)
    for start in range(0, flat.numel(), size):
        yield slice(start, min(start + size, flat.numel()))


def layer_normals(
    like: Tensor,
    seed: int,
    chip: int,
    layer: str,
    purpose: str,
    t_s: float | None = None,
    into: Tensor | None = None,
) -> Iterator[tuple[slice, Tensor]]:
    """Yield every block of a layer ``like`` [out, in] with its numbers, drawn for the whole layer in a fixed order.

    They are written to ``into`` [n] if that is given, else to memory of their own.
    """
    source = generator(seed, chip, layer, purpose, like.device, t_s)
    for part in blocks(like.view(-1)):
        numbers = torch.empty(part.stop - part.start, device=like.device) if into is None else into[part]
        yield part, numbers.normal_(generator=source)
