"""Draws of noise for the analysis of a trained network, which differ from all draws of its training."""

from __future__ import annotations

from driftproof.training._noise import Key

FIRST = 1 << 62
"""Training counts its draws from 0 (updates × 65,536 + micro-batch) and never reaches this number."""


def fresh_key(seed: int, number: int) -> Key:
    """Return the key of a draw that no training has, whatever its seed. Weights may be fitted to draws of training.

    >>> fresh_key(0, 3).number > 1e18
    True
    """
    return Key(seed, FIRST + number)
