"""Run a plan: a generator that yields trials, is sent their outcomes, and decides which trials come next."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Protocol

import numpy as np

from driftproof._errors import DriftproofError
from driftproof._keywords import checks_keywords
from driftproof._progress import Progress
from driftproof._provenance import describe_run
from driftproof._random_state import random_state_kept
from driftproof._record import (
    DIGITAL_CELL,
    CellKey,
    DrawnSamples,
    Outcome,
    Record,
    Run,
    Samples,
    Series,
    as_samples,
)
from driftproof.evaluation._deployment import Deployment
from driftproof.evaluation._evaluator import Evaluator
from driftproof.evaluation._identity import preset_entries, series_of, show
from driftproof.evaluation._metrics import check_value
from driftproof.evaluation._together import together
from driftproof.evaluation._trial import NETWORK_ITSELF, Trial


@dataclass(frozen=True)
class Request:
    """A plan's request for one outcome.

    Attributes:
        trial: The trial.
        samples: Numbers of the samples to measure it on. None for all samples.
    """

    trial: Trial
    samples: Samples | None = None


type Plan[T] = Generator[Iterable[Request | Trial], list[Outcome], T]
"""A generator that yields requests, is sent one outcome for each of them in the same order, and returns its result.

A trial instead of a request asks for all samples. An outcome may cover more samples than the request, if the record
has them already.
"""


def computed(evaluator: Evaluator, requests: Sequence[Request]) -> Iterator[tuple[int, Outcome]]:
    """Yield the number and the outcome of each request, in order. Every executor computes through this function.

    Neighbours on the same samples are computed in one pass where that pays (:func:`together`).
    """
    for _, group in groupby(enumerate(requests), key=lambda each: _bytes(each[1].samples)):
        numbers, alike = zip(*group, strict=True)
        outcomes = together(evaluator, [request.trial for request in alike], alike[0].samples)
        yield from zip(numbers, outcomes, strict=True)


def _bytes(samples: Samples | None) -> bytes | None:
    return None if samples is None else np.asarray(samples).tobytes()


class Executor(Protocol):
    """An executor computes requests: in this process, in several processes, or on a cluster."""

    def outcomes(self, evaluator: Evaluator, requests: Sequence[Request]) -> Iterator[tuple[int, Outcome]]:
        """Yield the number and the outcome of each request once, in any order."""

    def machine(self) -> dict[str, str]:
        """Return what a record notes about the executor, such as its workers and their threads."""


class Serial:
    """Computes one request after the other, in this process."""

    def outcomes(self, evaluator: Evaluator, requests: Sequence[Request]) -> Iterator[tuple[int, Outcome]]:
        """Yield the outcomes in the order of the requests."""
        return computed(evaluator, requests)

    def machine(self) -> dict[str, str]:
        """Return nothing more than is known of this process."""
        return {}


def ask(trials: Iterable[Trial], samples: Iterable[int] | None = None) -> list[Request]:
    """Return requests for trials on the same samples, given by number or as a mask (default: all samples).

    >>> from driftproof.evaluation import Deployment
    >>> deployment = Deployment(device="gaussian:0.1")
    >>> len(ask(Trial(deployment, chip, 1.0) for chip in range(3)))
    3
    """
    chosen = None if samples is None else np.asarray(samples if isinstance(samples, np.ndarray) else list(samples))
    return [Request(trial, chosen) for trial in trials]


@checks_keywords
@random_state_kept()
def run[T](
    plan: Plan[T],
    evaluator: Evaluator,
    record: Record | None = None,
    *,
    executor: Executor | None = None,
    progress: bool | None = None,
    what: str = "",
    drawn: DrawnSamples | None = None,
) -> T:
    """Run a plan to its end and return its result.

    Outcomes that the record holds are not computed again. Each outcome, or each group that is computed in one pass, is
    in the file before the next one is computed, so that a stopped run continues where it stopped. Before anything is
    added to a record that has cells, the digital network is measured again, to check that its outcome has not changed.

    Args:
        plan: Generator that yields requests (:func:`ask`) and is sent their outcomes.
        evaluator: Evaluator that computes the outcomes.
        record: Record that keeps the outcomes (default: a record in memory).
        executor: Executor that calls the evaluator, such as :class:`Processes` or :class:`RayCluster` (default: one
            request after the other, in this process).
        progress: Whether to show a progress bar (default: a bar on a terminal, else lines at intervals).
        what: Text beside the progress bar (default: the trial).
        drawn: How the plan draws the samples of partial cells, which the record keeps (default: it does not).

    Raises:
        DriftproofError: The record is about something else, the network computes other outputs than when the record
            was begun, or a trial fails.

    >>> from driftproof.data import digits
    >>> from driftproof.evaluation import Deployment
    >>> from driftproof.zoo import trained_digits_cnn
    >>> def two_chips(deployment):
    ...     outcomes = yield ask(Trial(deployment, chip, 1.0) for chip in range(2))
    ...     return [outcome.value for outcome in outcomes]
    >>> evaluator = Evaluator(trained_digits_cnn(), digits().head(50))
    >>> len(run(two_chips(Deployment(device="gaussian:0.1")), evaluator))
    2
    """
    if not isinstance(plan, Generator):
        raise DriftproofError(f"a plan came as {type(plan).__name__}; wanted a generator: call its function")
    with contextlib.ExitStack() as opened:
        held = record or opened.enter_context(Record.create_or_open(None))
        held.claim(evaluator.subject)
        running = _Running(evaluator, held, executor or Serial(), progress, what, drawn, shows=record is not None)
        try:
            requests = next(plan)
            while True:
                requests = plan.send(running.answers(requests))
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]
        finally:
            plan.close()


@dataclass
class _Running:
    """One run of a plan: it answers the plan's requests.

    Attributes:
        shows: Whether the caller gave the record. Then every series in it is shown under a name.
        begun: This run, None before anything is computed.
        number: Its number in the record, None before anything is added.
        known: Series by deployment: many trials of a plan share one.
        shown: Ids of the series that the record shows.
    """

    evaluator: Evaluator
    record: Record
    executor: Executor
    progress: bool | None
    what: str
    drawn: DrawnSamples | None
    shows: bool
    begun: Run | None = None
    number: int | None = None
    known: dict[Deployment | None, Series] = field(default_factory=dict)
    shown: set[str] = field(default_factory=set)

    def answers(self, requests: Iterable[Request | Trial]) -> list[Outcome]:
        """Return an outcome for every request. Outcomes that the record does not hold are computed.

        Raises:
            DriftproofError: The plan yields something that is not a request, or the executor leaves an outcome out.
        """
        asked = [self._checked(request) for request in requests]
        keys = [self._cell(request.trial) for request in asked]
        left: dict[CellKey, Request] = {}
        for key, request in zip(keys, asked, strict=True):
            missing, samples = self.record.missing(key, request.samples)
            if missing:
                left[key] = _both(left[key], samples) if key in left else Request(request.trial, samples)
        if left:
            self._begin()
            self._compute(list(left), list(left.values()))
        for key, request in zip(keys, asked, strict=True):
            if self.record.missing(key, request.samples)[0]:
                raise DriftproofError(f"the executor left out {request.trial}, or samples of it; wanted each once")
        return [outcome for outcome in map(self.record.outcome, keys) if outcome is not None]

    def _compute(self, keys: list[CellKey], wanted: list[Request]) -> None:
        with (
            Progress(len(wanted), shown=self.progress) as bar,
            _ended(self.executor.outcomes(self.evaluator, wanted)) as every,
        ):
            for number, outcome in every:
                if not 0 <= number < len(wanted):
                    raise DriftproofError(f"the executor yielded number {number} of {len(wanted)} requests")
                trial = wanted[number].trial
                self._add(keys[number], trial.deployment, outcome)
                bar.step(self.what or str(trial))

    def _checked(self, request: Request | Trial) -> Request:
        if isinstance(request, Trial):
            return Request(request)
        if not isinstance(request, Request):
            raise DriftproofError(f"a plan asked for a {type(request).__name__}; wanted what ask(trials) makes")
        return Request(request.trial, as_samples(request.samples, len(self.evaluator.data)))

    def _cell(self, trial: Trial) -> CellKey:
        if trial.deployment not in self.known:
            self.known[trial.deployment] = series_of(self.evaluator, trial.deployment)
        return CellKey(self.known[trial.deployment].id, trial.chip, trial.t_s, tuple(sorted(trial.digital)))

    def _add(self, key: CellKey, deployment: Deployment | None, outcome: Outcome) -> None:
        assert self.begun is not None
        check_value(outcome.value, self.evaluator.metric)
        if not self.record.missing(key, outcome.samples)[0]:  # another request of this batch has brought it
            return
        series = self.known[deployment].id
        with self.record.all_or_nothing():  # the trial, and all that makes it readable
            if self.number is None:
                self.number = self.record.start_run(self.begun)
            if series not in self.shown:  # what the record shows, it holds
                self.record.add_series(self.known[deployment])
            if series not in self.shown and self.shows and deployment is not None:
                # no other name shows the series: show it under its device's name
                for entry in preset_entries(deployment.device):
                    self.record.add_preset(entry)
                show(self.record, self.evaluator, deployment, rows={deployment.device.name: deployment})
            self.record.add(key, outcome, self.number)
        self.shown.add(series)

    def _begin(self) -> None:
        """Describe the run, once. If the record has a digital value, check that the network still has it."""
        if self.begun is not None:
            return
        before = self.record.outcome(DIGITAL_CELL)
        if before is not None:
            self._compare(before, self.evaluator(NETWORK_ITSELF, before.samples))
        self.shown = {series for _, _, series in self.record.shown()}
        described = describe_run(self.evaluator.batch_size, self.executor.machine())
        self.begun = described.model_copy(update={"drawn": self.drawn})

    def _compare(self, before: Outcome, now: Outcome) -> None:
        """Raise DriftproofError unless the digital network has the same outcome as before, for each sample if known."""
        metric, quantity, difference = self.evaluator.metric, self.evaluator.metric.quantity, ""
        if abs(now.value - before.value) > metric.tolerance(before.value, before.seen):
            difference = f"now it is {quantity.number(now.value)}"
        elif before.per_sample is not None and now.per_sample is not None:
            try:
                before.joined(now)
            except DriftproofError:
                difference = "now it comes from other samples"
        if difference:
            raise DriftproofError(
                f"the record holds a digital {quantity.label} of {quantity.number(before.value)}, {difference}: the "
                "network's code, its data or the metric have changed, though weights and structure have not; choose "
                "another --out folder"
            )


@contextlib.contextmanager
def _ended[T](every: Iterator[T]) -> Iterator[Iterator[T]]:
    """End a generator with the block, also after an interrupt: its workers stop then, and not later."""
    try:
        yield every
    finally:
        if isinstance(every, Generator):
            every.close()


def _both(request: Request, samples: Samples | None) -> Request:
    """Return a request for the samples of two requests of one trial."""
    if request.samples is None or samples is None:
        return Request(request.trial)
    return Request(request.trial, np.union1d(request.samples, samples))
