"""Keys of randomness: who draws what is fixed by name, never by order.

Every number that a chip draws comes from a generator that is seeded by
(seed, chip, layer, purpose, t_s for read noise, and the sample for the read noise of single products). The preset is
*not* in the key: two presets, and two networks of one shape, share their normal numbers, so that differences between
them have small error bars.

torch's CPU generator keeps the low 32 bits of a seed, so two *given* streams coincide with probability 2⁻³². Among the
streams of a whole evaluation some two may well coincide (25 chips × 20 layers × 6 times: 1 in 140; 100 × 54 × 6: more
likely than not). Then two different (chip, layer, purpose, time) share their numbers, elsewhere in the network or on
another chip: the law of each is untouched, and so is every mean over chips.
"""

from __future__ import annotations

import hashlib

import torch

_WRAPPERS = ("module.", "_orig_mod.")


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
        sample: number of the sample in the data, for the read noise of single products only.

    >>> a = generator(0, 3, "fc", "program+", torch.device("cpu"))
    >>> b = generator(0, 3, "fc", "program+", torch.device("cpu"))
    >>> torch.equal(torch.randn(5, generator=a), torch.randn(5, generator=b))
    True
    """
    key = f"driftproof|{seed}|{chip}|{layer}|{purpose}"
    if t_s is not None:
        key += f"|{float(t_s)!r}"
    if sample is not None:
        key += f"|{sample}"
    digest = hashlib.blake2b(key.encode(), digest_size=8).digest()
    return torch.Generator(device=device).manual_seed(int.from_bytes(digest, "little"))
