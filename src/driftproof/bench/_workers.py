"""Chips per second against the number of worker processes, with one thread each."""

from __future__ import annotations

import dataclasses
import inspect
import statistics
import time
from typing import Any

from driftproof.bench._cells import DEVICE
from driftproof.bench._networks import Workload
from driftproof.bench._paired import ratio
from driftproof.plans import evaluate

WORKERS = (1, 2)


def chips_per_second(of: Workload, chips: int, rounds: int) -> tuple[list[dict[str, Any]], str]:
    """Return a row for each number of workers, and why there are none (else an empty text).

    The time is the difference of two evaluations, of ``chips`` more chips for every worker: starting the processes and
    the cells of the digital network do not count. The numbers of workers take turns.

    Args:
        of: The network and its inputs.
        chips: Number of further chips for each worker.
        rounds: Number of measurements of each number of workers.
    """
    if "workers" not in inspect.signature(evaluate).parameters:
        return [], "evaluate has no option workers in this version"
    _seconds(of, 1, WORKERS[0])  # what this process does once
    rates: dict[int, list[float]] = {workers: [] for workers in WORKERS}
    for _ in range(rounds):
        for workers in WORKERS:
            few, many = workers, workers * (1 + chips)
            seconds = _seconds(of, many, workers) - _seconds(of, few, workers)
            if seconds <= 0:
                return [], f"{many} chips took no longer than {few}: the machine is too busy, or the inputs are too few"
            rates[workers].append((many - few) / seconds)
    one = rates[WORKERS[0]]
    return [
        {
            "workers": workers,
            "chips_per_second": statistics.median(found),
            "runs": rounds,
            "to_one": dataclasses.asdict(ratio(found, one)),
        }
        for workers, found in rates.items()
    ], ""


def _seconds(of: Workload, chips: int, workers: int) -> float:
    options: dict[str, Any] = {"workers": workers}
    if "threads" in inspect.signature(evaluate).parameters:
        options["threads"] = 1
    start = time.perf_counter()
    data = of.inputs, of.targets
    record = evaluate(
        of.network, data, presets=DEVICE, times="1d", chips=chips, metric=of.metric, progress=False, **options
    )
    record.close()
    return time.perf_counter() - start
