"""The choice of an executor: this process, worker processes, or a cluster."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from driftproof._errors import DriftproofError
from driftproof.evaluation._executor import Executor, Serial
from driftproof.evaluation._processes import Processes
from driftproof.evaluation._ray_cluster import RayCluster


@contextmanager
def executor_for(
    workers: int | None = None,
    cluster: str | None = None,
    threads: int | None = None,
    timeout_s: float | None = None,
) -> Iterator[Executor]:
    """Yield an executor, and end its workers with the block.

    Args:
        workers: Number of workers (default: this process alone, or as many as a cluster has cores for).
        cluster: Address of a Ray cluster, or ``auto`` (default: this machine).
        threads: Number of threads of each worker.
        timeout_s: Time in s after which a worker that has not finished a trial is replaced.

    Raises:
        DriftproofError: Threads or a time-out without workers; what :class:`Processes` and :class:`RayCluster` raise.

    >>> with executor_for() as executor:
    ...     type(executor).__name__
    'Serial'
    """
    if cluster is not None:
        with RayCluster(cluster, workers, threads, timeout_s) as actors:
            yield actors
    elif workers is not None:
        with Processes(workers, threads, timeout_s) as processes:
            yield processes
    elif threads is not None or timeout_s is not None:
        raise DriftproofError("threads and a time-out are those of workers: ask for workers or a cluster")
    else:
        yield Serial()
