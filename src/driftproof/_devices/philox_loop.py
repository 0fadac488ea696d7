"""The numbers of :mod:`driftproof._devices.philox` in compiled loops, some counters at a time."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from driftproof._devices import philox
from driftproof._loops import compiled

type Words = NDArray[np.uint32]
type Numbers = NDArray[np.float32]

LANES = 256
"""Counters that are worked through together: 12 KiB with everything between, which stays in the first cache."""

_word, _long, _float, _int = np.uint32, np.uint64, np.float32, np.int32
_M0, _M1 = (np.uint64(number) for number in philox.MULTIPLIERS)
_W0, _W1 = (np.uint32(number) for number in philox.KEY_STEPS)
_HALF_LONG, _FOUR, _LANES = np.uint64(32), np.uint64(4), np.uint64(LANES)
_L0, _L1, _L2, _L3, _L4, _L5, _L6, _L7 = (np.float32(number) for number in philox.LOG)
_S1, _S2, _S3 = (np.float32(number) for number in philox.SIN)
_C1, _C2, _C3 = (np.float32(number) for number in philox.COS)
_LN_2, _TO_UNIT, _TO_ANGLE = (np.float32(number) for number in (philox.LN_2, philox.TO_UNIT, philox.TO_ANGLE))
_HALF, _ONE, _MINUS_2 = np.float32(0.5), np.float32(1), np.float32(-2)
_MANTISSA, _ONE_BITS, _ROOT_2 = (np.int32(bits) for bits in (philox.MANTISSA, philox.ONE, philox.ROOT_2))
_EXPONENT, _BIAS, _BINADE = np.int32(23), np.int32(127), np.int32(1 << 23)
_ROUNDS = philox.ROUNDS


@compiled
def _philox(k0: np.uint32, k1: np.uint32, words: Words) -> None:
    """Turn counters [4, lanes] into random words, in place."""
    for lane in range(words.shape[1]):
        c0, c1, c2, c3 = words[0, lane], words[1, lane], words[2, lane], words[3, lane]
        a, b = k0, k1
        for _ in range(_ROUNDS):
            one, two = _M0 * _long(c0), _M1 * _long(c2)
            c0, c1, c2, c3 = (
                _word(two >> _HALF_LONG) ^ c1 ^ a,
                _word(two),
                _word(one >> _HALF_LONG) ^ c3 ^ b,
                _word(one),
            )
            a, b = _word(a + _W0), _word(b + _W1)
        words[0, lane], words[1, lane], words[2, lane], words[3, lane] = c0, c1, c2, c3


@compiled
def _box_muller(radius: Words, angle: Words, u: Numbers, bits: NDArray[np.int32], one: Numbers, two: Numbers) -> None:
    """Write two normal numbers for each two words; ``bits`` are those of ``u``."""
    for lane in range(len(u)):
        u[lane] = (_float(radius[lane]) + _HALF) * _TO_UNIT
    for lane in range(len(u)):
        mantissa = _int((bits[lane] & _MANTISSA) | _ONE_BITS)
        above = mantissa > _ROOT_2
        exponent = _int((bits[lane] >> _EXPONENT) - _BIAS)
        bits[lane] = _int(mantissa - _BINADE) if above else mantissa
        one[lane] = _float(_int(exponent + _int(1)) if above else exponent)
    for lane in range(len(u)):
        t = u[lane] - _ONE
        p = _L7
        p = p * t + _L6
        p = p * t + _L5
        p = p * t + _L4
        p = p * t + _L3
        p = p * t + _L2
        p = p * t + _L1
        p = p * t + _L0
        r = np.sqrt(_MINUS_2 * (one[lane] * _LN_2 + (t + t * t * p)))
        word = angle[lane]
        x = _float(_int(word << _word(2))) * _TO_ANGLE
        z = x * x
        across = (x + x * z * ((_S3 * z + _S2) * z + _S1)) * r
        along = (z * ((_C3 * z + _C2) * z + _C1) + _ONE) * r
        along = -along if word >> _word(31) else along
        swap = (word >> _word(30)) & _word(1)
        one[lane] = across if swap else along
        two[lane] = along if swap else across


@compiled
def fill(k0: np.uint32, k1: np.uint32, samples: NDArray[np.int64], out: Numbers) -> None:
    """Write the numbers of samples to ``out`` [samples, numbers of a sample].

    Places in memory are unsigned, so that numba does not ask of each whether it counts from the end.
    """
    count = out.shape[1]
    fours, rest = _long((count + 3) // 4), _long(count % 4)
    whole = _long(count // 4)
    words = np.empty((4, LANES), np.uint32)
    numbers = np.empty((4, LANES), np.float32)
    u = np.empty(LANES, np.float32)
    bits = u.view(np.int32)
    flat, line, width = out.reshape(-1), _long(0), _long(count)
    sample, four = 0, _long(0)
    while sample < len(samples) and count > 0:
        start, lanes = four, _long(0)
        while lanes < _LANES and sample < len(samples):
            some = min(fours - four, _LANES - lanes)
            low, high, first = _word(samples[sample]), _word(samples[sample] >> 32), _word(four)
            for lane in range(some):
                words[0, lanes + lane] = first + _word(lane)
                words[2, lanes + lane] = low
                words[3, lanes + lane] = high
            lanes, four = lanes + some, four + some
            if four == fours:
                sample, four = sample + 1, _long(0)
        words[1] = 0
        _philox(k0, k1, words)
        _box_muller(words[0], words[1], u, bits, numbers[0], numbers[1])
        _box_muller(words[2], words[3], u, bits, numbers[2], numbers[3])
        at = _long(0)
        while at < lanes:
            some = min(whole - start, lanes - at)
            to = line + _FOUR * start
            for lane in range(some):
                flat[to + _FOUR * lane] = numbers[0, at + lane]
                flat[to + _FOUR * lane + _long(1)] = numbers[1, at + lane]
                flat[to + _FOUR * lane + _long(2)] = numbers[2, at + lane]
                flat[to + _FOUR * lane + _long(3)] = numbers[3, at + lane]
            at, start = at + some, start + some
            if at < lanes and start < fours:  # the last one to three numbers of a sample
                for place in range(rest):
                    flat[line + _FOUR * whole + place] = numbers[place, at]
                at, start = at + _long(1), fours
            if start == fours:
                line, start = line + width, _long(0)
