"""Run a plan: a generator that is fed outcomes and yields the next trials, so that every search is a plan."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from driftproof.errors import DriftproofError
from driftproof.evaluation.deployment import Deployment
from driftproof.evaluation.evaluator import Evaluator
from driftproof.evaluation.identity import series_of
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


type Plan[T] = Generator[Sequence[Request], list[Outcome], T]
"""Yields requests, is sent one outcome for each in their order, and returns its result.

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


def ask(trials: Iterable[Trial], samples: Iterable[int] | None = None, total: int = 0) -> list[Request]:
    """Return requests for trials, all on the same samples (of ``total``)."""
    chosen = None if samples is None else as_samples(samples, total)
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
    with contextlib.ExitStack() as opened:
        record = record or opened.enter_context(Record.create_or_open(None))
        record.claim(evaluator.subject)
        running = _Running(evaluator, record, executor or Serial(), progress, what)
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

    def __init__(
        self, evaluator: Evaluator, record: Record, executor: Executor, progress: bool | None, what: str
    ) -> None:
        self.evaluator, self.record, self.executor = evaluator, record, executor
        self.progress, self.what = progress, what
        self.number: int | None = None
        self._known: dict[Deployment | None, Series] = {}

    def answers(self, requests: Sequence[Request]) -> list[Outcome]:
        """Return an outcome for every request, computing what the record does not hold."""
        keys = [self._cell(request.trial) for request in requests]
        left: dict[tuple[CellKey, bytes], Request] = {}  # the same trial may be asked for twice
        for key, request in zip(keys, requests, strict=True):
            missing, samples = self.record.missing(key, request.samples)
            if missing:
                left[key, b"" if samples is None else samples.tobytes()] = Request(request.trial, samples)
        if left:
            self._begin()
            places, wanted = list(left), list(left.values())
            with Progress(len(left), shown=self.progress) as bar:
                for number, outcome in self.executor.outcomes(self.evaluator, wanted):
                    self._add(places[number][0], wanted[number], outcome)
                    bar.step(self.what or str(wanted[number].trial))
        found = [self.record.outcome(key) for key in keys]
        assert all(outcome is not None for outcome in found)
        return [outcome for outcome in found if outcome is not None]

    def _series(self, trial: Trial) -> Series:
        """Return the series of a trial; many trials of a plan share one."""
        if trial.deployment not in self._known:
            self._known[trial.deployment] = series_of(self.evaluator, trial)
        return self._known[trial.deployment]

    def _cell(self, trial: Trial) -> CellKey:
        return CellKey(self._series(trial).id, trial.chip, trial.t_s, tuple(sorted(trial.digital)))

    def _add(self, key: CellKey, request: Request, outcome: Outcome) -> None:
        assert self.number is not None
        self.record.add_series(self._series(request.trial))
        if self.record.missing(key, outcome.samples)[0]:  # else another request of this batch has brought it
            self.record.add(key, outcome, self.number)

    def _begin(self) -> None:
        """Note the run, once; a record with a digital value proves that the network still has it."""
        if self.number is not None:
            return
        before = self.record.outcome(DIGITAL_CELL)
        if before is not None:
            now = self.evaluator(NETWORK_ITSELF, before.samples)
            metric = self.evaluator.metric
            if abs(now.value - before.value) > metric.slack(before.value, before.seen):
                quantity = metric.quantity
                raise DriftproofError(
                    f"the record holds a digital {quantity.label} of {quantity.number(before.value)}, now it is "
                    f"{quantity.number(now.value)}: the network's code, its data or the metric have changed, though "
                    "weights and structure have not; choose another --out folder"
                )
        self.number = self.record.start_run(describe_run(self.evaluator.batch_size))
