"""Noise that saturates with a device's current, and a shift of its mean, given at several times."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import model_validator

from driftproof.laws._curve import polynomial
from driftproof.laws._programming.in_time import TableInTime, TimeCorrelation, place_in
from driftproof.laws._programming.polynomial import value_at
from driftproof.laws._table import Coefficients, Increasing, NotNegative, Positive, Tensor

SpreadAt = Literal["shifted", "target"]
"""The current at which the standard deviation is taken.

- ``shifted``: σ is taken at I + Δ(I, t), the current after the shift of the mean, and A and B are linear in t between
  the times of the table. CrossSim computes it so. σ is 0 where I + Δ is negative.
- ``target``: σ is taken at the target current, and σ itself is linear in t between the times of the table.
"""

AT = {"shifted": "the current after the shift", "target": "the target current"}


class SaturatingInTime(TableInTime):
    """I(t) = max(0, target + Δ(I, t) + σ(t) ξ) of each device, linear in t between the times.

    Currents are in nA, I = G · ``read_voltage_v``. σ = A (1 − e^(−I/B)), taken at the current that ``spread_at`` names,
    see :data:`SpreadAt`. Δ = Σ pᵢ Iⁱ of the target current is evaluated in float64.
    """

    law: Literal["saturating-in-time"]
    read_voltage_v: Positive
    spread_at: SpreadAt
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
        """Target + Δ(I, t) and σ(t), as conductances in µS; in float64, because terms of Δ cancel to many digits."""
        na_per_us = 1000.0 * self.read_voltage_v
        current = target_us.double().mul_(na_per_us)
        index, share = place_in(self.t_s, t_s, logarithmic=False)
        columns = [(index, 1 - share), (min(index + 1, len(self.t_s) - 1), share)]
        columns = [(column, weight) for column, weight in columns if weight]
        mean = current.new_zeros(current.shape)
        for column, weight in columns:
            mean.add_(polynomial(self.shift_na[column], current), alpha=weight)
        if self.spread_at == "shifted":
            mean.add_(current)
            a, b = (sum(weight * row[column] for column, weight in columns) for row in (self.a_na, self.b_na))
            sigma = _saturation(mean, b).mul_(a).clamp_(min=0)
        else:
            sigma = current.new_zeros(current.shape)
            for column, weight in columns:
                sigma.add_(_saturation(current, self.b_na[column]), alpha=weight * self.a_na[column])
            mean.add_(current)
        return mean.div_(na_per_us).float(), sigma.div_(na_per_us).float()

    def spreads_us(self, r: float, g_us: float) -> list[float]:
        """Return σ of one target in µS, at every time of the table."""
        na_per_us = 1000 * self.read_voltage_v
        shifts = self.shift_na if self.spread_at == "shifted" else [(0.0,)] * len(self.t_s)
        i_na = [g_us * na_per_us + value_at(shift, g_us * na_per_us) for shift in shifts]
        rows = zip(self.a_na, self.b_na, i_na, strict=True)
        return [a / na_per_us * max(0.0, -math.expm1(-i / b)) for a, b, i in rows]

    def words(self) -> str:
        """Return a sentence about the noise and the shift, and how they change with time."""
        return (
            "Programming leaves the current of each device at I(t) = max(0, I_target + shift(I_target, t) + sigma xi) "
            f"in nA at {self.read_voltage_v:g} V, with the standard deviation sigma = A (1 - exp(-I/B)) at "
            f"{AT[self.spread_at]} (first A = {self.a_na[0]:g}, B = {self.b_na[0]:g}), linear in t between the entries "
            f"of a table {self.times_text()}."
        )


def _saturation(current: Tensor, b_na: float) -> Tensor:
    """Return 1 − e^(−I/B), a new tensor."""
    return current.div(-b_na).exp_().neg_().add_(1)
