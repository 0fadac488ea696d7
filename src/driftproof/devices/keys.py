"""Keys of randomness: who draws what is fixed by name, never by order.

Every number that a chip draws comes from a generator that is seeded by (seed, chip, layer, purpose, t_s for read noise,
and the block of samples for noise that is new in every product). The preset is *not* in the key: two presets, and two
networks of one shape, share their normal numbers, so that differences between them have small error bars.

torch's CPU generator keeps the low 32 bits of a seed, so two *given* streams coincide with probability 2⁻³². Among the
streams of a whole evaluation some two may well coincide (25 chips × 20 layers × 6 times: 1 in 140; 100 × 54 × 6: more
likely than not). Then two different (chip, layer, purpose, time) share their numbers, elsewhere in the network or on
another chip: the law of each is untouched, and so is every mean over chips.

Noise of single products has a stream for each *block of samples* (:func:`block_seeds`). Under one key the blocks from
-2³¹ to 2³¹ - 1 have different seeds, so that no two samples of one layer of one chip at one time share their numbers.
Blocks of different keys do so by chance, and in any but the smallest evaluation some do: of M streams about M² / 2³³
pairs (25 × 20 × 6 keys of 313 blocks, 10,000 samples of 10 numbers each: about 100 pairs of 940,000 blocks; of 10,000
blocks: 105,000 pairs of 30 million). Such a pair is a block of one layer, chip, purpose or time and one of another,
almost always of other samples: each has its law, and a mean over all M streams has a variance that is larger by a share
of about M / 2³² where a pair's effects are alike. On a GPU seeds keep 64 bits: 30 million hardly ever have a pair.
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
    """Return a layer's name without what ``DataParallel`` and ``torch.compile`` put into it.

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
    device: torch.device,
    t_s: float | None = None,
    sample: int | None = None,
) -> torch.Generator:
    """Return a fresh generator for one purpose of one layer of one chip.

    Args:
        seed: of the whole evaluation.
        chip: number of the chip, from 0.
        layer: the layer's canonical name.
        purpose: what the numbers are for and whose: ``program+``, ``drift-``, ``read+2`` (second pair), ``stuck+``;
            ``+`` and ``-`` are the two devices of a pair, ``ref`` is a reference column; ``mvm`` for single products.
        device: CPU and CUDA generators give different numbers for one key.
        t_s: read-out time in s, for read noise only.
        sample: a further number, for streams that are counted; noise of single products has :func:`block_seeds`.

    >>> a = generator(0, 3, "fc", "program+", torch.device("cpu"))
    >>> b = generator(0, 3, "fc", "program+", torch.device("cpu"))
    >>> torch.equal(torch.randn(5, generator=a), torch.randn(5, generator=b))
    True
    """
    key = _text(seed, chip, layer, purpose, t_s)
    if sample is not None:
        key += f"|{sample}"
    digest = hashlib.blake2b(key.encode(), digest_size=8).digest()
    return torch.Generator(device=device).manual_seed(int.from_bytes(digest, "little"))


def block_seeds(seed: int, chip: int, layer: str, purpose: str, t_s: float, blocks: NDArray[np.int64]) -> list[int]:
    """Return the seeds of some blocks of samples, 64 bits each.

    The key's digest chooses a permutation of the numbers below 2³², which gives a seed's low half: two rounds of a
    bijective 32-bit mixer, each after a word of the digest is added. Blocks from -2³¹ to 2³¹ - 1, or from 0 to 2³² - 1,
    have different ones; further blocks use them again, in another order. The high half, which torch's CPU generator
    leaves out, is a third word of the digest.

    Args:
        seed: of the whole evaluation.
        chip: number of the chip, from 0.
        layer: the layer's canonical name.
        purpose: what the numbers are for, as ``mvm``.
        t_s: read-out time in s.
        blocks: their numbers, [blocks].

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
