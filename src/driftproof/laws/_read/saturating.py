"""Read noise that saturates with the current."""

from __future__ import annotations

from typing import Literal

from driftproof.laws._read.law import NEW, NewEvery, ReadLaw
from driftproof.laws._table import NotNegative, Positive, Tensor


class SaturatingRead(ReadLaw):
    """σ = A (1 − e^(−I/B)) with I = G(t) · ``read_voltage_v``; currents are in nA."""

    plots = ("courses",)

    law: Literal["saturating"]
    read_voltage_v: Positive
    a_na: NotNegative
    b_na: Positive
    new_every: NewEvery = "mvm"

    def sigma_us(self, g_us: Tensor, r_programmed: Tensor, t_s: float) -> Tensor:
        """σ = A (1 − e^(−I/B)), as a conductance in µS."""
        na_per_us = 1000.0 * self.read_voltage_v
        return g_us.mul(-na_per_us / self.b_na).exp_().neg_().add_(1).mul_(self.a_na / na_per_us)

    def words(self) -> str:
        """Return a sentence about the noise that a read adds."""
        return (
            f"Reading adds noise with the standard deviation sigma = {self.a_na:g} nA (1 - exp(-I/{self.b_na:g} nA)), "
            f"I = G(t) at {self.read_voltage_v:g} V, {NEW[self.new_every]}."
        )
