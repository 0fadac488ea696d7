"""Read noise that grows with the logarithm of the conductance."""

from __future__ import annotations

import math
from typing import Literal

from driftproof.laws._read.law import NEW, NEW_EVERY, NewEvery, ReadLaw, share_above
from driftproof.laws._table import NotNegative, Positive, Tensor


class LogConductanceRead(ReadLaw):
    """σ = K log₁₀(G(t) / 1 µS) √ln((t + t_read) / (2 t_read)) in µS. It is 0 up to 1 µS and up to t = t_read."""

    plots = ("courses",)

    law: Literal["log10-g"]
    k_us: NotNegative
    t_read_s: Positive
    new_every: NewEvery = NEW_EVERY

    @property
    def changes_in_time(self) -> bool:
        """True: the noise grows with time."""
        return True

    def sigma_us(self, g_us: Tensor, r_programmed: Tensor, t_s: float) -> Tensor:
        """σ = K log₁₀(G(t) / 1 µS) √ln((t + t_read) / (2 t_read)) in µS."""
        root = math.sqrt(max(0.0, math.log((t_s + self.t_read_s) / (2 * self.t_read_s))))
        return g_us.clamp(min=1).log10_().mul_(self.k_us * root)

    def fast_share(self, t_s: float, period_s: float) -> float:
        """Share of the spectrum, which reaches from 1/(t + t_read) to 1/(2 t_read), above 1/``period_s``."""
        return share_above(1 / period_s, 1 / (t_s + self.t_read_s), 1 / (2 * self.t_read_s))

    def words(self) -> str:
        """Return a sentence about the noise that a read adds."""
        return (
            f"Reading adds noise with the standard deviation sigma = {self.k_us:g} log10(G(t)/1 µS) "
            f"sqrt(ln((t + t_read)/(2 t_read))) in µS, t_read = {self.t_read_s:g} s, {NEW[self.new_every]}; "
            "there is none up to 1 µS and up to t_read."
        )
