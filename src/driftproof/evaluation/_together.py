"""Measure several trials on the same samples, in one pass where that pays."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from itertools import takewhile
from typing import Any

from driftproof._errors import DriftproofError, warn
from driftproof._inputs import Inputs
from driftproof._random_state import random_state_kept
from driftproof._record import Outcome, Samples
from driftproof.evaluation._evaluator import Evaluator
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
        most = _at_once(evaluator, trials[first])
        # one trial, too, if many are possible: a pass alone rounds differently, and a stopped run may leave one
        outcomes = _in_one_pass(evaluator, _alike(evaluator, trials[first : first + most]), samples) if most > 1 else []
        for outcome in outcomes or [evaluator(trials[first], samples)]:
            if isinstance(outcome, DriftproofError):
                raise outcome
            yield outcome
        first += max(1, len(outcomes))


def _at_once(evaluator: Evaluator, trial: Trial) -> int:
    """Return how many trials like this one are computed in one pass."""
    many = None if trial.deployment is None else evaluator.ready(trial.deployment).many
    return 1 if many is None else many.number


def _alike(evaluator: Evaluator, trials: Sequence[Trial]) -> list[Trial]:
    """Return the trials before the first that is on other hardware."""

    def kind(trial: Trial) -> object:
        return trial.deployment and evaluator.calibrated(trial.deployment).hardware

    wanted = kind(trials[0])
    return list(takewhile(lambda trial: kind(trial) == wanted, trials))


@random_state_kept()
def _in_one_pass(
    evaluator: Evaluator, trials: Sequence[Trial], samples: Samples | None
) -> list[Outcome | DriftproofError]:
    """Return the outcome or the error of the first trials, up to one that must be measured alone."""
    deployment = trials[0].deployment
    assert deployment is not None
    hardware = evaluator.ready(deployment)
    many, start = hardware.many, time.perf_counter()
    assert many is not None
    chosen, indices, data = evaluator.chosen(samples)
    diagnostics: list[dict[str, Any]] = []
    for place, trial in enumerate(trials):
        try:
            network = hardware.become(trial)
        except DriftproofError:  # alone it will raise it again, after the outcomes of those before
            break
        if network.noisy:
            break
        many.take(place)
        diagnostics.append(hardware.diagnostics())
    measured = trials[: len(diagnostics)]
    if not measured:
        return []

    def outputs(inputs: Inputs, _: Sequence[int]) -> list[Any]:
        return many(inputs)[: len(measured)]

    names = list(map(str, measured))
    found = scores(evaluator.metric, outputs, data, evaluator.at_once, evaluator.torch_device, names, indices)
    if all(isinstance(score, DriftproofError) for score in found):
        hardware.many = None  # the pass itself may have failed, such as for want of memory
        warn(f"{len(measured)} chips in one pass fail ({found[0]}); from here on they are computed one at a time")
        return []
    seconds = (time.perf_counter() - start) / len(measured)
    return [
        score if isinstance(score, DriftproofError) else evaluator.outcome(trial, score, chosen, of, seconds)
        for trial, score, of in zip(measured, found, diagnostics, strict=True)
    ]
