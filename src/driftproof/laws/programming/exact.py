"""No programming noise."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from driftproof.laws.law import Plot
from driftproof.laws.programming.law import Kept, ProgrammingLaw, Target

if TYPE_CHECKING:
    from torch import Tensor


class ExactProgramming(ProgrammingLaw):
    """No programming noise."""

    plots: ClassVar[tuple[Plot, ...]] = ()
    acts_on: ClassVar[tuple[Target, ...]] = ("devices", "weights")
    keeps: ClassVar[Kept] = "nothing"

    law: Literal["none"]

    @property
    def declares_noise(self) -> bool:
        """False."""
        return False

    def moments(self, target_us: Tensor, fitted_us: tuple[float, float], t_s: float) -> tuple[Tensor, Tensor]:
        """G = target."""
        return target_us, target_us.new_zeros(target_us.shape)

    def programmed(self, w: Tensor, xi: Tensor) -> Tensor:
        """Return w' = w."""
        return w.clone()

    def words(self) -> str:
        """Return what programming does, in a sentence."""
        return "Programming is exact: every target is held as it is."
