"""Counts of events at an array's converters, by name."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor


class Counts:
    """Counter of events among conversions, such as saturation.

    >>> counts = Counts()
    >>> counts.beyond("saturated_outputs", torch.tensor([3.0, -0.5, 1.0, -2.0]), 1.0)
    >>> counts.shares()
    {'saturated_outputs': 0.5}
    """

    def __init__(self) -> None:
        self._hits: dict[str, Tensor | int] = {}
        self._of: dict[str, int] = {}

    def beyond(self, name: str, values: Tensor, bound: float | Tensor) -> None:
        """Count the values, of any shape, that lie beyond ±bound. Each value is one conversion."""
        self._of[name] = self._of.get(name, 0) + values.numel()
        values = values.detach()
        hits: Tensor | int = 0
        if not values.numel():
            return
        if values.device.type == "cpu":
            # mostly nothing is beyond: the extremes show that in a quarter of the time that counting takes
            bound = float(bound)
            if float(values.amax()) > bound:
                hits += _count(values, np.greater, bound)
            if float(values.amin()) < -bound:
                hits += _count(values, np.less, -bound)
        else:  # looking at the extremes would wait for the device
            hits = torch.count_nonzero(values.abs() > bound)
        self._hits[name] = self._hits.get(name, 0) + hits

    def shares(self) -> dict[str, float]:
        """Return the share of conversions in which each event happened, 0 to 1."""
        return {name: int(hits) / self._of[name] for name, hits in self._hits.items() if self._of[name]}

    def clear(self) -> None:
        """Set all counts to zero."""
        self._hits.clear()
        self._of.clear()


def _count(values: Tensor, compare: Any, bound: float) -> int:
    # numpy compares and counts in a quarter of torch's time, in the order of memory for any tensor
    return int(np.count_nonzero(compare(values.numpy(), np.float32(bound))))
