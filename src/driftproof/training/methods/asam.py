"""ASAM: sharpness-aware minimisation whose ascent is relative to the weights."""

from __future__ import annotations

from typing import Any

from driftproof.training.methods.sam import ADAPTIVE, SAM
from driftproof.training.schedules import Schedule

RHO = 0.5


class ASAM(SAM):
    """∇L(w + ε), ε = ρ T² g/‖T g‖ with T = abs(w) + 0.01 (Kwon et al. 2021).

    The ascent is the same for weights that are scaled up as for those that are not.

    Args:
        rho: ρ, a number or a schedule; 0.5 to 1 are usual.
        options: of :class:`SAM`, except ``adaptive``.

    >>> ASAM().describe()["method"], ASAM().describe()["strength"]
    ('asam', '0.5')
    """

    name = ADAPTIVE
    fixed = ("adaptive",)

    def __init__(self, *, rho: float | Schedule | str = RHO, **options: Any) -> None:
        super().__init__(rho=rho, adaptive=True, **options)
