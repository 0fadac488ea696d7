"""Measure several trials on the same samples, in one pass where that pays."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from itertools import takewhile
from typing import Any

from driftproof._errors import DriftproofError
from driftproof._inputs import Inputs
from driftproof._random_state import random_state_kept
from driftproof._record import Outcome, Samples
from driftproof.evaluation._evaluator import Evaluator
from driftproof.evaluation._hardware import Hardware
from driftproof.evaluation._many_chips import ManyChips
from driftproof.evaluation._score import scores
from driftproof.evaluation._trial import Trial


def together(evaluator: Evaluator, trials: Sequence[Trial], samples: Samples | None = None) -> Iterator[Outcome]:
    """Yield the outcomes of some trials, in order, as soon as they are there.

    Neighbours that differ in nothing but the numbers of their weights are computed in one pass where that pays and fits
    into memory (:mod:`driftproof.evaluation._many_chips`), all others one after the other. An outcome does not depend
    on those beside it.

    Args:
        evaluator: The evaluator.
        trials: The trials.
        samples: Numbers of the samples to measure on (default: all).

    Raises:
        DriftproofError: As for a single trial, after the outcomes of the trials before it.
    """
    first = 0
    while first < len(trials):
        deployment, outcomes = trials[first].deployment, None
        group = trials[first : first + 1]
        hardware = None if deployment is None else evaluator.ready(deployment)
        if hardware is not None and hardware.many is not None:
            group = _alike(evaluator, trials[first : first + hardware.many.number])
            outcomes = _in_one_pass(evaluator, hardware, hardware.many, group, samples)
        if outcomes is None:
            outcomes = (evaluator(trial, samples) for trial in group)
        for outcome in outcomes:
            if isinstance(outcome, DriftproofError):
                raise outcome
            yield outcome
        first += len(group)


def _alike(evaluator: Evaluator, trials: Sequence[Trial]) -> list[Trial]:
    """Return the trials up to the first on other hardware."""

    def kind(trial: Trial) -> object:
        return trial.deployment and evaluator.calibrated(trial.deployment).hardware

    wanted = kind(trials[0])
    return list(takewhile(lambda trial: kind(trial) == wanted, trials))


@random_state_kept()
def _in_one_pass(
    evaluator: Evaluator, hardware: Hardware, many: ManyChips, trials: Sequence[Trial], samples: Samples | None
) -> list[Outcome | DriftproofError] | None:
    """Return the outcome or the error of each trial, or None if they must be measured one after the other."""
    start = time.perf_counter()
    chosen, indices, data = evaluator.chosen(samples)
    diagnostics = []
    for place, trial in enumerate(trials):
        try:
            network = hardware.become(trial)
        except DriftproofError:  # the trials before it have outcomes, which are not known yet
            return None
        if network.noisy:
            return None
        many.take(place)
        diagnostics.append(hardware.diagnostics())

    def outputs(inputs: Inputs, _: Sequence[int]) -> list[Any]:
        return many(inputs)[: len(trials)]

    names = list(map(str, trials))
    found = scores(evaluator.metric, outputs, data, evaluator.batch_size, evaluator.torch_device, names, indices)
    if all(isinstance(measured, DriftproofError) for measured in found):
        return None  # the pass itself may have failed, such as for want of memory
    seconds = (time.perf_counter() - start) / len(trials)
    return [
        measured if isinstance(measured, DriftproofError) else evaluator.outcome(trial, measured, chosen, of, seconds)
        for trial, measured, of in zip(trials, found, diagnostics, strict=True)
    ]
