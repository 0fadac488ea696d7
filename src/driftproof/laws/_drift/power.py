"""Drift as a power of time: the law of phase-change memory."""

from __future__ import annotations

import math
from typing import Literal

from driftproof.laws._curve import UPPER_END, Curve, curve_text, curve_values, log
from driftproof.laws._drift.law import DriftLaw
from driftproof.laws._table import Positive, Tensor


class PowerDrift(DriftLaw):
    """G(t) = G_prog ((t + t0)/t0)^−ν. A device keeps its ν = |mean(r) + sd(r) ξ| for life; r is its target's."""

    plots = ("exponent",)

    law: Literal["power"]
    t0_s: Positive
    nu_mean: Curve
    nu_sd: Curve

    @property
    def first_read_s(self) -> float:
        """The reference time t0: the law describes the conductance relative to that of the read at t0."""
        return self.t0_s

    def life(self, r_target: Tensor, xi: Tensor) -> Tensor:
        """ν = |mean(r) + sd(r) ξ| of each device at its *target* conductance, without a unit; overwrites ξ."""
        log_r = log(r_target)
        sd, mean = curve_values(self.nu_sd, r_target, log_r), curve_values(self.nu_mean, r_target, log_r)
        return xi.mul_(sd).add_(mean).abs_()

    def after(self, g_us: Tensor, life: Tensor, t_s: float) -> Tensor:
        """G(t) = G_prog ((t + t0)/t0)^−ν, in µS."""
        if t_s == 0:  # drift compensation asks for these numbers at every programming
            return g_us.clone()
        return life.mul(-math.log((t_s + self.t0_s) / self.t0_s)).exp_().mul_(g_us)

    def words(self) -> str:
        """Return a sentence about the drift."""
        return (
            f"Conductances fall as a power of time, G(t) = G_prog ((t + t0)/t0)^-nu with t0 = {self.t0_s:g} s; each "
            f"device keeps one exponent nu = |mean + sigma xi|, xi standard normal, r = G_target/({UPPER_END}): "
            f"mean = {curve_text(self.nu_mean)}; standard deviation sigma = {curve_text(self.nu_sd)}."
        )
