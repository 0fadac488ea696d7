"""Two devices per weight, or several times two."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from driftproof.laws.encoding.encoding import Bank, Conductances
from driftproof.laws.table import Positive

if TYPE_CHECKING:
    from torch import Tensor


class PairEncoding(Conductances):
    """One weight is a pair of devices, w = (G⁺ − G⁻)/(g_max − g_min), the unused one at g_min; or several pairs.

    With ``significance`` (f₁, f₂, …) there is one pair per entry, each with the weight's share as its target:
    w = Σ fᵢ (Gᵢ⁺ − Gᵢ⁻) / (Σ fᵢ (g_max − g_min)).
    """

    encoding: Literal["pair"]
    significance: Annotated[tuple[Positive, ...], Field(min_length=1)] = (1.0,)

    def banks(self) -> tuple[Bank, ...]:
        """Return the two devices of every pair.

        >>> PairEncoding(encoding="pair", g_min_us=0.0, g_max_us=25.0).banks()
        (Bank(mark='+', sign=1.0, weight=1.0), Bank(mark='-', sign=-1.0, weight=-1.0))
        """
        total, found = sum(self.significance), []
        for number, factor in enumerate(self.significance, start=1):
            suffix = "" if number == 1 else str(number)
            found += [Bank(f"+{suffix}", 1.0, factor / total), Bank(f"-{suffix}", -1.0, -factor / total)]
        return tuple(found)

    def share(self, bank: Bank, w: Tensor) -> Tensor:
        """Return max(0, w) for devices of positive weights, max(0, −w) for those of negative ones."""
        return w.clamp(min=0) if bank.sign > 0 else w.neg().clamp_(min=0)

    def weight_at(self, share: Tensor) -> Tensor:
        """Return the share: the positive device carries the weight."""
        return share

    @property
    def file_columns(self) -> tuple[str, ...]:
        """Files hold the two devices of one pair."""
        return ("g_plus_us", "g_minus_us") if len(self.significance) == 1 else ()

    def words(self) -> str:
        """Return how a weight stands in the array, in a sentence."""
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
