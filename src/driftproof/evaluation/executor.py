"""Run a plan: a generator that is fed outcomes and yields the next trials, so that every search is a plan."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from driftproof.errors import DriftproofError
from driftproof.evaluation.deployment import Deployment
from driftproof.evaluation.evaluator import Evaluator
from driftproof.evaluation.identity import preset_entries, series_of, show
from driftproof.evaluation.metrics import check_value
from driftproof.evaluation.trial import NETWORK_ITSELF, Trial
from driftproof.keywords import checks_keywords
from driftproof.progress import Progress
from driftproof.provenance import describe_run
from driftproof.record import DIGITAL_CELL, CellKey, Outcome, Record, Samples, Series, as_samples


@dataclass(frozen=True)
class Request:
    """What a plan asks for.

    Attributes:
        trial: what to measure.
        samples: numbers of the samples to measure it on; None for all.
    """

    trial: Trial
    samples: Samples | None = None


type Plan[T] = Generator[Iterable[Request | Trial], list[Outcome], T]
"""Yields requests (a trial alone asks for all samples), is sent one outcome for each in their order, and returns its
result.

An outcome may cover more samples than were asked for, if the record has them already.
"""


class Executor(Protocol):
    """Computes requests somewhere: in this process, in several, on a cluster."""

    def outcomes(self, evaluator: Evaluator, requests: Sequence[Request]) -> Iterator[tuple[int, Outcome]]:
        """Yield (number of a request, its outcome) as they come, each request once, in any order."""


class Serial:
    """One request after the other, in this process."""

    def outcomes(self, evaluator: Evaluator, requests: Sequence[Request]) -> Iterator[tuple[int, Outcome]]:
        """Yield the outcomes in the order of the requests."""
        for number, request in enumerate(requests):
            yield number, evaluator(request.trial, request.samples)


def ask(trials: Iterable[Trial], samples: Iterable[int] | None = None) -> list[Request]:
    """Return requests for trials, all on the same samples: their numbers or a mask; all samples unless given."""
    chosen = None if samples is None else np.asarray(samples if isinstance(samples, np.ndarray) else list(samples))
    return [Request(trial, chosen) for trial in trials]


@checks_keywords
def run[T](
    plan: Plan[T],
    evaluator: Evaluator,
    record: Record | None = None,
    *,
    executor: Executor | None = None,
    progress: bool | None = None,
    what: str = "",
) -> T:
    """Run a plan to its end and return its result.

    What the record holds already is not computed again; each outcome is on disk before the next one is computed, so
    that a run that was stopped goes on where it was. Before anything is added to a record that has cells, the digital
    network is measured again, to prove that its code computes what it did.

    Args:
        plan: yields requests; see :data:`Plan`.
        evaluator: computes them.
        record: where outcomes are kept; in memory unless given.
        executor: where they are computed; one after the other in this process unless given.
        progress: show a progress bar; by default when the terminal is interactive.
        what: shown with the progress; the trial unless given.

    Raises:
        DriftproofError: the record is about something else; the network computes other outputs than when the record was
            begun; whatever a trial fails with.

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
        running = _Running(evaluator, record or opened.enter_context(Record.create_or_open(None)))
        running.executor, running.progress, running.what = executor or Serial(), progress, what
        running.shows = record is not None
        running.record.claim(evaluator.subject)
        try:
            requests = next(plan)
            while True:
                requests = plan.send(running.answers(requests))
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]
        finally:
            plan.close()


class _Running:
    """One run of a plan: what it needs to answer the plan's requests."""

    executor: Executor
    progress: bool | None
    what: str
    shows: bool
    """Whether somebody will look at the record: then every series in it is shown under some name."""

    def __init__(self, evaluator: Evaluator, record: Record) -> None:
        self.evaluator, self.record = evaluator, record
        self.number: int | None = None
        self._known: dict[Deployment | None, Series] = {}
        self._shown: set[str] = set()

    def answers(self, requests: Iterable[Request | Trial]) -> list[Outcome]:
        """Return an outcome for every request, computing what the record does not hold.

        Raises:
            DriftproofError: what is asked for is no request; an executor that leaves something out.
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
        with Progress(len(wanted), shown=self.progress) as bar:
            for number, outcome in self.executor.outcomes(self.evaluator, wanted):
                if not 0 <= number < len(wanted):
                    raise DriftproofError(f"the executor yielded number {number} of {len(wanted)} requests")
                self._add(keys[number], wanted[number], outcome)
                bar.step(self.what or str(wanted[number].trial))

    def _checked(self, request: Request | Trial) -> Request:
        if isinstance(request, Trial):
            return Request(request)
        if not isinstance(request, Request):
            raise DriftproofError(f"a plan asked for a {type(request).__name__}; wanted what ask(trials) makes")
        return Request(request.trial, as_samples(request.samples, len(self.evaluator.data)))

    def _series(self, trial: Trial) -> Series:
        """Return the series of a trial; many trials of a plan share one."""
        if trial.deployment not in self._known:
            self._known[trial.deployment] = series_of(self.evaluator, trial)
        return self._known[trial.deployment]

    def _cell(self, trial: Trial) -> CellKey:
        return CellKey(self._series(trial).id, trial.chip, trial.t_s, tuple(sorted(trial.digital)))

    def _add(self, key: CellKey, request: Request, outcome: Outcome) -> None:
        assert self.number is not None
        check_value(outcome.value, self.evaluator.metric)
        series = self._series(request.trial)
        if self.record.add_series(series) not in self._shown and self.shows and request.trial.deployment is not None:
            self._show(request.trial.deployment)
        self._shown.add(series.id)
        if self.record.missing(key, outcome.samples)[0]:  # else another request of this batch has brought it
            self.record.add(key, outcome, self.number)

    def _show(self, deployment: Deployment) -> None:
        """Show a series that no other name shows under its device's name."""
        for entry in preset_entries(deployment.device):
            self.record.add_preset(entry)
        show(self.record, self.evaluator, deployment, rows={deployment.device.name: deployment})

    def _begin(self) -> None:
        """Note the run, once; a record with a digital value proves that the network still has it."""
        if self.number is not None:
            return
        before = self.record.outcome(DIGITAL_CELL)
        if before is not None:
            self._prove(before, self.evaluator(NETWORK_ITSELF, before.samples))
        self._shown = {series for _, _, series in self.record.shown()}
        self.number = self.record.start_run(describe_run(self.evaluator.batch_size))

    def _prove(self, before: Outcome, now: Outcome) -> None:
        """Raise DriftproofError unless the digital network is what it was, sample by sample where that is known."""
        metric, quantity, difference = self.evaluator.metric, self.evaluator.metric.quantity, ""
        if abs(now.value - before.value) > metric.slack(before.value, before.seen):
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


def _both(request: Request, samples: Samples | None) -> Request:
    """Return a request for the samples of two."""
    if request.samples is None or samples is None:
        return Request(request.trial)
    return Request(request.trial, np.union1d(request.samples, samples))
