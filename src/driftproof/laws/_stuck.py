"""Devices that cannot be programmed."""

from __future__ import annotations

from pydantic import model_validator

from driftproof.laws._encoding.encoding import Encoding
from driftproof.laws._table import Share, Table, Tensor


class Stuck(Table):
    """Devices that cannot be programmed. They are the same for a chip's life.

    Attributes:
        at_g_min: Share of devices that are stuck at g_min.
        at_g_max: Share of devices that are stuck at g_max.
        at_random: Share of devices that are stuck at a random conductance of the range.
    """

    at_g_min: Share = 0.0
    at_g_max: Share = 0.0
    at_random: Share = 0.0

    @model_validator(mode="after")
    def _shares_fit(self) -> Stuck:
        if self._total > 1:
            raise ValueError(f"the shares add up to {self._total}, above 1")
        return self

    @property
    def _total(self) -> float:
        return self.at_g_min + self.at_g_max + self.at_random

    def held(self, encoding: Encoding, g_us: Tensor, xi: Tensor) -> Tensor:
        """Return the conductances in µS [n], with those of stuck devices put in.

        Args:
            encoding: Encoding that has the range of conductances.
            g_us: Conductances in µS [n] if no device were stuck.
            xi: Standard normal number [n] that each device keeps for life; u = Φ(ξ) is uniform in [0, 1].
        """
        import torch  # special functions are not methods of tensors

        lot, (g_min, g_max) = torch.special.ndtr(xi), encoding.ends
        low, high = self.at_g_min, self.at_g_min + self.at_g_max
        if self.at_random:
            random = (lot - high) / self.at_random
            g_us = torch.where(lot < self._total, encoding.target(random.clamp_(0, 1)), g_us)
        g_us = torch.where(lot < high, torch.full_like(g_us, g_max), g_us)
        return torch.where(lot < low, torch.full_like(g_us, g_min), g_us)

    def which(self, xi: Tensor) -> Tensor:
        """Return whether each device is stuck, [n]; ``xi`` is as in :meth:`held`."""
        import torch

        lot: Tensor = torch.special.ndtr(xi)
        return lot < self._total

    def words(self) -> str:
        """Return a sentence about the shares of stuck devices."""
        shares = {"at g_min": self.at_g_min, "at g_max": self.at_g_max, "at a random conductance": self.at_random}
        parts = [f"{100 * share:g} % {place}" for place, share in shares.items() if share]
        return f"For a chip's life, devices are stuck: {', '.join(parts) or 'none'}."
