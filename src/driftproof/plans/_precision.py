"""How narrow the intervals of an evaluation are to become, and the strata from which its samples are drawn."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

import numpy as np

from driftproof._defaults import CHIPS, CI_OF, CI_ON
from driftproof._errors import DriftproofError
from driftproof._record import DrawnSamples, Record
from driftproof.evaluation import Evaluator
from driftproof.evaluation._checks import chip_numbers
from driftproof.statistics import strata_by
from driftproof.statistics._allocation import Wanted, check_quantity
from driftproof.statistics._crossed import On, check_on
from driftproof.times import parse_time


@dataclass(frozen=True, kw_only=True)
class Precision:
    """When enough chips and samples were measured.

    Attributes:
        ci: Half-width of the 95 % intervals at which a device at a time is finished, in the unit of the metric; 0 for
            as narrow as the budget allows.
        budget_s: Time in s after which nothing more is measured; infinite for no limit.
        of: The quantity whose interval is meant: ``drop`` or ``mean``.
        on: The samples for which the interval is to hold: ``these`` or ``new`` ones.
    """

    ci: float = 0.0
    budget_s: float = math.inf
    of: Wanted = CI_OF
    on: On = CI_ON


def precision_of(
    ci: float | None, budget: str | float | None, of: str = CI_OF, on: str = CI_ON, chips: int | str | range = CHIPS
) -> Precision | None:
    """Return the precision that was asked for; None if all samples of a fixed number of chips were.

    Raises:
        DriftproofError: A value is impossible, or a number of chips was given as well.

    >>> precision_of(0.5, "5m")
    Precision(ci=0.5, budget_s=300.0, of='drop', on='these')
    """
    check_quantity(of)
    check_on(on)
    if ci is None and budget is None:
        if (of, on) != (CI_OF, CI_ON):
            raise DriftproofError(f"ci_of={of!r} and ci_on={on!r} say what ci or budget is about: give one of them too")
        return None
    if chip_numbers(chips) != chip_numbers(CHIPS):
        raise DriftproofError(
            f"chips={chips} and ci or budget: the number of chips follows from ci and budget; leave chips out"
        )
    if ci is not None and not (math.isfinite(ci) and ci > 0):
        raise DriftproofError(f"ci={ci!r}: wanted a half-width above 0, in the unit of the metric, such as 0.5")
    # minutes are often written 5m
    minutes = isinstance(budget, str) and re.fullmatch(r"\s*[0-9.]+\s*m\s*", budget)
    budget_s = math.inf if budget is None else parse_time(f"{str(budget).strip()}in" if minutes else budget)
    if budget_s <= 0:
        raise DriftproofError(f"budget={budget!r}: wanted a time above 0, such as 5min")
    return Precision(ci=ci or 0.0, budget_s=budget_s, of=check_quantity(of), on=check_on(on))


def check_partial(evaluator: Evaluator) -> None:
    """Raise DriftproofError if chips cannot be measured on parts of the samples."""
    if evaluator.behaviour.joint:
        raise DriftproofError(
            "ci and budget: the samples of a batch see each other in this network, so that a part of the samples has "
            "other outputs than it has among all; measure all samples (leave ci and budget out)"
        )
    if evaluator.metric.per_sample is None:
        raise DriftproofError(
            f"ci and budget need a metric with an entry for every sample, such as accuracy, top5 or mse; "
            f"{evaluator.metric.name} has none. Give per_sample to Metric.of, or leave ci and budget out"
        )


def drawn_samples(evaluator: Evaluator, record: Record, seed: int) -> DrawnSamples:
    """Return the strata that the record holds, or those of the digital network, which is measured for them.

    Samples with right and with wrong answers are in different strata. They are sorted by the margin of the digital
    network; without a margin, numbers such as losses are sorted from the largest on.

    Raises:
        DriftproofError: The samples have no entries of their own, since their outputs have different sizes.
    """
    for run in record.runs().values():
        if run.drawn is not None and len(run.drawn.samples.of) == len(evaluator.data):
            return run.drawn
    outcome, margins = evaluator.digital_with_margins()
    entries = outcome.per_sample
    if entries is None:
        raise DriftproofError(
            f"ci and budget: {evaluator.metric.name} has no entry for every sample of these data, whose outputs have "
            "different sizes; leave ci and budget out"
        )
    answers = entries.dtype == np.bool_
    kind = entries if answers else None
    if margins is not None:
        return DrawnSamples.of(strata_by(margins, kind, seed=seed), "margin of the digital network, right or wrong")
    if answers:
        return DrawnSamples.of(strata_by(np.zeros(len(entries)), kind, seed=seed), "right or wrong digital answer")
    return DrawnSamples.of(strata_by(-entries.astype(np.float64), seed=seed), "digital entry of the metric")
