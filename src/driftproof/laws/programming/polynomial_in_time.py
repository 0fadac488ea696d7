"""Normal noise of each device, its spread a polynomial of the target at each time of a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, model_validator

from driftproof.laws.curve import polynomial, polynomial_text
from driftproof.laws.programming.in_time import TableInTime, TimeCorrelation, place_in
from driftproof.laws.programming.polynomial import VARIABLE, Variable, value_at, variable
from driftproof.laws.table import Coefficients, Increasing

if TYPE_CHECKING:
    from torch import Tensor


class PolynomialInTime(TableInTime):
    """Each device: G(t) = max(0, target + σ(r, t) ξ), σ linear in ln t between the times.

    ``time_correlation``: see :data:`TimeCorrelation <driftproof.laws.programming.in_time.TimeCorrelation>`.
    """

    law: Literal["polynomial-in-time"]
    variable: Variable
    t_s: Annotated[Increasing, Field(min_length=1)]
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
        """Polynomial at a time: linear in ln t between the table's times, held before the first and after the last.

        Interpolating the coefficients is interpolating σ: it is linear in them.
        """
        index, share = place_in(self.t_s, t_s, logarithmic=True)
        low, high = self.sigma_us[index], self.sigma_us[min(index + 1, len(self.t_s) - 1)]
        width = max(len(low), len(high))
        low, high = (*low, *[0.0] * (width - len(low))), (*high, *[0.0] * (width - len(high)))
        return tuple((1 - share) * a + share * b for a, b in zip(low, high, strict=True))

    def spreads_us(self, r: float, g_us: float) -> list[float]:
        """Return σ of one target in µS, at every time of the table."""
        return [value_at(coefficients, r if self.variable == "r" else g_us) for coefficients in self.sigma_us]

    def words(self) -> str:
        """Return what programming and time do, in a sentence."""
        first = polynomial_text(self.sigma_us[0], "r" if self.variable == "r" else "G_target")
        return (
            "Programming leaves each device at G(t) = max(0, G_target + sigma(t) xi), sigma a polynomial "
            f"(first {first} in µS, {VARIABLE[self.variable]}), linear in ln t between the entries of a table "
            f"{self.times_text()}."
        )
