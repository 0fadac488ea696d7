"""Normal noise of each device, its spread a polynomial of the target."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from driftproof.laws.curve import polynomial, polynomial_text
from driftproof.laws.law import Plot
from driftproof.laws.programming.law import Kept, ProgrammingLaw, Target
from driftproof.laws.table import Coefficients

if TYPE_CHECKING:
    from torch import Tensor

Variable = Literal["r", "g_us"]
"""What a polynomial is of: the target's share of the range for which it was fitted, or the target in µS."""

VARIABLE = {"r": "r the target's share of the range of validity", "g_us": "G_target in µS"}


class PolynomialProgramming(ProgrammingLaw):
    """Each device: G = max(0, target + σ ξ), σ = Σ cᵢ vⁱ in µS, v = r or the target in µS."""

    plots: ClassVar[tuple[Plot, ...]] = ("spread",)
    acts_on: ClassVar[tuple[Target, ...]] = ("devices",)
    keeps: ClassVar[Kept] = "conductance"

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
        """Return what programming does, in a sentence."""
        sigma = polynomial_text(self.sigma_us, "r" if self.variable == "r" else "G_target")
        return (
            f"Programming leaves each device at G = max(0, G_target + sigma xi) with sigma = {sigma} in µS, "
            f"{VARIABLE[self.variable]}, xi standard normal."
        )


def variable(name: Variable, target_us: Tensor, fitted_us: tuple[float, float]) -> Tensor:
    """Return what a polynomial is of, [n], for targets in µS: (target − low)/(high − low), or the targets."""
    if name == "g_us":
        return target_us
    low, high = fitted_us
    return (target_us.sub(low) if low else target_us).mul(1 / (high - low))


def value_at(coefficients: tuple[float, ...], x: float) -> float:
    """Return Σ cᵢ xⁱ of one number."""
    return sum(c * x**i for i, c in enumerate(coefficients))
