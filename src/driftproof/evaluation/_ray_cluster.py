"""The executor over the actors of a Ray cluster. Ray is imported when a cluster is made."""

from __future__ import annotations

import io
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from driftproof._errors import DriftproofError
from driftproof.evaluation._hand import Hand, Lost
from driftproof.evaluation._parcels import pack
from driftproof.evaluation._pool import Pool
from driftproof.evaluation._worker import Reply, Task, Worker


class RayCluster(Pool["_Actor", Any]):
    """Compute trials on a Ray cluster: ``run(plan, evaluator, executor=RayCluster("auto"))``.

    Each worker is an actor with a network of its own. Network and data travel to each node once. The chips are those of
    every other executor, bit for bit. A worker that is lost with its node, hangs or runs out of memory is replaced, and
    what it was computing is computed again. Only this process writes to the record.

    The nodes need driftproof in the versions of this process, and the modules that the network's classes come from.
    Classes of the script itself and of a ``FILE.py`` are sent.

    Args:
        address: Address of the cluster, such as ``10.0.0.1:6379``, or ``auto`` for the one that this machine is in.
        workers: Number of workers (default: as many as the cluster has processor cores for).
        threads: Number of threads, and of cores, of each (default: 1).
        timeout_s: Time in s after which a worker that has not finished a trial is replaced (default: 20 times the
            longest trial so far, but at least 10 minutes; one hour while no trial is finished).

    Raises:
        DriftproofError: Ray is not installed; there is no cluster at the address, or it has too few cores.
    """

    def __init__(
        self, address: str, workers: int | None = None, threads: int | None = None, timeout_s: float | None = None
    ) -> None:
        self.ray = _ray()
        self._begun = not self.ray.is_initialized()  # a connection of the user's own stays
        if self._begun:
            try:
                with _own_end():
                    self.ray.init(address=address, logging_level="ERROR", log_to_driver=False)
            except (ConnectionError, ValueError, RuntimeError) as error:
                raise DriftproofError(
                    f"cluster {address!r}: {error}; start one with `ray start --head`, and `ray start --address=HEAD` "
                    "on the other nodes, or use the processes of this machine (workers)"
                ) from error
        cores = int(self.ray.cluster_resources().get("CPU", 0))
        threads = 1 if threads is None else threads
        super().__init__(max(1, cores // max(1, threads)) if workers is None else workers, threads, timeout_s)
        if cores < self.threads:
            raise DriftproofError(f"cluster {address!r} has {cores} cores, and a worker wants {self.threads} (threads)")
        actor = self.ray.remote(_Remote)
        self._actor = actor.options(num_cpus=self.threads, scheduling_strategy="SPREAD", max_restarts=0)

    def machine(self) -> dict[str, str]:
        """Return what a record notes about the cluster."""
        nodes = sum(bool(node["Alive"]) for node in self.ray.nodes())
        return super().machine() | {"nodes": str(nodes), "ray": self.ray.__version__}

    def hire(self) -> _Actor:
        """Begin to start an actor, and return at once."""
        actor = self._actor.remote(self.threads)
        return _Actor(ray=self.ray, actor=actor, answer=actor.hello.remote())

    def parcel(self, things: dict[str, Any]) -> Any:
        """Put things into the object store, from which each node takes them once."""
        file = io.BytesIO()
        pack(things, file)
        return self.ray.put(np.frombuffer(file.getbuffer(), dtype=np.uint8))

    def replies(self, timeout_s: float) -> Iterator[tuple[_Actor, Reply | Lost]]:
        """Yield the replies of each worker that says something. Wait for the first one, but not longer than a time."""
        by_answer = {hand.answer: hand for hand in self.hands if hand.answer is not None}
        if not by_answer:
            return
        ready, _ = self.ray.wait(list(by_answer), num_returns=1, timeout=timeout_s)
        for answer in ready:
            hand = by_answer[answer]
            hand.answer = None
            try:
                replies: list[Reply] = self.ray.get(answer)
            except self.ray.exceptions.RayError as error:
                yield hand, Lost(f"was lost ({type(error).__name__}: {str(error).splitlines()[0]})", killed=True)
                continue
            for reply in replies:
                yield hand, reply

    def close(self) -> None:
        """End all workers. The next trials start others, with the same parcels."""
        if self.ray.is_initialized():  # else they ended with the connection
            super().close()

    def __exit__(self, *_: object) -> None:
        """End all workers, and leave the cluster."""
        super().__exit__()
        if self._begun:
            self.ray.shutdown()


@dataclass(eq=False, kw_only=True)
class _Actor(Hand):
    ray: Any
    actor: Any
    answer: Any

    def send(self, parcels: Sequence[Any], task: Task) -> None:
        self.answer = self.actor.work.remote(task, *parcels)

    def stop(self) -> None:
        self.ray.kill(self.actor)


class _Remote:
    """What Ray runs on a node: a worker whose answers travel together."""

    def __init__(self, threads: int) -> None:
        self._worker = Worker(threads)

    def hello(self) -> list[Reply]:
        return [self._worker.hello()]

    def work(self, task: Task, *parcels: npt.NDArray[np.uint8]) -> list[Reply]:
        for parcel in parcels:
            self._worker.take(io.BytesIO(parcel.data))
        return list(self._worker.work(task))


@contextmanager
def _own_end() -> Iterator[None]:
    """Keep this program's answer to SIGTERM, in place of which Ray prints a trace and aborts."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, before or signal.SIG_DFL)


def _ray() -> Any:
    try:
        import ray
    except ImportError as error:
        raise DriftproofError(
            f"a cluster needs Ray ({error}): install driftproof[ray], or use the processes of this machine (workers)"
        ) from error
    return ray
