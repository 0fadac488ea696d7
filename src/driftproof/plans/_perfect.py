"""Perfect devices against the digital network: where they differ although the weights are the same, it is said."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from driftproof._errors import warn
from driftproof._mapping.quantised import ROUNDED_OTHERWISE
from driftproof._record import IDEAL_ANALOG, Outcome, Quantity
from driftproof._record.outcome import ROUNDING
from driftproof.evaluation import Deployment

_NOTHING = 1e-9
"""Differences of a metric that rounding alone explains where the digital value is 0, such as a mean squared error."""


def warn_of_differences(digital: Outcome, perfect: Iterable[tuple[Deployment, Outcome]], quantity: Quantity) -> None:
    """Warn of rows of perfect devices that differ from the digital row by rounding alone.

    Rows with a periphery, clipped weights or recalibrated BatchNorms differ because they are to: nothing is said of
    them.

    Args:
        digital: Outcome of the digital network.
        perfect: Deployments on perfect devices, each with its outcome on the same samples.
        quantity: Quantity of the metric.
    """
    for deployment, outcome in perfect:
        same = deployment.periphery.is_ideal and deployment.mapping.clip is None and deployment.recalibration is None
        if same and (text := difference(digital, outcome, quantity)):
            warn(
                f"{IDEAL_ANALOG} differs from digital: {text}. {ROUNDED_OTHERWISE}. The rows of all devices contain "
                f"this difference; compare them with {IDEAL_ANALOG}"
            )


def difference(digital: Outcome, outcome: Outcome, quantity: Quantity) -> str:
    """Return how an outcome differs from the digital one by more than float32 rounding; empty if it does not.

    >>> from driftproof._record import QUANTITIES
    >>> right = Outcome(value=100.0, total=2, per_sample=np.array([True, True]))
    >>> half = Outcome(value=50.0, total=2, per_sample=np.array([True, False]))
    >>> difference(right, half, QUANTITIES["accuracy"])
    'accuracy in % is 50.00 instead of 100.00, and the entries of 1 of 2 samples differ'
    """
    others, seen = 0, digital.seen
    if digital.per_sample is not None and outcome.per_sample is not None:
        one, other = digital.per_sample, outcome.per_sample
        if one.dtype == np.bool_:
            others = int((one != other).sum())
        else:
            reach = max(ROUNDING * float(np.abs(one).mean()), _NOTHING)
            others = int((~np.isclose(one, other, rtol=ROUNDING, atol=reach)).sum())
    elif quantity.percent:
        others = seen if outcome.value != digital.value else 0
    elif not np.isclose(outcome.value, digital.value, rtol=ROUNDING, atol=_NOTHING):
        others = seen
    if not others:
        return ""
    text = f"{quantity.label} is {quantity.number(outcome.value)} instead of {quantity.number(digital.value)}"
    return text if others == seen else f"{text}, and the entries of {others} of {seen} samples differ"
