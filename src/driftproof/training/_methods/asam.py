"""ASAM: sharpness-aware minimisation whose ascent is relative to the weights."""

from __future__ import annotations

from typing import Any

from driftproof.training._methods.sam import ADAPTIVE, ETA, SAM
from driftproof.training._schedules import StrengthLike

RHO = 0.5


class ASAM(SAM):
    """∇L(w + ε), ε = ρ T² g/‖T g‖ with T = abs(w) + η (Kwon et al. 2021).

    A network whose weights are scaled up, and which computes the same, has the same ascent.

    Args:
        rho: Length ρ of the ascent, a number or a schedule (default: 0.5). Usual values are 0.5 to 1.
        eta: Number η that keeps weights near zero in the ascent (default: 0.01, as published). With 0, T is abs(w).
        options: Further options of :class:`SAM`, except ``adaptive``.

    >>> ASAM().describe()["method"], ASAM().describe()["strength"]
    ('asam', '0.5')
    """

    name = ADAPTIVE
    fixed = ("adaptive",)

    def __init__(self, *, rho: StrengthLike = RHO, eta: float = ETA, **options: Any) -> None:
        super().__init__(rho=rho, adaptive=True, eta=eta, **options)
