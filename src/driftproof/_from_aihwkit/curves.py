"""The numbers of a preset's tables, times a factor."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

_HEIGHTS = ("polynomial", "per_ln_r", "constant", "scale", "values", "min", "max")
"""The numbers of a piece of a curve that are in the curve's own unit; its other numbers are places or exponents."""


def times(factor: float, numbers: Iterable[float]) -> list[float]:
    """Return every number times a factor.

    >>> times(2.0, (0.5, 1.0))
    [1.0, 2.0]
    """
    return [factor * number for number in numbers]


def curve_times(factor: float, pieces: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return a curve, a preset's list of pieces, with all its values times a factor above 0.

    >>> curve_times(2.0, [{"scale": 0.5, "exponent": -1.0, "max": 3.0}])
    [{'scale': 1.0, 'exponent': -1.0, 'max': 6.0}]
    """
    return [
        {key: _scaled(factor, value) if key in _HEIGHTS else value for key, value in piece.items()} for piece in pieces
    ]


def _scaled(factor: float, value: Any) -> Any:
    return times(factor, value) if isinstance(value, list | tuple) else factor * value
