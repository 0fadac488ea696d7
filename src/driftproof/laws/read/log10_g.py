"""Read noise that grows with the logarithm of the conductance."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar, Literal

from driftproof.laws.law import Plot
from driftproof.laws.read.law import NEW, NEW_EVERY, NewEvery, ReadLaw
from driftproof.laws.table import NotNegative, Positive

if TYPE_CHECKING:
    from torch import Tensor


class LogConductanceRead(ReadLaw):
    """σ = K log₁₀(G(t) / 1 µS) √ln((t + t_read) / (2 t_read)) in µS; none up to 1 µS, and none up to t = t_read."""

    plots: ClassVar[tuple[Plot, ...]] = ("courses",)

    law: Literal["log10-g"]
    k_us: NotNegative
    t_read_s: Positive
    new_every: NewEvery = NEW_EVERY

    @property
    def changes_in_time(self) -> bool:
        """Whether the noise depends on the time: it grows, new at every read-out or in every MVM."""
        return True

    def sigma_us(self, g_us: Tensor, r_programmed: Tensor, t_s: float) -> Tensor:
        """σ = K log₁₀(G(t) / 1 µS) √ln((t + t_read) / (2 t_read)) in µS."""
        root = math.sqrt(max(0.0, math.log((t_s + self.t_read_s) / (2 * self.t_read_s))))
        return g_us.clamp(min=1).log10_().mul_(self.k_us * root)

    def words(self) -> str:
        """Return what a read adds, in a sentence."""
        return (
            f"Reading adds noise of sigma = {self.k_us:g} log10(G(t)/1 µS) sqrt(ln((t + t_read)/(2 t_read))) "
            f"in µS, t_read = {self.t_read_s:g} s, {NEW[self.new_every]}; there is none up to 1 µS and up to t_read."
        )
