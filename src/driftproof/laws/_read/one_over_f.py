"""Read noise with a 1/f spectrum."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import model_validator

from driftproof.laws._curve import UPPER_END, Curve, curve_text, curve_values
from driftproof.laws._read.law import NEW, NEW_EVERY, NewEvery, ReadLaw, share_above
from driftproof.laws._table import NotNegative, Positive, Tensor


class OneOverFRead(ReadLaw):
    """σ = G(t) Q √ln((t + t0 + t_read) / (2 t_read)); Q is a curve of the programmed r."""

    plots = ("courses",)

    law: Literal["one-over-f"]
    t0_s: NotNegative
    t_read_s: Positive
    q: Curve
    new_every: NewEvery = NEW_EVERY

    @model_validator(mode="after")
    def _logarithm_is_not_negative(self) -> OneOverFRead:
        if self.t0_s < self.t_read_s:
            raise ValueError(f"t0_s = {self.t0_s} must be at least t_read_s = {self.t_read_s}")
        return self

    @property
    def changes_in_time(self) -> bool:
        """True: the noise grows with time."""
        return True

    def sigma_us(self, g_us: Tensor, r_programmed: Tensor, t_s: float) -> Tensor:
        """σ = G(t) Q √ln((t + t0 + t_read) / (2 t_read)) in µS."""
        root = math.sqrt(math.log((t_s + self.t0_s + self.t_read_s) / (2 * self.t_read_s)))
        return curve_values(self.q, r_programmed).mul_(g_us).mul_(root)

    def fast_share(self, t_s: float, period_s: float) -> float:
        """Share of the spectrum, which reaches from 1/(t + t0 + t_read) to 1/(2 t_read), above 1/``period_s``."""
        return share_above(1 / period_s, 1 / (t_s + self.t0_s + self.t_read_s), 1 / (2 * self.t_read_s))

    def words(self) -> str:
        """Return a sentence about the noise that a read adds."""
        return (
            "Reading adds 1/f noise with the standard deviation sigma = G(t) Q sqrt(ln((t + t0 + t_read)/(2 t_read))) "
            f"in µS, t0 = {self.t0_s:g} s and t_read = {self.t_read_s:g} s, {NEW[self.new_every]}; "
            f"r = G_programmed/({UPPER_END}): Q = {curve_text(self.q)}."
        )
