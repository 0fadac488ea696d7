"""Noise of each device that saturates with its current, and a shift of its mean, at each time of a table."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

from pydantic import model_validator

from driftproof.laws.curve import polynomial
from driftproof.laws.programming.in_time import TableInTime, TimeCorrelation, place_in
from driftproof.laws.table import Coefficients, Increasing, NotNegative, Positive

if TYPE_CHECKING:
    from torch import Tensor


class SaturatingInTime(TableInTime):
    """Each device: I(t) = max(0, target + Δ(I, t) + σ(I, t) ξ), linear in t between the times.

    Currents in nA, I = G · ``read_voltage_v``. σ = A (1 − e^(−I/B)); Δ = Σ pᵢ Iⁱ, evaluated in float64.
    """

    law: Literal["saturating-in-time"]
    read_voltage_v: Positive
    t_s: Increasing
    a_na: tuple[NotNegative, ...]
    b_na: tuple[Positive, ...]
    shift_na: tuple[Coefficients, ...]
    time_correlation: TimeCorrelation

    @model_validator(mode="after")
    def _one_row_per_time(self) -> SaturatingInTime:
        rows = {"a_na": len(self.a_na), "b_na": len(self.b_na), "shift_na": len(self.shift_na)}
        for key, count in rows.items():
            if count != len(self.t_s):
                raise ValueError(f"{len(self.t_s)} times in t_s but {count} entries in {key}")
        return self

    def moments(self, target_us: Tensor, fitted_us: tuple[float, float], t_s: float) -> tuple[Tensor, Tensor]:
        """Target + Δ(I, t) and σ(I, t), as conductances in µS.

        The shift's polynomial has terms that cancel to many digits: it is evaluated in float64.
        """
        na_per_us = 1000.0 * self.read_voltage_v
        current = target_us.double().mul_(na_per_us)
        index, share = place_in(self.t_s, t_s, logarithmic=False)
        mean, sigma = current.new_zeros(current.shape), current.new_zeros(current.shape)
        for column, weight in ((index, 1 - share), (min(index + 1, len(self.t_s) - 1), share)):
            if weight:
                mean.add_(polynomial(self.shift_na[column], current), alpha=weight)
                saturation = current.div(-self.b_na[column]).exp_().neg_().add_(1)
                sigma.add_(saturation, alpha=weight * self.a_na[column])
        mean.add_(current)
        return mean.div_(na_per_us).float(), sigma.div_(na_per_us).float()

    def spreads_us(self, r: float, g_us: float) -> list[float]:
        """Return σ of one target in µS, at every time of the table."""
        na_per_us = 1000 * self.read_voltage_v
        return [a / na_per_us * -math.expm1(-g_us * na_per_us / b) for a, b in zip(self.a_na, self.b_na, strict=True)]

    def words(self) -> str:
        """Return what programming and time do, in a sentence."""
        return (
            "Programming leaves the current of each device at I(t) = max(0, I_target + shift(I, t) + sigma(I, t) xi) "
            f"in nA at {self.read_voltage_v:g} V, sigma = A (1 - exp(-I/B)) (first A = {self.a_na[0]:g}, "
            f"B = {self.b_na[0]:g}), linear in t between the entries of a table {self.times_text()}."
        )
