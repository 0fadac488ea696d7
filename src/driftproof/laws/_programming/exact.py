"""Exact programming."""

from __future__ import annotations

from typing import Literal

from driftproof.laws._programming.law import ProgrammingLaw
from driftproof.laws._table import Tensor


class ExactProgramming(ProgrammingLaw):
    """Programming without noise: every target is held exactly."""

    plots = ()
    acts_on = ("devices", "weights")
    keeps = "nothing"

    law: Literal["none"]

    @property
    def declares_noise(self) -> bool:
        """False: no weight differs from its target."""
        return False

    def moments(self, target_us: Tensor, fitted_us: tuple[float, float], t_s: float) -> tuple[Tensor, Tensor]:
        """The target, and σ = 0."""
        return target_us, target_us.new_zeros(target_us.shape)

    def programmed(self, w: Tensor, xi: Tensor) -> Tensor:
        """Return w' = w."""
        return w.clone()

    def words(self) -> str:
        """Return a sentence about programming."""
        return "Programming is exact: every target is held as it is."
