"""Keys of randomness: names determine every random number, and the order of drawing does not matter.

Every number that a chip draws comes from a generator that is seeded by (seed, chip, layer, purpose, t_s for read noise,
and the block of samples for noise that is new in every MVM). The preset is *not* in the key. Two presets, and two
networks of one shape, share their normal numbers, so that differences between them have small error bars.

torch's CPU generator keeps the low 32 bits of a seed, so two *given* streams coincide with probability 2⁻³². In a whole
evaluation some two streams may coincide (with 25 chips × 20 layers × 6 times in 1 of 140 evaluations; with 100 × 54 × 6
more likely than not). Then two different (chip, layer, purpose, time) share their numbers. The law of each does not
change, and neither does any mean over chips.

Noise that is new in every MVM has a stream for each *block of samples* (:func:`block_seeds`). Under one key the blocks
from -2³¹ to 2³¹ - 1 have different seeds, so no two samples of one layer of one chip at one time share their numbers.
Blocks of different keys can share numbers by chance: M streams have about M² / 2³³ such pairs (25 × 20 × 6 keys of 313
blocks, 10,000 samples of 10 numbers each: about 100 pairs of 940,000 blocks; of 10,000 blocks: 105,000 pairs of 30
million). The two blocks of a pair belong to different layers, chips, purposes or times, and almost always to different
samples. Each has its law, and the variance of a mean over all M streams is larger by a share of about M / 2³² where the
effects of a pair are alike. On a GPU, seeds keep 64 bits, and 30 million blocks hardly ever have a pair.
"""

from __future__ import annotations

import hashlib

import numpy as np
import torch
from numpy.typing import NDArray

_WRAPPERS = ("module.", "_orig_mod.")
_MIX = np.uint32(0x7FEB352D), np.uint32(0x846CA68B)  # "lowbias32" of Chris Wellons' hash prospector
_GOLDEN = 0x9E3779B9


def canonical_name(name: str) -> str:
    """Return a layer's name without the parts that ``DataParallel`` and ``torch.compile`` add.

    >>> canonical_name("module._orig_mod.layer1.0.conv1")
    'layer1.0.conv1'
    """
    parts = [part for part in name.split(".") if f"{part}." not in _WRAPPERS]
    return ".".join(parts)


def generator(
    seed: int,
    chip: int,
    layer: str,
    purpose: str,
    torch_device: torch.device,
    t_s: float | None = None,
    sample: int | None = None,
) -> torch.Generator:
    """Return a fresh generator for one purpose of one layer of one chip.

    Args:
        seed: Seed of the whole evaluation.
        chip: Number of the chip, from 0.
        layer: Canonical name of the layer.
        purpose: Effect and devices that the numbers are for: ``program+``, ``drift-``, ``read+2`` (second pair),
            ``stuck+``. ``+`` and ``-`` are the two devices of a pair, and ``ref`` is a reference column. ``mvm`` is
            read noise that is new in every MVM.
        torch_device: Where the numbers are drawn; CPU and CUDA generators give different numbers for one key.
        t_s: Read-out time in s, for read noise (default: None).
        sample: Number of the stream, for purposes with several streams (default: None).

    >>> a = generator(0, 3, "fc", "program+", torch.device("cpu"))
    >>> b = generator(0, 3, "fc", "program+", torch.device("cpu"))
    >>> torch.equal(torch.randn(5, generator=a), torch.randn(5, generator=b))
    True
    """
    key = _text(seed, chip, layer, purpose, t_s)
    if sample is not None:
        key += f"|{sample}"
    digest = hashlib.blake2b(key.encode(), digest_size=8).digest()
    return torch.Generator(torch_device).manual_seed(int.from_bytes(digest, "little"))


def block_seeds(seed: int, chip: int, layer: str, purpose: str, t_s: float, blocks: NDArray[np.int64]) -> list[int]:
    """Return the seeds of blocks of samples, 64 bits each.

    The key's digest chooses a permutation of the numbers below 2³², which gives the low half of a seed: two rounds of a
    bijective 32-bit mixer, each after adding a word of the digest. Blocks from -2³¹ to 2³¹ - 1, or from 0 to 2³² - 1,
    have different low halves; further blocks repeat them in another order. The high half, which torch's CPU generator
    does not use, is a third word of the digest.

    Args:
        seed: Seed of the whole evaluation.
        chip: Number of the chip, from 0.
        layer: Canonical name of the layer.
        purpose: Effect that the numbers are for, such as ``mvm``.
        t_s: Read-out time in s.
        blocks: Numbers of the blocks, [blocks].

    >>> seeds = block_seeds(0, 3, "fc", "mvm", 1.0, np.arange(1000))
    >>> len({seed % 2**32 for seed in seeds})
    1000
    >>> seeds[7:8] == block_seeds(0, 3, "fc", "mvm", 1.0, np.array([7]))
    True
    """
    digest = hashlib.blake2b(_text(seed, chip, layer, purpose, t_s).encode(), digest_size=12).digest()
    first, second, high = np.frombuffer(digest, "<u4").astype(np.uint32)
    low = (blocks ^ (blocks >> 32) * _GOLDEN).astype(np.uint32)
    for word in (first, second):
        low += word
        low ^= low >> 16
        low *= _MIX[0]
        low ^= low >> 15
        low *= _MIX[1]
        low ^= low >> 16
    seeds: list[int] = (low.astype(np.uint64) | np.uint64(int(high) << 32)).tolist()
    return seeds


def _text(seed: int, chip: int, layer: str, purpose: str, t_s: float | None) -> str:
    key = f"driftproof|{seed}|{chip}|{layer}|{purpose}"
    return key if t_s is None else f"{key}|{float(t_s)!r}"
