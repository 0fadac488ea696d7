"""Normal noise of each device, with a standard deviation that is a polynomial of the target."""

from __future__ import annotations

from typing import Literal

from driftproof.laws._curve import polynomial, polynomial_text
from driftproof.laws._programming.law import ProgrammingLaw
from driftproof.laws._table import Coefficients, Tensor

Variable = Literal["r", "g_us"]
"""The variable of a polynomial: the target's share of the range for which it was fitted, or the target in µS."""

VARIABLE = {
    "r": "r = (G_target - low)/(high - low) with low and high the ends of validity.g_us",
    "g_us": "G_target in µS",
}


class PolynomialProgramming(ProgrammingLaw):
    """G = max(0, target + σ ξ) of each device, with σ = Σ cᵢ vⁱ in µS, where v is r or the target in µS."""

    plots = ("spread",)
    acts_on = ("devices",)
    keeps = "conductance"

    law: Literal["polynomial"]
    variable: Variable
    sigma_us: Coefficients

    @property
    def declares_noise(self) -> bool:
        """Whether the polynomial is not zero."""
        return any(self.sigma_us)

    def moments(self, target_us: Tensor, fitted_us: tuple[float, float], t_s: float) -> tuple[Tensor, Tensor]:
        """The target, and σ = Σ cᵢ vⁱ in µS at any time."""
        return target_us, polynomial(self.sigma_us, variable(self.variable, target_us, fitted_us))

    def spreads_us(self, r: float, g_us: float) -> list[float]:
        """Return σ of one target in µS."""
        return [value_at(self.sigma_us, r if self.variable == "r" else g_us)]

    def words(self) -> str:
        """Return a sentence about the noise."""
        sigma = polynomial_text(self.sigma_us, "r" if self.variable == "r" else "G_target")
        return (
            "Programming leaves each device at G = max(0, G_target + sigma xi) with the standard deviation "
            f"sigma = {sigma} in µS, {VARIABLE[self.variable]}, xi standard normal."
        )


def variable(name: Variable, target_us: Tensor, fitted_us: tuple[float, float]) -> Tensor:
    """Return a polynomial's variable [n] at targets in µS: (target − low)/(high − low), or the targets themselves."""
    if name == "g_us":
        return target_us
    low, high = fitted_us
    return (target_us.sub(low) if low else target_us).mul(1 / (high - low))


def value_at(coefficients: tuple[float, ...], x: float) -> float:
    """Return Σ cᵢ xⁱ of one number."""
    return sum(c * x**i for i, c in enumerate(coefficients))
