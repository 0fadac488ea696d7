"""Multi-step SAM: sharpness-aware minimisation whose ρ grows during training."""

from __future__ import annotations

from typing import Any

from driftproof.training._methods.sam import RHO, SAM
from driftproof.training._schedules import Constant, StrengthLike, as_schedule, ramp


class MultiStepSAM(SAM):
    """SAM with a ρ ramp: ρ grows linearly from 0 to a number, or as a schedule says.

    The ascent itself still takes one gradient; ``ascent_steps`` is another option.

    Args:
        rho: Length ρ of the ascent at the end of the training, or a schedule (default: 0.05).
        options: Further options of :class:`SAM`.

    >>> MultiStepSAM(rho=0.1).describe()["method"], MultiStepSAM(rho=0.1).describe()["strength"]
    ('multi-step-sam', 'linear:to=0.1')
    """

    name = "multi-step-sam"

    def __init__(self, *, rho: StrengthLike = RHO, **options: Any) -> None:
        schedule = as_schedule(rho)
        if isinstance(schedule, Constant):
            schedule = ramp("linear", to=schedule.value)
        super().__init__(rho=schedule, **options)
