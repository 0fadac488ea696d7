"""A worker: it holds evaluators in its own process, computes the trials that it is sent, and says what went wrong."""

from __future__ import annotations

import os
import pickle
import queue
import sys
import threading
import traceback
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.reduction import recv_handle
from pathlib import Path
from time import monotonic
from typing import IO, Any

import torch

from driftproof._numerics import VERSION
from driftproof._record import Outcome, Samples
from driftproof.evaluation._deployment import Deployment
from driftproof.evaluation._evaluator import Evaluator
from driftproof.evaluation._executor import Request, computed
from driftproof.evaluation._parcels import unpack
from driftproof.evaluation._torch_settings import TorchSettings
from driftproof.evaluation._trial import Trial

PARCEL, END = b"parcel", 1
"""The message before a file, and the exit code of a worker whose driver is gone."""
GATHER_S = 0.05
"""How long outcomes of quick trials are held before they are sent together, in s."""
LOOK_S = 1.0
"""How often a worker looks whether its driver still lives, in s. It mostly knows at once, as their connection ends."""


@dataclass(frozen=True)
class Wanted:
    """A request for another process: the deployment is a number, as it travels once and not with every trial."""

    number: int
    deployment: int | None
    chip: int
    t_s: float
    digital: frozenset[str]
    samples: Samples | None


@dataclass(frozen=True)
class Task:
    """Requests of one evaluator, for one worker.

    Attributes:
        evaluator: Number of the evaluator.
        at_once: Number of samples in a forward pass.
        settings: Settings of torch in the driver.
        wanted: The requests.
    """

    evaluator: int
    at_once: int
    settings: TorchSettings
    wanted: tuple[Wanted, ...]


@dataclass(frozen=True)
class Failure:
    """An exception in a worker.

    Attributes:
        error: The exception.
        where: Its traceback.
        memory: Whether memory was too short.
    """

    error: Exception
    where: str
    memory: bool


@dataclass(frozen=True)
class Reply:
    """What a worker says.

    Attributes:
        versions: Versions that decide numbers; the first reply of a worker, which is ready now.
        outcomes: Numbers of requests, and their outcomes.
        warned: Category, text, file and line of new warnings.
        failure: Why the task ends here; None if it does not.
    """

    versions: dict[str, str] | None = None
    outcomes: tuple[tuple[int, Outcome], ...] = ()
    warned: tuple[tuple[type[Warning], str, str, int], ...] = ()
    failure: Failure | None = None


class Worker:
    """What a worker holds.

    Args:
        threads: Number of threads of torch.
    """

    def __init__(self, threads: int) -> None:
        torch.set_num_threads(threads)
        self._evaluators: dict[int, Evaluator] = {}
        self._deployments: dict[int, Deployment] = {}
        self._prepared: set[tuple[int, int]] = set()
        self._warned: set[tuple[type[Warning], str]] = set()
        self._refused: Exception | None = None

    def hello(self) -> Reply:
        """Return the first reply."""
        return Reply(versions=versions())

    def take(self, parcel: Path | IO[bytes]) -> None:
        """Take evaluators and deployments, by their numbers. If that fails, the next task says so."""
        try:
            things = unpack(parcel)
        except Exception as error:
            self._refused = error
            return
        self._evaluators |= things["evaluators"]
        self._deployments |= things["deployments"]

    def work(self, task: Task) -> Iterator[Reply]:
        """Yield a reply for every outcome, or one with a failure as the last."""
        try:
            yield from self._outcomes(task)
        except Exception as error:
            yield Reply(failure=_failure(error))

    def _outcomes(self, task: Task) -> Iterator[Reply]:
        if self._refused is not None:
            raise self._refused
        task.settings.apply()
        evaluator = self._evaluators[task.evaluator]
        evaluator.at_once = task.at_once
        for wanted in task.wanted:
            if wanted.deployment is not None and (task.evaluator, wanted.deployment) not in self._prepared:
                evaluator.be_told(self._deployments[wanted.deployment])
                self._prepared.add((task.evaluator, wanted.deployment))
        requests = [Request(self._trial(wanted), wanted.samples) for wanted in task.wanted]
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            for place, outcome in computed(evaluator, requests):
                yield Reply(outcomes=((task.wanted[place].number, outcome),), warned=self._new(caught))

    def _trial(self, wanted: Wanted) -> Trial:
        deployment = None if wanted.deployment is None else self._deployments[wanted.deployment]
        return Trial(deployment, wanted.chip, wanted.t_s, wanted.digital)

    def _new(self, caught: list[warnings.WarningMessage]) -> tuple[tuple[type[Warning], str, str, int], ...]:
        """Return the warnings that this worker has not given before, and forget all."""
        given = {(each.category, str(each.message)): each for each in caught}
        caught.clear()
        new = {key: each for key, each in given.items() if key not in self._warned}
        self._warned |= new.keys()
        return tuple((_known(kind), text, each.filename, each.lineno) for (kind, text), each in new.items())


