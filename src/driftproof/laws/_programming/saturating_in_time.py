"""Noise that saturates with a device's current, and a shift of its mean, given at several times."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import model_validator

from driftproof.laws._curve import polynomial
from driftproof.laws._programming.in_time import TableInTime, TimeCorrelation, place_in
from driftproof.laws._table import Coefficients, Increasing, NotNegative, Positive, Tensor


class SaturatingInTime(TableInTime):
    """I(t) = max(0, target + Δ(I, t) + σ(I, t) ξ) of each device, linear in t between the times.

    Currents are in nA, I = G · ``read_voltage_v``. σ = A (1 − e^(−I/B)), and Δ = Σ pᵢ Iⁱ is evaluated in float64.
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
        for key in ("a_na", "b_na", "shift_na"):
            if (count := len(getattr(self, key))) != len(self.t_s):
                raise ValueError(f"{len(self.t_s)} times in t_s but {count} entries in {key}")
        return self

    def moments(self, target_us: Tensor, fitted_us: tuple[float, float], t_s: float) -> tuple[Tensor, Tensor]:
        """Target + Δ(I, t) and σ(I, t), as conductances in µS; in float64, because terms of Δ cancel to many digits."""
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
        """Return a sentence about the noise and the shift, and how they change with time."""
        return (
            "Programming leaves the current of each device at I(t) = max(0, I_target + shift(I, t) + sigma(I, t) xi) "
            f"in nA at {self.read_voltage_v:g} V, with the standard deviation sigma = A (1 - exp(-I/B)) (first "
            f"A = {self.a_na[0]:g}, B = {self.b_na[0]:g}), linear in t between the entries of a table "
            f"{self.times_text()}."
        )
