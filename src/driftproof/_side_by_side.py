"""Compute parts of a batch side by side: one part in each of torch's threads.

torch splits every operation over its threads, and waits for the slowest of them at the end of each. A small operation
costs more time for that than for its work, many times more if another process has one of the cores. Parts need no such
waits: each thread takes one part through the whole network, and its activations stay in the cache of its core.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Lock

import torch

_pools: dict[tuple[int, int], ThreadPoolExecutor] = {}
_making = Lock()


def side_by_side[Part, Result](compute: Callable[[Part], Result], parts: Iterable[Part]) -> list[Result]:
    """Return ``compute(part)`` for each part, in their order, as many at once as torch has threads.

    ``compute`` must not depend on modes of the calling thread other than gradients being off, nor change anything that
    its other calls use.

    >>> side_by_side(lambda part: part + 1, [1, 2, 3])
    [2, 3, 4]
    """
    parts, threads = list(parts), torch.get_num_threads()
    if threads == 1 or len(parts) < 2:
        return [compute(part) for part in parts]

    def run(part: Part) -> Result:
        with torch.no_grad():
            return compute(part)

    return list(_pool(threads).map(run, parts))


def _pool(threads: int) -> ThreadPoolExecutor:
    """Return a pool of threads in which torch uses one thread each; the settings of other threads stay."""
    key = os.getpid(), threads  # a forked process has the pool, but not its threads
    with _making:
        if key not in _pools:
            pool, started = ThreadPoolExecutor(threads, "driftproof"), Barrier(threads)

            def start(_: int) -> None:
                torch.set_num_threads(1)
                torch.get_num_threads()  # a thread takes over the number at its first use of it
                started.wait()

            list(pool.map(start, range(threads)))
            torch.set_num_threads(threads)  # new threads take the number that was set last, in any thread
            _pools[key] = pool
        return _pools[key]
