"""Static input ranges from calibration data: observe batches of a tile's inputs, then read the value.

Differences from aihwkit (1.2, ``inference/calibration/calibration.py`` and ``tiles/periphery.py``):

- Quantiles are of |x| over *all* values, zeros included. aihwkit's are of x itself (one-sided: an input of [−9, 1] gets
  a range near 1), leave out vectors of zeros, and come from a random sample of 1,000 vectors.
- ``moving`` averages quantiles of |x|. The first phase of aihwkit's input range learning averages 3 standard
  deviations. The weights agree for the first 1/decay batches (a plain mean); after that aihwkit learns the range by
  gradients, while here old batches fade.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from driftproof._errors import DriftproofError, warn
from driftproof.periphery._settings import StaticRange

# a bin of |x| is its exponent and the first bits of its mantissa: widths of 2^-11 … 2^-10 of the value
_MANTISSA_BITS = 10
_SHIFT = 23 - _MANTISSA_BITS
_BINS = 255 << _MANTISSA_BITS
_TINY = torch.finfo(torch.float32).tiny  # a smaller range counts as zero: its reciprocal overflows

QUANTILE_ERROR = 2.0**-_MANTISSA_BITS
"""Largest relative excess of a static quantile over the exact one. It is never below it."""


class RangeStatistics:
    """Statistics of one tile's inputs, for its static range.

    - ``maximum`` is exact.
    - ``quantile`` is the smallest observed |x| that at least the share q of all values does not exceed. It comes from a
      histogram of float32 bit patterns, which takes 2 MiB for any number of inputs and does not depend on their order
      or the batch size. The value is at most 0.1 % (:data:`QUANTILE_ERROR`) above the exact one, and never below it.
    - ``moving`` takes the exact quantile of each batch, so it depends on the order and the size of batches.

    Args:
        settings: Method of the static range and its parameters.
        name: Name of the layer or tile for error messages.

    >>> statistics = RangeStatistics(StaticRange(method="maximum"), name="fc")
    >>> statistics.observe(torch.tensor([[0.5, -3.0]]))
    >>> statistics.value()
    3.0
    """

    def __init__(self, settings: StaticRange, name: str = "") -> None:
        self.settings, self.name = settings, name
        self.count = 0  # of observed values
        self.maximum = 0.0
        self._histogram: Tensor | None = None
        self._mean, self._batches = 0.0, 0

    @torch.no_grad()
    def observe(self, x: Tensor) -> None:
        """Observe one batch of inputs.

        Args:
            x: Inputs in network units, of any shape, in the type that the tile gets.

        Raises:
            DriftproofError: If inputs are not floating-point numbers, NaN or infinite.
        """
        if not x.is_floating_point():
            raise DriftproofError(f"{self._place}: inputs are {x.dtype}; wanted floating-point numbers: convert them")
        if x.numel() == 0:
            return
        values = x.detach().abs().float().flatten()
        largest = float(values.max())  # NaN and infinity show in it
        if not math.isfinite(largest):
            bad = int((~values.isfinite()).sum())
            raise DriftproofError(
                f"{self._place}: {bad} of {values.numel()} inputs are NaN or infinite in float32; look at the "
                "calibration data and at the layers before"
            )
        self.count += values.numel()
        self.maximum = max(self.maximum, largest)
        if self.settings.method == "quantile":
            counts = torch.bincount(values.view(torch.int32).long() >> _SHIFT, minlength=_BINS).cpu()
            self._histogram = counts if self._histogram is None else self._histogram + counts
        elif self.settings.method == "moving":
            self._average(values)

    def value(self) -> float:
        """Return the range in network units, a positive number that float32 holds exactly.

        A :class:`~driftproof.DriftproofWarning` reports that only zeros were observed (the range is 1 then, which
        keeps zeros and is a guess for other inputs), or that the quantile is zero because nearly all inputs are (the
        range is the maximum then).

        Raises:
            DriftproofError: If nothing was observed.
        """
        if self.count == 0:
            raise DriftproofError(
                f"{self._place}: no inputs were observed, so there is no input range; give calibration data that reach "
                "this layer, or use a dynamic range"
            )
        if self.maximum < _TINY:
            warn(
                f"{self._place}: all {self.count} calibration inputs are zero; its input range is set to 1, which "
                "keeps zeros, and is a guess for anything else"
            )
            return 1.0
        if self.settings.method == "maximum":
            return self.maximum
        value = self._quantile() if self.settings.method == "quantile" else float(np.float32(self._mean))
        if value >= _TINY:
            return value
        warn(
            f"{self._place}: the {self.settings.quantile} quantile of its inputs is zero, which is not a range; the "
            f"largest input, {self.maximum:.6g}, is taken. Use a higher quantile, or method maximum"
        )
        return self.maximum

    @property
    def _place(self) -> str:
        return f"layer {self.name}" if self.name else "input range"

    def _quantile(self) -> float:
        """Return the upper end of the bin that holds the quantile."""
        assert self._histogram is not None
        assert self.settings.quantile is not None
        reached = self._histogram.cumsum(0)
        place = int(torch.searchsorted(reached, _rank(self.settings.quantile, self.count)))
        if place == 0:
            return 0.0
        last = torch.tensor([((place + 1) << _SHIFT) - 1], dtype=torch.int32)
        return min(float(last.view(torch.float32)), self.maximum)

    def _average(self, values: Tensor) -> None:
        assert self.settings.quantile is not None
        assert self.settings.decay is not None
        quantile = float(values.kthvalue(_rank(self.settings.quantile, values.numel())).values)
        if quantile == 0:
            return
        self._batches += 1
        self._mean += max(self.settings.decay, 1 / self._batches) * (quantile - self._mean)


def _rank(quantile: float, count: int) -> int:
    """Return how many values a quantile covers: the smallest n ≥ q · count, where a q · count near a whole n is n."""
    share = quantile * count
    near = round(share)
    return max(1, near if math.isclose(share, near, rel_tol=1e-12) else math.ceil(share))
