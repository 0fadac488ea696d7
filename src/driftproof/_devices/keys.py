"""Keys of randomness: names determine every random number, and the order of drawing does not matter.

Every number that a chip draws comes from a generator that is seeded by (seed, chip, layer, purpose, t_s for read
noise). The preset is *not* in the key. Two presets, and two networks of one shape, share their normal numbers, so that
differences between them have small error bars.

torch's CPU generator keeps the low 32 bits of a seed, so two *given* streams coincide with probability 2⁻³². In a whole
evaluation some two streams may coincide (with 25 chips × 20 layers × 6 times in 1 of 140 evaluations; with 100 × 54 × 6
more likely than not). Then two different (chip, layer, purpose, time) share their numbers. The law of each does not
change, and neither does any mean over chips.

Noise that is new in every MVM is found by place (:mod:`driftproof._devices.philox`): all its words of one key are
different, and keys have 64 bits (:func:`words`), of which two hardly ever coincide.
"""

from __future__ import annotations

import hashlib

import torch

_WRAPPERS = ("module.", "_orig_mod.")


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
    return torch.Generator(torch_device).manual_seed(int.from_bytes(_digest(key), "little"))


def words(seed: int, chip: int, layer: str, purpose: str, t_s: float) -> tuple[int, int]:
    """Return the key, two words of 32 bits, of numbers that are found by place.

    Args:
        seed: Seed of the whole evaluation.
        chip: Number of the chip, from 0.
        layer: Canonical name of the layer.
        purpose: Effect that the numbers are for, such as ``mvm``.
        t_s: Read-out time in s.

    >>> words(0, 3, "fc", "mvm", 1.0) == words(0, 3, "fc", "mvm", 60.0)
    False
    """
    number = int.from_bytes(_digest(_text(seed, chip, layer, purpose, t_s)), "little")
    return number & 0xFFFFFFFF, number >> 32


def _digest(key: str) -> bytes:
    """Return 64 bits for a key."""
    return hashlib.blake2b(key.encode(), digest_size=8).digest()


def _text(seed: int, chip: int, layer: str, purpose: str, t_s: float | None) -> str:
    key = f"driftproof|{seed}|{chip}|{layer}|{purpose}"
    return key if t_s is None else f"{key}|{float(t_s)!r}"