def versions() -> dict[str, str]:
    """Return the versions that decide numbers."""
    return {"driftproof's numbers": str(VERSION), "torch": torch.__version__, "python": sys.version.split()[0]}


def _failure(error: Exception) -> Failure:
    where = "".join(traceback.format_exception(error))
    memory = _is_out_of_memory(error)
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # an exception of the user's own
        error = RuntimeError(f"{type(error).__name__}: {error}")
    return Failure(error, where, memory)


def _known(kind: type[Warning]) -> type[Warning]:
    """Return a class of warnings, or in place of one that the driver cannot look up, the class of a user's warnings."""
    try:
        pickle.dumps(kind)
    except Exception:
        return UserWarning
    return kind


def _is_out_of_memory(error: BaseException | None) -> bool:
    """Return whether memory was too short, also where another exception names it as its cause."""
    while error is not None:
        text = str(error)
        if isinstance(error, MemoryError | torch.OutOfMemoryError) or "can't allocate memory" in text:
            return True
        error = error.__cause__ or error.__context__
    return False


def serve(connection: Connection, driver: int, threads: int) -> None:
    """Be the worker at the other end of a connection, until it ends.

    Args:
        connection: Connection to the driver.
        driver: Process id of the driver.
        threads: Number of threads of torch.
    """
    inbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(connection, driver, inbox), daemon=True).start()
    worker = Worker(threads)
    try:
        _say(connection, worker.hello())
        while True:
            message = inbox.get()
            if isinstance(message, Task):
                for reply in _gathered(worker.work(message)):
                    _say(connection, reply)
                continue
            worker.take(Path(f"/dev/fd/{message}"))
            os.close(message)
    except OSError:  # the driver is gone
        os._exit(END)


def _gathered(replies: Iterable[Reply]) -> Iterator[Reply]:
    """Yield the same replies, those of quick trials together: each one wakes the driver."""
    held, since = Reply(), monotonic()
    for reply in replies:
        held = Reply(outcomes=held.outcomes + reply.outcomes, warned=held.warned + reply.warned, failure=reply.failure)
        if held.failure is not None or monotonic() - since > GATHER_S:
            yield held
            held, since = Reply(), monotonic()
    if held.outcomes:
        yield held


def _say(connection: Connection, reply: Reply) -> None:
    connection.send_bytes(pickle.dumps(reply))


def _listen(connection: Connection, driver: int, inbox: queue.SimpleQueue[Any]) -> None:
    """Put the driver's messages into the inbox. End the process when the driver is gone, whatever it computes."""
    try:
        while True:
            # a process that the driver has forked may keep the connection open
            while not connection.poll(LOOK_S):
                if os.getppid() != driver:
                    os._exit(END)
            message = connection.recv_bytes()
            inbox.put(recv_handle(connection) if message == PARCEL else pickle.loads(message))
    except (EOFError, OSError):
        os._exit(END)
