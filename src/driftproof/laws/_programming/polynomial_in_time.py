"""Normal noise of each device, with a standard deviation that is a polynomial of the target, given at several times."""

from __future__ import annotations

from itertools import zip_longest
from typing import Annotated, Literal

from pydantic import Field, model_validator

from driftproof.laws._curve import polynomial, polynomial_text
from driftproof.laws._programming.in_time import TableInTime, TimeCorrelation, place_in
from driftproof.laws._programming.polynomial import VARIABLE, Variable, value_at, variable
from driftproof.laws._table import Coefficients, Increasing, Tensor


class PolynomialInTime(TableInTime):
    """G(t) = max(0, target + σ(r, t) ξ) of each device, with σ linear in ln t between the times.

    For ``time_correlation`` see :data:`TimeCorrelation <driftproof.laws._programming.in_time.TimeCorrelation>`.
    """

    law: Literal["polynomial-in-time"]
    variable: Variable
    t_s: Increasing
    sigma_us: Annotated[tuple[Coefficients, ...], Field(min_length=1)]
    time_correlation: TimeCorrelation

    @model_validator(mode="after")
    def _one_polynomial_per_time(self) -> PolynomialInTime:
        if len(self.t_s) != len(self.sigma_us):
            raise ValueError(f"{len(self.t_s)} times in t_s but {len(self.sigma_us)} polynomials in sigma_us")
        if self.t_s[0] <= 0:
            raise ValueError(f"t_s must be above 0 to interpolate in ln t, got {self.t_s[0]}")
        return self

    def moments(self, target_us: Tensor, fitted_us: tuple[float, float], t_s: float) -> tuple[Tensor, Tensor]:
        """The target, and σ = Σ cᵢ(t) vⁱ in µS."""
        return target_us, polynomial(self._coefficients(t_s), variable(self.variable, target_us, fitted_us))

    def _coefficients(self, t_s: float) -> tuple[float, ...]:
        """Return the coefficients at a time: linear in ln t between the table's times, and constant outside.

        σ is linear in the coefficients, so interpolating them interpolates σ.
        """
        index, share = place_in(self.t_s, t_s, logarithmic=True)
        low, high = self.sigma_us[index], self.sigma_us[min(index + 1, len(self.t_s) - 1)]
        return tuple((1 - share) * a + share * b for a, b in zip_longest(low, high, fillvalue=0.0))

    def spreads_us(self, r: float, g_us: float) -> list[float]:
        """Return σ of one target in µS, at every time of the table."""
        return [value_at(coefficients, r if self.variable == "r" else g_us) for coefficients in self.sigma_us]

    def words(self) -> str:
        """Return a sentence about the noise and how it changes with time."""
        first = polynomial_text(self.sigma_us[0], "r" if self.variable == "r" else "G_target")
        return (
            "Programming leaves each device at G(t) = max(0, G_target + sigma(t) xi), the standard deviation sigma a "
            f"polynomial (first {first} in µS, {VARIABLE[self.variable]}), linear in ln t between the entries of a "
            f"table {self.times_text()}."
        )
