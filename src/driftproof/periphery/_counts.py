"""Counts of events at an array's converters, by name."""

from __future__ import annotations

from collections import Counter
from threading import get_ident
from typing import Any

import numpy as np
import torch
from torch import Tensor


class Counts:
    """Counter of events among conversions, such as saturation.

    >>> counts = Counts()
    >>> counts.beyond("saturated_outputs", torch.tensor([3.0, -0.5, 1.0, -2.0]), 1.0)
    True
    >>> counts.shares()
    {'saturated_outputs': 0.5}
    """

    def __init__(self) -> None:
        # a name's counts of each thread: threads may count side by side
        self._hits: dict[tuple[str, int], Tensor | int] = {}
        self._of: dict[tuple[str, int], int] = {}

    def beyond(self, name: str, values: Tensor, bound: float | Tensor, signed: bool = True) -> bool:
        """Count the values, of any shape, that lie beyond ±bound. Each value is one conversion.

        Args:
            name: Name of the event.
            values: The values.
            bound: The bound, above 0.
            signed: Whether a value may be negative (default: True).

        Returns:
            Whether there may be such values: on a GPU it is not known without waiting, and always True.
        """
        values = values.detach()
        hits: Tensor | int = 0
        if not values.numel():
            self.add(name, 0, 0)
            return False
        if values.device.type == "cpu":
            # mostly nothing is beyond: the extremes show that in a quarter of the time that counting takes
            bound = float(bound)
            if float(values.amax()) > bound:
                hits += _count(values, np.greater, bound)
            if signed and float(values.amin()) < -bound:
                hits += _count(values, np.less, -bound)
        else:  # looking at the extremes would wait for the device
            hits = torch.count_nonzero(values.abs() > bound)
        self.add(name, hits, values.numel())
        return isinstance(hits, Tensor) or hits > 0

    def add(self, name: str, hits: Tensor | int, of: int) -> None:
        """Count events among conversions that are known already.

        Args:
            name: Name of the event.
            hits: Number of events.
            of: Number of conversions.
        """
        key = name, get_ident()
        self._of[key] = self._of.get(key, 0) + of
        self._hits[key] = self._hits.get(key, 0) + hits

    def shares(self) -> dict[str, float]:
        """Return the share of conversions in which each event happened, 0 to 1."""
        hits, of = Counter[str](), Counter[str]()
        for (name, thread), number in self._hits.items():
            hits[name] += int(number)
            of[name] += self._of[name, thread]
        return {name: hits[name] / number for name, number in of.items() if number}

    def clear(self) -> None:
        """Set all counts to zero."""
        self._hits.clear()
        self._of.clear()


def _count(values: Tensor, compare: Any, bound: float) -> int:
    # numpy compares and counts in a quarter of torch's time, in the order of memory for any tensor
    return int(np.count_nonzero(compare(values.numpy(), np.float32(bound))))
