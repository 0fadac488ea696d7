"""Standard normal numbers that are found by place: a function of a key, a sample and a position, without a state.

**Random words.** Philox4x32 with 10 rounds (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011,
doi:10.1145/2063384.2063405) turns a counter of four 32-bit words into four random words by a bijection that a 64-bit
key chooses. The counter of numbers 4 i … 4 i + 3 of a sample is (i, 0, low half of the sample, high half). So no two
numbers of a key share a word, and a sample has the same numbers in any batch and any order.

**Normal numbers.** Box and Muller's transform takes two words for two numbers, r cos φ and r sin φ with r² = −2 ln u.
u = (word + ½) / 2³² reaches down to 2⁻³³, so the largest number is 6.76; a number beyond it has a probability of
1.4e-11. u is a float32, so radii below 3e-4, of probability 6e-8, are few different numbers. ln, sin and cos are
minimax polynomials with errors of about 1e-7, float32's own. Only additions, multiplications and square roots are
used, which all processors round alike: a CPU and a GPU give the same numbers.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from driftproof._loops import loops

ROUNDS = 10
MULTIPLIERS = 0xD2511F53, 0xCD9E8D57
KEY_STEPS = 0x9E3779B9, 0xBB67AE85
_WORD = 0xFFFFFFFF


def _float32(*numbers: float) -> tuple[float, ...]:
    return tuple(float(np.float32(number)) for number in numbers)


# (ln(1 + t) − t) / t² for √½ − 1 ≤ t ≤ √2 − 1; (sin x − x) / x³ and (cos x − 1) / x², in x², for |x| ≤ π/4
LOG = _float32(-0.4999999, 0.33333948, -0.25001758, 0.19962132, -0.16570474, 0.14917371, -0.1430758, 0.08736539)
SIN = _float32(-0.1666665, 0.008332036, -0.00019504022)
COS = _float32(-0.49999857, 0.041655026, -0.0013585909)
LN_2, TO_UNIT, TO_ANGLE = _float32(math.log(2), 2.0**-32, math.pi / 4 * 2.0**-31)
MANTISSA, ONE, ROOT_2 = 0x007FFFFF, 0x3F800000, 0x3FB504F3
"""Bits of a float32: its mantissa, those of 1, and those of √2."""

_AT_ONCE = 2**20
"""Numbers that are computed together operator by operator; each takes about 100 bytes meanwhile."""


def fill_normals(key: tuple[int, int], samples: NDArray[np.int64], out: Tensor) -> None:
    """Write the numbers of some samples.

    Args:
        key: The key, two words of 32 bits.
        samples: Numbers of the samples, [samples].
        out: Where the numbers go, contiguous float32 [samples, numbers of a sample].

    >>> out = torch.empty(2, 3)
    >>> fill_normals((0, 0), np.array([5, 6]), out)
    >>> out
    tensor([[-0.5797, -0.3441,  0.9460],
            [-1.1709,  0.6229, -0.0481]])
    """
    compiled = loops("driftproof._devices.philox_loop") if out.device.type == "cpu" else None
    if compiled is not None:
        compiled.fill(np.uint32(key[0]), np.uint32(key[1]), samples, out.numpy())
        return
    fours = -(-out.shape[1] // 4)
    step = max(_AT_ONCE // max(4 * fours, 1), 1)
    for start in range(0, len(samples), step):
        part = torch.from_numpy(samples[start : start + step]).to(out.device)
        words = random_words(key, part, fours)
        numbers = torch.stack([*_pair(words[0], words[1]), *_pair(words[2], words[3])], dim=-1)
        out[start : start + step] = numbers.view(len(part), -1)[:, : out.shape[1]]


def random_words(key: tuple[int, int], samples: Tensor, fours: int) -> list[Tensor]:
    """Return Philox's four words of counters (0 … fours − 1, 0, low half of a sample, high half).

    Args:
        key: The key, two words of 32 bits.
        samples: Numbers of the samples, int64 [samples].
        fours: Number of counters of each sample.

    Returns:
        Four tensors [samples, fours] of int64 with values below 2³².
    """
    first = torch.arange(fours, device=samples.device).expand(len(samples), -1)
    low, high = (half.unsqueeze(1).expand_as(first) for half in (samples & _WORD, samples >> 32 & _WORD))
    return philox([first, torch.zeros_like(first), low, high], key)


def philox(counter: list[Tensor], key: tuple[int, int]) -> list[Tensor]:
    """Return Philox's four random words for four words of counters, all int64 with values below 2³².

    >>> [f"{int(word):08x}" for word in philox([torch.tensor(0)] * 4, (0, 0))]
    ['6627e8d5', 'e169c58d', 'bc57ac4c', '9b00dbd8']
    """
    words = list(key)
    for _ in range(ROUNDS):
        # products of 64 bits; int64 wraps around, and the mask takes the sign off the high half
        one, two = counter[0] * MULTIPLIERS[0], counter[2] * MULTIPLIERS[1]
        counter = [
            (two >> 32 & _WORD) ^ counter[1] ^ words[0],
            two & _WORD,
            (one >> 32 & _WORD) ^ counter[3] ^ words[1],
            one & _WORD,
        ]
        words = [(word + step) & _WORD for word, step in zip(words, KEY_STEPS, strict=True)]
    return counter


def _pair(radius: Tensor, angle: Tensor) -> tuple[Tensor, Tensor]:
    """Return two normal numbers for two words."""
    # u = 2^exponent (1 + t)
    u = (radius.float() + 0.5) * TO_UNIT
    bits = u.view(torch.int32)
    mantissa = (bits & MANTISSA) | ONE
    above = (mantissa > ROOT_2).int()
    exponent = ((bits >> 23) - 127 + above).float()
    t = (mantissa - (above << 23)).view(torch.float32) - 1.0
    log = exponent * LN_2 + (t + t * t * _polynomial(LOG, t))
    # torch's square root of float32 may be off by the last bit; that of float64, rounded, is not
    r = (log * -2.0).double().sqrt().float()
    # the two high bits of the angle's word choose a coordinate and its sign, and the others an angle within ± π/4 of it
    x = (angle << 34 >> 32).float() * TO_ANGLE
    z = x * x
    across = (x + x * z * _polynomial(SIN, z)) * r
    along = (z * _polynomial(COS, z) + 1.0) * r
    along = torch.where(angle >> 31 > 0, -along, along)
    swap = (angle >> 30 & 1) > 0
    return torch.where(swap, across, along), torch.where(swap, along, across)


def _polynomial(coefficients: tuple[float, ...], x: Tensor) -> Tensor:
    value = torch.full_like(x, coefficients[-1])
    for coefficient in coefficients[-2::-1]:
        value = value * x + coefficient
    return value
