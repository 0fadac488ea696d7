"""Devices that cannot be programmed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import model_validator

from driftproof.laws.encoding.encoding import Encoding
from driftproof.laws.table import Share, Table

if TYPE_CHECKING:
    from torch import Tensor


class Stuck(Table):
    """Devices that cannot be programmed, fixed for a chip's life: shares at g_min, at g_max, at a random level."""

    at_g_min: Share = 0.0
    at_g_max: Share = 0.0
    at_random: Share = 0.0

    @model_validator(mode="after")
    def _shares_fit(self) -> Stuck:
        total = self.at_g_min + self.at_g_max + self.at_random
        if total > 1:
            raise ValueError(f"the shares add up to {total}, above 1")
        return self

    def held(self, encoding: Encoding, g_us: Tensor, xi: Tensor) -> Tensor:
        """Return conductances in µS [n] with those of stuck devices in place.

        Args:
            encoding: whose range the devices are stuck in.
            g_us: what they would be.
            xi: the standard normal number that each device keeps for life; u = Φ(ξ) is uniform in [0, 1].
        """
        import torch  # special functions are no methods of tensors

        lot, (g_min, g_max) = torch.special.ndtr(xi), encoding.ends
        low, high = self.at_g_min, self.at_g_min + self.at_g_max
        end = high + self.at_random
        if self.at_random:
            random = (lot - high) / self.at_random
            g_us = torch.where(lot < end, encoding.target(random.clamp_(0, 1)), g_us)
        g_us = torch.where(lot < high, torch.full_like(g_us, g_max), g_us)
        return torch.where(lot < low, torch.full_like(g_us, g_min), g_us)

    def which(self, xi: Tensor) -> Tensor:
        """Return which devices are stuck, [n], by the number that :meth:`held` takes."""
        import torch

        lot: Tensor = torch.special.ndtr(xi)
        return lot < self.at_g_min + self.at_g_max + self.at_random

    def words(self) -> str:
        """Return what it does, in a sentence."""
        shares = {"at g_min": self.at_g_min, "at g_max": self.at_g_max, "at a random conductance": self.at_random}
        told = [f"{100 * share:g} % {place}" for place, share in shares.items() if share]
        return f"For a chip's life, devices are stuck: {', '.join(told) or 'none'}."
