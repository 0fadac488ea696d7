"""A pool of workers, which keep what they were sent from one plan to the next."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Generator, Iterable, Sequence
from typing import Any, Self

from driftproof._errors import DriftproofError
from driftproof._keywords import ChecksKeywords
from driftproof._record import Outcome
from driftproof.evaluation._checks import check_numbers
from driftproof.evaluation._deployment import Deployment
from driftproof.evaluation._evaluator import Evaluator
from driftproof.evaluation._executor import Request
from driftproof.evaluation._hand import Hand, Lost
from driftproof.evaluation._round import Round
from driftproof.evaluation._worker import Reply


class Pool[H: Hand, P](ABC, ChecksKeywords):
    """Workers that keep evaluators and deployments from one question to the next.

    Args:
        workers: Number of workers.
        threads: Number of threads of each.
        timeout_s: Time in s after which a worker that has not finished a trial is replaced (default: 20 times the
            longest trial so far, but at least 10 minutes; one hour while no trial is finished).
    """

    def __init__(self, workers: int, threads: int, timeout_s: float | None = None) -> None:
        check_numbers(workers=workers, threads=threads)
        if timeout_s is not None and not timeout_s > 0:
            raise DriftproofError(f"timeout_s {timeout_s}: wanted a time in s above 0")
        self.workers, self.threads, self.timeout_s = workers, threads, timeout_s
        self.hands: list[H] = []
        self.longest_s, self.told = 0.0, set[Any]()
        self._forget()

    def _forget(self) -> None:
        """Forget what was sent, which workers that are gone do not have."""
        self.parcels: list[P] = []
        self.failed_starts, self.at_once = 0, dict[int, int]()
        self._evaluators: list[Evaluator] = []
        self._deployments: dict[Deployment, int] = {}

    @abstractmethod
    def hire(self) -> H:
        """Begin to start a worker, and return at once."""

    @abstractmethod
    def replies(self, timeout_s: float) -> Iterable[tuple[H, Reply | Lost]]:
        """Return what workers say. Wait for the first reply, but not longer than a time."""

    @abstractmethod
    def parcel(self, things: dict[str, Any]) -> P:
        """Pack things once, for all workers."""

    def machine(self) -> dict[str, str]:
        """Return what a record notes about the workers."""
        return {"workers": str(self.workers), "threads": str(self.threads)}

    def outcomes(self, evaluator: Evaluator, requests: Sequence[Request]) -> Generator[tuple[int, Outcome], None, None]:
        """Yield the number and the outcome of each request, as they are finished.

        Raises:
            DriftproofError: A trial fails, or cannot be computed in several attempts; workers cannot start; something
                cannot be sent to them.
        """
        _ = evaluator.behaviour  # what is to be said about it is said here, once
        number = self._ship(evaluator, requests)
        try:
            yield from Round(self, evaluator, number, requests, self._deployments).outcomes()
        except BaseException:
            for hand in [hand for hand in self.hands if hand.given]:  # nobody waits for what they compute
                self.hands.remove(hand)
                hand.stop()
            for hand in self.hands:
                hand.rest.clear()
            raise

    def _ship(self, evaluator: Evaluator, requests: Sequence[Request]) -> int:
        """Pack what the workers do not have yet. Return the number of the evaluator."""
        known = [number for number, held in enumerate(self._evaluators) if held is evaluator]
        number = known[0] if known else len(self._evaluators)
        new: dict[int, Deployment] = {}
        for request in requests:
            deployment = request.trial.deployment
            if deployment is not None and deployment not in self._deployments:
                self._deployments[deployment] = len(self._deployments)
                new[self._deployments[deployment]] = deployment
        evaluators = {} if known else {number: evaluator}
        if evaluators or new:
            self.parcels.append(self.parcel({"evaluators": evaluators, "deployments": new}))
        self._evaluators += evaluators.values()
        self.at_once.setdefault(number, evaluator.batch_size)
        return number

    def close(self) -> None:
        """End all workers. The next trials start others, with the same parcels."""
        self.failed_starts = 0
        while self.hands:
            self.hands.pop().stop()

    def __enter__(self) -> Self:
        """Return the pool. Its workers start when there are trials."""
        return self

    def __exit__(self, *_: object) -> None:
        """End all workers, and drop what they had."""
        self.close()
        self._forget()
