"""One step of a plan: who computes what, and what follows when a worker dies, hangs or runs out of memory."""

from __future__ import annotations

import warnings
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from time import monotonic
from typing import TYPE_CHECKING, Any

from driftproof._errors import DriftproofError, DriftproofWarning, warn
from driftproof._record import Outcome
from driftproof.evaluation._deployment import Deployment
from driftproof.evaluation._evaluator import Evaluator
from driftproof.evaluation._executor import Request
from driftproof.evaluation._hand import Hand, Lost
from driftproof.evaluation._torch_settings import TorchSettings
from driftproof.evaluation._worker import Failure, Reply, Task, Wanted, versions

if TYPE_CHECKING:
    from driftproof.evaluation._pool import Pool

RETRIES = 3
"""How often a trial is computed again after its worker was lost."""
STARTS = 4
"""How often in a row workers may fail to start. After that, those that there are do all."""
START_S = 600.0
"""Time in which a worker has to start."""
TASK_S, TASK_TRIALS = 0.2, 64
"""Time that a task should take, in s, and its largest number of trials."""
LONGEST, SHORTEST_S, UNKNOWN_S = 20.0, 600.0, 3600.0
"""A worker hangs after this many times the longest trial so far, but not before so many s; while none is known, after
so many s."""


@dataclass
class Round:
    """The requests of one plan's step, and what workers have done of them."""

    pool: Pool[Any, Any]
    evaluator: Evaluator
    number: int
    requests: Sequence[Request]
    deployments: dict[Deployment, int]

    def __post_init__(self) -> None:
        """Group the requests, so that a worker programs a chip once for all times."""
        self.groups: deque[list[int]] = deque(_by_chip(self.requests))
        self.lost: Counter[int] = Counter()  # how often a trial's worker was lost
        self.tries: Counter[int] = Counter()  # and how often the trial was the only one that it had
        self.left = set(range(len(self.requests)))
        self.seconds, self.finished = 0.0, 0
        self.failure: Failure | None = None
        self.settings = TorchSettings.now()

    def outcomes(self) -> Iterator[tuple[int, Outcome]]:
        """Yield all outcomes.

        Raises:
            DriftproofError: As :meth:`Pool.outcomes`.
        """
        while self.left:
            self._staff()
            for hand, reply in self.pool.replies(self._patience_s()):
                yield from self._received(hand, reply)
            if self.failure is not None:
                # what is finished is kept
                for hand, reply in self.pool.replies(0.0):
                    yield from self._received(hand, reply)
                _raise(self.failure)
            self._replace_hanging()

    # --- who computes what ---

    def _staff(self) -> None:
        """Start the workers that are missing, and give tasks to those that have none.

        Where workers fail to start, the others do all.
        """
        pool, how = self.pool, "the last one ended while it started; what it said is above"
        while len(pool.hands) < min(pool.workers, len(self.left)) and pool.failed_starts < STARTS:
            try:
                pool.hands.append(pool.hire())
            except OSError as error:
                pool.failed_starts, how = pool.failed_starts + 1, str(error)
        if not pool.hands:
            raise DriftproofError(f"no worker starts, in {pool.failed_starts} attempts: {how}")
        for hand in [hand for hand in pool.hands if hand.ready and not hand.given]:
            if numbers := self._next(hand):
                hand.given, hand.since, hand.at_once = numbers, monotonic(), pool.at_once[self.number]
                task = Task(self.number, hand.at_once, self.settings, tuple(map(self._wanted, numbers)))
                new, hand.parcels = pool.parcels[hand.parcels :], len(pool.parcels)
                with suppress(OSError):  # it is gone, and its replies will say so
                    hand.send(new, task)

    def _next(self, hand: Hand) -> list[int]:
        """Return the numbers of the next task: of the same chip, of further ones, or of another worker's chips.

        Quick trials travel together. Towards the end tasks get smaller, so that all workers end at the same time.
        """
        mean_s = self.seconds / self.finished if self.finished else TASK_S
        fair = len(self.left) // (2 * self.pool.workers)
        size = max(1, min(TASK_TRIALS, int(TASK_S / max(mean_s, 1e-6)), fair))
        while len(hand.rest) < size and self.groups:
            hand.rest.extend(self.groups.popleft())
        if not hand.rest:
            busiest = max(self.pool.hands, key=lambda other: len(other.rest))
            stolen = [busiest.rest.pop() for _ in range((len(busiest.rest) + 1) // 2)]
            hand.rest.extend(reversed(stolen))
        return [hand.rest.popleft() for _ in range(min(size, len(hand.rest)))]

    def _wanted(self, number: int) -> Wanted:
        trial, samples = self.requests[number].trial, self.requests[number].samples
        deployment = None if trial.deployment is None else self.deployments[trial.deployment]
        return Wanted(number, deployment, trial.chip, trial.t_s, trial.digital, samples)

    # --- what they say ---

    def _received(self, hand: Hand, reply: Reply | Lost) -> Iterator[tuple[int, Outcome]]:
        hand.since = monotonic()
        if isinstance(reply, Lost):
            self._lost(hand, reply)
            return
        if reply.versions is not None:
            self._check_versions(hand, reply.versions)
            hand.ready, self.pool.failed_starts = True, 0
        for number, outcome in reply.outcomes:
            hand.given.remove(number)
            self.left.discard(number)
            self.seconds, self.finished = self.seconds + outcome.seconds, self.finished + 1
            self.pool.longest_s = max(self.pool.longest_s, outcome.seconds)
            deployment = self.requests[number].trial.deployment
            if deployment is not None:
                self.evaluator.warn_of_saturation(deployment, dict(outcome.diagnostics))
            yield number, self._noted(hand, number, outcome)
        for kind, text, file, line in reply.warned:
            self._pass_on(kind, text, file, line)
        if reply.failure is not None and reply.failure.memory:
            self._out_of_memory(hand)
        elif reply.failure is not None:
            self.failure = reply.failure
            hand.given.clear()

    def _noted(self, hand: Hand, number: int, outcome: Outcome) -> Outcome:
        """Return an outcome that says how it was computed, if not as all others."""
        noted: dict[str, Any] = {}
        if self.lost[number]:
            noted["attempts"] = self.lost[number] + 1
        if hand.at_once < self.evaluator.batch_size:
            noted["batch_size"] = hand.at_once
        return replace(outcome, diagnostics=dict(outcome.diagnostics) | noted) if noted else outcome

    def _pass_on(self, kind: type[Warning], text: str, file: str, line: int) -> None:
        """Give a worker's warning here, if no other worker has given it."""
        if (kind, text) in self.pool.told:
            return
        self.pool.told.add((kind, text))
        if issubclass(kind, DriftproofWarning):
            warn(text)
        else:
            warnings.warn_explicit(text, kind, file, line)

    def _check_versions(self, hand: Hand, theirs: dict[str, str]) -> None:
        for name, ours in versions().items():
            if theirs.get(name) != ours:
                self._dismiss(hand)
                raise DriftproofError(
                    f"a worker has {name} {theirs.get(name)}, this process has {ours}: they may compute other numbers; "
                    "install the same versions on all nodes"
                )

    # --- what goes wrong ---

    def _patience_s(self) -> float:
        """Return the time until the first worker may be said to hang."""
        waiting = [hand for hand in self.pool.hands if hand.given or not hand.ready]
        return max(0.0, min((hand.since + self._limit_s(hand) for hand in waiting), default=0.0) - monotonic())

    def _limit_s(self, hand: Hand) -> float:
        if not hand.ready:
            return START_S
        if self.pool.timeout_s is not None:
            return self.pool.timeout_s
        longest_s = self.pool.longest_s
        return max(SHORTEST_S, LONGEST * longest_s) if longest_s else UNKNOWN_S

    def _replace_hanging(self) -> None:
        for hand in [hand for hand in self.pool.hands if hand.given or not hand.ready]:
            if monotonic() - hand.since >= (limit_s := self._limit_s(hand)):
                what = "finished a trial" if hand.ready else "started"
                self._lost(hand, Lost(f"has not {what} in {limit_s:.3g} s"))

    def _lost(self, hand: Hand, lost: Lost) -> None:
        """Put back what a worker was to compute. Trials that it was given together are tried one at a time."""
        self._dismiss(hand)
        if not hand.ready:
            self.pool.failed_starts += 1
        if not hand.given:
            return
        where = self._names(hand.given)
        self.lost.update(hand.given)
        if "lost" not in self.pool.told:
            self.pool.told.add("lost")
            warn(
                f"a worker {lost.how}, at {where}. Another one takes its place, and its trials are computed again (the "
                "record notes it; this is said once)"
            )
        if len(hand.given) > 1:
            return
        self.tries[hand.given[0]] += 1
        if self.tries[hand.given[0]] > RETRIES:
            raise DriftproofError(
                f"{where}: the worker {lost.how}, in {RETRIES + 1} attempts; finished trials are kept. If memory is "
                "short, take fewer workers or a smaller batch_size; if trials take that long, a larger timeout_s"
            )
        if lost.killed and self.tries[hand.given[0]] > 1 and not self._cannot_halve(hand):
            self._halve(hand, f"a worker {lost.how} twice at {where}, as happens where memory is short")

    def _out_of_memory(self, hand: Hand) -> None:
        self._dismiss(hand)
        if why := self._cannot_halve(hand):
            raise DriftproofError(
                f"{self._names(hand.given)}: out of memory, and {why}; finished trials are kept. Take fewer workers, "
                "or a smaller batch_size"
            )
        self._halve(hand, f"out of memory at {self._names(hand.given)}")

    def _cannot_halve(self, hand: Hand) -> str:
        """Return why a worker's batches cannot be halved; empty if they can."""
        if self.evaluator.behaviour.joint:
            return "the samples of a batch see each other, so that batches cannot be halved"
        return "a batch has one sample" if hand.at_once == 1 else ""

    def _halve(self, hand: Hand, why: str) -> None:
        """Let all further trials take half of the samples at once that were too many for one worker."""
        before, after = hand.at_once, (hand.at_once + 1) // 2
        if after >= self.pool.at_once[self.number]:
            return  # another worker has said it
        self.pool.at_once[self.number] = after
        warn(
            f"{why}: further trials take {after} samples at once instead of {before}. Their numbers may differ by "
            "rounding (the record notes it)"
        )

    def _dismiss(self, hand: Hand) -> None:
        """End a worker. What it had comes first in the queue, as single trials."""
        self.pool.hands.remove(hand)
        hand.stop()
        if hand.rest:
            self.groups.appendleft(list(hand.rest))
        self.groups.extendleft([number] for number in reversed(hand.given))

    def _names(self, numbers: Sequence[int]) -> str:
        first = str(self.requests[numbers[0]].trial)
        return first if len(numbers) == 1 else f"{first} or one of the {len(numbers) - 1} trials after it"


def _by_chip(requests: Sequence[Request]) -> list[list[int]]:
    """Return the numbers of requests in groups of one deployment and one chip, the largest groups first."""
    groups: dict[Any, list[int]] = {}
    for number, request in enumerate(requests):
        groups.setdefault((request.trial.deployment, request.trial.chip), []).append(number)
    return sorted(groups.values(), key=len, reverse=True)


def _raise(failure: Failure) -> None:
    """Raise a worker's exception in the driver: a mistake of the user with its text alone, any other with its place."""
    if not isinstance(failure.error, DriftproofError):
        failure.error.add_note(f"in a worker:\n{failure.where}")
    raise failure.error
