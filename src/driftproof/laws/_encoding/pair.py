"""Two devices per weight, or several times two."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from driftproof.laws._encoding.encoding import Bank, Conductances
from driftproof.laws._table import Positive, Tensor


class PairEncoding(Conductances):
    """A weight is a pair of devices, w = (G⁺ − G⁻)/(g_max − g_min), with the unused one at g_min; or several pairs.

    With ``significance`` (f₁, f₂, …) there is one pair per entry. Every pair has the weight's share as its target, and
    w = Σ fᵢ (Gᵢ⁺ − Gᵢ⁻) / (Σ fᵢ (g_max − g_min)).
    """

    encoding: Literal["pair"]
    significance: Annotated[tuple[Positive, ...], Field(min_length=1)] = (1.0,)

    def banks(self) -> tuple[Bank, ...]:
        """Return the two devices of every pair.

        >>> PairEncoding(encoding="pair", g_min_us=0.0, g_max_us=25.0).banks()
        (Bank(mark='+', sign=1.0, weight=1.0), Bank(mark='-', sign=-1.0, weight=-1.0))
        """
        factors = [factor / sum(self.significance) for factor in self.significance]
        numbers = ["", *map(str, range(2, len(factors) + 1))]
        return tuple(
            Bank(f"{'+' if sign > 0 else '-'}{number}", sign, sign * factor)
            for number, factor in zip(numbers, factors, strict=True)
            for sign in (1.0, -1.0)
        )

    def share(self, bank: Bank, w: Tensor) -> Tensor:
        """Return max(0, w) for the positive devices and max(0, −w) for the negative ones."""
        return w.clamp(min=0) if bank.sign > 0 else w.neg().clamp_(min=0)

    def weight_at(self, share: Tensor) -> Tensor:
        """Return the share: the positive device carries the weight."""
        return share

    @property
    def file_columns(self) -> tuple[str, ...]:
        """The columns of the two devices of one pair in files of conductances; empty with several pairs."""
        return ("g_plus_us", "g_minus_us") if len(self.significance) == 1 else ()

    def words(self) -> str:
        """Return a sentence about how a weight is stored in the array."""
        span = f"{self.g_min_us:g} to {self.g_max_us:g} µS"
        if len(self.significance) == 1:
            return (
                f"A weight is the difference of two devices of {span}, w = (G+ - G-)/(g_max - g_min); the one that is "
                "not used is at g_min."
            )
        factors = ", ".join(f"{factor:g}" for factor in self.significance)
        return (
            f"A weight is the sum of {len(self.significance)} pairs of devices of {span}, which count {factors}: "
            "w = sum of f (G+ - G-) / (sum of f (g_max - g_min))."
        )
