"""Multi-step SAM: sharpness-aware minimisation whose ρ grows during training."""

from __future__ import annotations

from typing import Any

from driftproof.training.methods.sam import RHO, SAM
from driftproof.training.schedule_text import as_schedule
from driftproof.training.schedules import Constant, Schedule, ramp


class MultiStepSAM(SAM):
    """SAM with a ρ ramp: ρ grows linearly from 0 to a number, or as a schedule says.

    The ascent itself still takes one gradient; ``ascent_steps`` is another option.

    Args:
        rho: ρ at the end of the training, or a schedule.
        options: of :class:`SAM`.

    >>> MultiStepSAM(rho=0.1).describe()["method"], MultiStepSAM(rho=0.1).describe()["strength"]
    ('multi-step-sam', 'linear:to=0.1')
    """

    name = "multi-step-sam"

    def __init__(self, *, rho: float | Schedule | str = RHO, **options: Any) -> None:
        schedule = as_schedule(rho)
        super().__init__(
            rho=ramp("linear", to=schedule.value) if isinstance(schedule, Constant) else schedule, **options
        )
