"""Relaxation with the logarithm of time: the law of CMO/HfOx resistive memory."""

from __future__ import annotations

import math
from typing import Literal

from driftproof.laws._curve import signed
from driftproof.laws._drift.law import DriftLaw
from driftproof.laws._table import NotNegative, Number, Tensor


class LogRelaxation(DriftLaw):
    """G(t) = G_prog + a ln t + (b ln t + c) ξ in µS. A device keeps its ξ for life. ln t counts as 0 before 1 s."""

    plots = ("spread in time", "shift")

    law: Literal["log-relaxation"]
    shift_us_per_ln_t: Number
    sd_us_per_ln_t: NotNegative
    sd_us: NotNegative

    def after(self, g_us: Tensor, life: Tensor, t_s: float) -> Tensor:
        """G(t) = max(0, G_prog + a ln t + (b ln t + c) ξ) in µS; nothing has relaxed at 0 s."""
        if t_s == 0:
            return g_us.clone()
        log_t = math.log(max(t_s, 1.0))
        sd_us = self.sd_us_per_ln_t * log_t + self.sd_us
        return life.mul(sd_us).add_(self.shift_us_per_ln_t * log_t).add_(g_us).clamp_(min=0)

    def words(self) -> str:
        """Return a sentence about the relaxation."""
        return (
            "Conductances relax with the logarithm of time, "
            f"G(t) = G_prog {signed(self.shift_us_per_ln_t)} ln t + ({self.sd_us_per_ln_t:g} ln t "
            f"{signed(self.sd_us)}) xi in µS with t in s, xi a standard normal number that each device keeps for life; "
            "ln t counts as 0 before 1 s, and at 0 s nothing has relaxed."
        )
