"""Drift as a power of time, the law of phase-change memory."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar, Literal

from driftproof.laws.curve import Curve, curve_text, curve_values, log
from driftproof.laws.drift.law import DriftLaw
from driftproof.laws.law import Plot
from driftproof.laws.table import Positive

if TYPE_CHECKING:
    from torch import Tensor


class PowerDrift(DriftLaw):
    """G(t) = G_prog ((t + t0)/t0)^−ν, ν = |mean + sd ξ| per device for life; mean and sd at the target r."""

    plots: ClassVar[tuple[Plot, ...]] = ("exponent",)

    law: Literal["power"]
    t0_s: Positive
    nu_mean: Curve
    nu_sd: Curve

    def life(self, r_target: Tensor, xi: Tensor) -> Tensor:
        """ν = |mean(r) + sd(r) ξ| of each device, at its *target* conductance, in place of ξ; no unit."""
        log_r = log(r_target)
        return (
            xi.mul_(curve_values(self.nu_sd, r_target, log_r)).add_(curve_values(self.nu_mean, r_target, log_r)).abs_()
        )

    def after(self, g_us: Tensor, life: Tensor, t_s: float) -> Tensor:
        """G(t) = G_prog ((t + t0)/t0)^−ν, in µS."""
        if t_s == 0:  # the same numbers: drift compensation asks for them at every programming
            return g_us.clone()
        return life.mul(-math.log((t_s + self.t0_s) / self.t0_s)).exp_().mul_(g_us)

    def words(self) -> str:
        """Return what time does, in a sentence."""
        return (
            f"Conductances fall as a power of time, G(t) = G_prog ((t + t0)/t0)^-nu with t0 = {self.t0_s:g} s; each "
            "device keeps its nu = |mean + sd xi| for life, xi standard normal and r = target/(upper end of validity): "
            f"mean = {curve_text(self.nu_mean)}; sd = {curve_text(self.nu_sd)}."
        )
