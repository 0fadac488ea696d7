"""How often something happened at an array's edges, by name."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor


class Counts:
    """Counts events among conversions, such as those that saturate.

    >>> counts = Counts()
    >>> counts.beyond("saturated_outputs", torch.tensor([3.0, -0.5, 1.0, -2.0]), 1.0)
    >>> counts.shares()
    {'saturated_outputs': 0.5}
    """

    def __init__(self) -> None:
        self._hits: dict[str, Tensor | int] = {}
        self._of: dict[str, int] = {}

    def beyond(self, name: str, values: Tensor, bound: float | Tensor) -> None:
        """Count which values, of any shape, lie beyond ±bound; one conversion each."""
        self._of[name] = self._of.get(name, 0) + values.numel()
        values = values.detach()
        if not values.numel():
            return
        if values.device.type == "cpu":
            # most often nothing is beyond: the ends show that in a quarter of the time of counting
            found, bound = 0, float(bound)
            if float(values.amax()) > bound:
                found += _count(values, np.greater, bound)
            if float(values.amin()) < -bound:
                found += _count(values, np.less, -bound)
            self._hits[name] = self._hits.get(name, 0) + found
        else:  # looking at the ends would wait for the device
            self._hits[name] = self._hits.get(name, 0) + torch.count_nonzero(values.abs() > bound)

    def shares(self) -> dict[str, float]:
        """Return the share of conversions in which each thing happened, 0 to 1."""
        return {name: int(hits) / self._of[name] for name, hits in self._hits.items() if self._of[name]}

    def clear(self) -> None:
        """Start again at zero."""
        self._hits.clear()
        self._of.clear()


def _count(values: Tensor, compare: Any, bound: float) -> int:
    # numpy compares and counts in a quarter of torch's time; in the order of memory, whatever the tensor's is
    return int(np.count_nonzero(compare(values.numpy(), np.float32(bound))))
