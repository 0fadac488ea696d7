"""The executor over worker processes on this machine."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, Pipe, wait
from multiprocessing.reduction import send_handle
from typing import IO, Any

from driftproof._errors import DriftproofError
from driftproof.evaluation._hand import Hand, Lost
from driftproof.evaluation._parcels import pack, shared_file
from driftproof.evaluation._pool import Pool
from driftproof.evaluation._worker import PARCEL, Reply, Task

# a worker never runs the user's script again: it begins here, looks modules up where the driver does, and listens
_BEGIN = """
import pickle, sys
from multiprocessing.connection import Connection
connection = Connection(int(sys.argv[1]))
sys.path[:], *given = pickle.loads(connection.recv_bytes())
from driftproof.evaluation._worker import serve
serve(connection, *given)
"""
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
_END_S = 5.0
"""Time in which the system tells how a process has ended, after its connection has."""


class Processes(Pool["_Process", IO[bytes]]):
    """Compute trials in several processes on this machine: ``run(plan, evaluator, executor=Processes(4))``.

    A worker holds a network and programs chips by itself. The weights and the data lie in memory once, for all workers.
    Chips are the same as in one process, bit for bit, and so are outcomes at the same number of threads and the same
    batch size. A worker that dies, hangs or runs out of memory is replaced, and what it was computing is computed
    again. Only this process writes to the record.

    Workers start with the first trial, which takes a few seconds, and stay for further plans until the ``with`` block
    ends. They do not run the user's script: it needs no ``if __name__ == "__main__"``.

    Args:
        workers: Number of processes.
        threads: Number of threads of each (default: the processor cores of this process, divided by the workers).
        timeout_s: Time in s after which a worker that has not finished a trial is replaced (default: 20 times the
            longest trial so far, but at least 10 minutes; one hour while no trial is finished).

    Raises:
        DriftproofError: A number is below 1; the system has no connections that pass files (Windows).

    >>> from driftproof.data import digits
    >>> from driftproof.evaluation import Deployment, Evaluator, Processes, Trial, ask, run
    >>> from driftproof.zoo import trained_digits_cnn
    >>> def chips(deployment):
    ...     outcomes = yield ask(Trial(deployment, chip, 1.0) for chip in range(4))
    ...     return [outcome.value for outcome in outcomes]
    >>> evaluator, deployment = Evaluator(trained_digits_cnn(), digits().head(50)), Deployment(device="gaussian:0.1")
    >>> with Processes(2, threads=1) as executor:
    ...     run(chips(deployment), evaluator, executor=executor) == run(chips(deployment), evaluator)
    True
    """

    def __init__(self, workers: int, threads: int | None = None, timeout_s: float | None = None) -> None:
        if sys.platform == "win32":
            raise DriftproofError("worker processes need Linux or macOS; on Windows, leave workers out")
        if threads is None:
            threads = max(1, _cores() // max(1, workers))
        super().__init__(workers, threads, timeout_s)

    def hire(self) -> _Process:
        """Begin to start a process, and return at once."""
        mine, theirs = Pipe()
        environment = os.environ | dict.fromkeys(_THREADS, str(self.threads))
        with theirs:
            process = subprocess.Popen(
                [sys.executable, "-c", _BEGIN, str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                env=environment,
                start_new_session=True,  # Ctrl-C is for the driver
            )
        mine.send_bytes(pickle.dumps((sys.path, os.getpid(), self.threads)))
        return _Process(connection=mine, process=process)

    def parcel(self, things: dict[str, Any]) -> IO[bytes]:
        """Write things to a file that all workers read where it lies."""
        file = shared_file()
        pack(things, file)
        file.flush()
        return file

    def _forget(self) -> None:
        for file in getattr(self, "parcels", ()):
            file.close()
        super()._forget()

    def replies(self, timeout_s: float) -> Iterator[tuple[_Process, Reply | Lost]]:
        """Yield one reply of each worker that says something. Wait for the first one, but not longer than a time."""
        by_connection = {hand.connection: hand for hand in self.hands}
        for connection in wait(list(by_connection), timeout_s):
            hand = by_connection[connection]  # type: ignore[index]
            yield hand, hand.reply()


@dataclass(eq=False, kw_only=True)
class _Process(Hand):
    connection: Connection
    process: subprocess.Popen[bytes]

    def send(self, parcels: Sequence[IO[bytes]], task: Task) -> None:
        for parcel in parcels:
            self.connection.send_bytes(PARCEL)
            send_handle(self.connection, parcel.fileno(), self.process.pid)
        self.connection.send_bytes(pickle.dumps(task))

    def reply(self) -> Reply | Lost:
        try:
            reply: Reply = pickle.loads(self.connection.recv_bytes())
        except (EOFError, OSError):
            return self._ended()
        return reply

    def _ended(self) -> Lost:
        try:
            code = self.process.wait(_END_S)
        except subprocess.TimeoutExpired:
            return Lost("has closed its connection")
        if code < 0:
            return Lost(f"was killed by {signal.Signals(-code).name}", killed=-code == signal.SIGKILL)
        return Lost(f"ended with exit code {code}")

    def stop(self) -> None:
        self.connection.close()
        self.process.kill()
        self.process.wait()


def _cores() -> int:
    """Return the number of processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
