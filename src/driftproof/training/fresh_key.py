"""Draws for looking at a trained network: none that it was trained with."""

from __future__ import annotations

from driftproof.training.noise import Key

FIRST = 1 << 62
"""Training counts its draws from 0 (updates × 65,536 + micro-batch), and never comes this far."""


def fresh_key(seed: int, number: int) -> Key:
    """Return a draw that no training has had, whatever its seed; weights may be fitted to those it had.

    >>> fresh_key(0, 3).number > 1e18
    True
    """
    return Key(seed, FIRST + number)
