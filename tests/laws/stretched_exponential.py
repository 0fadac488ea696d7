"""A law that driftproof does not have: all that there is of it is in this file."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar, Literal

from driftproof.laws import DriftLaw, Plot
from driftproof.laws._table import NotNegative, Number, Positive

if TYPE_CHECKING:
    from torch import Tensor


class StretchedExponential(DriftLaw):
    """G(t) = max(0, G_prog (1 − (a + b ξ)(1 − exp(−(t/τ)^β)))), one ξ per device for life."""

    plots: ClassVar[tuple[Plot, ...]] = ("spread in time", "shift")

    law: Literal["stretched-exponential"]
    loss: Number
    loss_sd: NotNegative
    tau_s: Positive
    beta: Positive

    def after(self, g_us: Tensor, life: Tensor, t_s: float) -> Tensor:
        """G(t) in µS."""
        done = 1 - math.exp(-((t_s / self.tau_s) ** self.beta))
        return life.mul(-self.loss_sd * done).add_(1 - self.loss * done).mul_(g_us).clamp_(min=0)

    def words(self) -> str:
        """Return what time does, in a sentence."""
        return (
            f"Conductances relax by a stretched exponential, G(t) = G_prog (1 - (a + b xi)(1 - exp(-(t/tau)^beta))) "
            f"with a = {self.loss:g}, b = {self.loss_sd:g}, tau = {self.tau_s:g} s, beta = {self.beta:g}."
        )
