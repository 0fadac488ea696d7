"""What do worker processes and Ray actors gain, what do they cost, and what does a lost node lose? See README.md.

    python experiments/executors/run.py [speed] [overhead] [lost]

The network of `speed` is ResNet-20, on 2,000 random images of CIFAR's shape. One and two workers alternate. Each pair
of runs adds a line to speed.csv, so that a stopped script goes on; `--repeats` counts the lines of earlier calls.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import nn

from driftproof import Record
from driftproof.data import digits
from driftproof.evaluation import Deployment, Evaluator, Processes, RayCluster, Trial, ask, run
from driftproof.zoo import resnet20, trained_digits_cnn

HERE = Path(__file__).parent
DAY = 86400.0
DEPLOYMENT = Deployment(device="pcm-nandakumar-2019")
TIMES_S = (1.0, 3600.0, DAY)


def cells(chips: range, times_s: tuple[float, ...] = (DAY,)) -> Generator[Any, Any, list[Any]]:
    outcomes: list[Any] = yield ask(Trial(DEPLOYMENT, chip, t_s) for chip in chips for t_s in times_s)
    return outcomes


@contextmanager
def local_cluster(nodes: int = 2) -> Iterator[Any]:
    """Start nodes with one core each, which are processes on this machine."""
    from ray.cluster_utils import Cluster

    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    settings = {"num_cpus": 1, "object_store_memory": 200 * 1024**2}
    cluster = Cluster(initialize_head=True, head_node_args=settings)
    for _ in range(nodes - 1):
        cluster.add_node(**settings)
    try:
        yield cluster
    finally:
        cluster.shutdown()


def timed(evaluator: Evaluator, chips: range, **settings: Any) -> tuple[float, float, list[Any]]:
    """Return the seconds of a run, those of them in which this process computed, and the outcomes."""
    start, cpu = time.perf_counter(), time.process_time()
    outcomes = run(cells(chips, settings.pop("times_s", (DAY,))), evaluator, **settings)
    return time.perf_counter() - start, time.process_time() - cpu, outcomes


def speed(arguments: argparse.Namespace) -> None:
    """Compare two workers with one, both with one thread each, warm, in turn."""
    torch.manual_seed(0)
    data = (torch.randn(arguments.images, 3, 32, 32), torch.randint(10, (arguments.images,)))
    evaluator, chips = Evaluator(resnet20(), data), arguments.chips
    with (
        local_cluster() as cluster,
        RayCluster(cluster.address, workers=2) as ray_two,
        RayCluster(cluster.address, workers=1) as ray_one,
        Processes(1, threads=1) as one,
        Processes(2, threads=1) as two,
    ):
        pairs: dict[str, tuple[Any, Any]] = {"processes": (one, two), "Ray": (ray_one, ray_two)}
        while len(held := results("speed")) < arguments.repeats * len(pairs):
            name = list(pairs)[len(held) % len(pairs)]
            took, busy = [], []
            for executor in pairs[name]:
                while sum(hand.ready for hand in executor.hands) < executor.workers:  # all of them have started
                    run(cells(range(2)), evaluator, executor=executor)
                wall, _, outcomes = timed(evaluator, range(chips), executor=executor)
                took.append(wall)
                busy.append(sum(outcome.seconds for outcome in outcomes) / (executor.workers * wall))
                executor.close()  # actors of the other pool need its cores
            row = {"one_s": took[0], "two_s": took[1], "ratio": took[0] / took[1], "busy": busy[1]}
            keep("speed", executor=name, chips=chips, **row)


def overhead(arguments: argparse.Namespace) -> None:
    """Measure the time of a cell beyond its own computation, for a network that takes next to no time."""
    data = (torch.randn(8, 4), torch.randint(2, (8,)))
    evaluator = Evaluator(nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2)), data)
    with local_cluster(1) as cluster, RayCluster(cluster.address) as ray_one, Processes(1, threads=1) as one:
        for name, executor in {"serial": None, "processes": one, "Ray": ray_one}.items():
            run(cells(range(20)), evaluator, executor=executor)
            for kept in ("memory", "file"):
                for _ in range(arguments.repeats):
                    with tempfile.TemporaryDirectory() as folder:
                        record = Record.create_or_open(folder if kept == "file" else None)
                        wall, cpu, outcomes = timed(
                            evaluator, range(100), record=record, executor=executor, times_s=TIMES_S
                        )
                        record.close()
                    own = sum(outcome.seconds for outcome in outcomes)
                    driver = cpu - own if executor is None else cpu
                    costs = {"cell_ms": own, "overhead_ms": wall - own, "driver_cpu_ms": driver}
                    row = {cost: 1000 * each / len(outcomes) for cost, each in costs.items()}
                    keep("overhead", executor=name, record=kept, **row)


def lost(_: argparse.Namespace) -> None:
    """Kill one of two nodes in the middle of a run, then continue the record without Ray."""
    evaluator = Evaluator(trained_digits_cnn(), digits())
    with tempfile.TemporaryDirectory() as folder, local_cluster() as cluster:
        (node,) = [each for each in cluster.list_all_nodes() if each is not cluster.head_node]
        with Record.create_or_open(folder) as record, RayCluster(cluster.address) as executor:
            add, added = record.add, []

            def add_and_kill(*given: Any) -> Any:
                added.append(given)
                if len(added) == 90:
                    cluster.remove_node(node, allow_graceful=False)
                return add(*given)

            record.add = add_and_kill  # type: ignore[method-assign, assignment]
            run(cells(range(80), TIMES_S), evaluator, record, executor=executor)
            found = {key: outcome for key, outcome, _ in record.outcomes()}
        with Record.create_or_open(folder) as record:
            run(cells(range(100), TIMES_S), evaluator, record)
            continued = {key: outcome for key, outcome, _ in record.outcomes()}
    with Record.create_or_open(None) as record:
        run(cells(range(100), TIMES_S), evaluator, record)
        serial = {key: outcome for key, outcome, _ in record.outcomes()}
    again = sum("attempts" in outcome.diagnostics for outcome in found.values())
    same = sum(serial[key].value == outcome.value for key, outcome in continued.items())
    keep("lost", cells=len(found), computed_again=again, after_continuing=len(continued), equal_to_serial=same)


def results(question: str) -> pd.DataFrame:
    path = HERE / f"{question}.csv"
    return pd.read_csv(path) if path.exists() else pd.DataFrame()


def keep(question: str, **row: Any) -> None:
    """Add a line to a table, with the load of the machine."""
    row = {name: round(value, 4) if isinstance(value, float) else value for name, value in row.items()}
    table = pd.concat([results(question), pd.DataFrame([row | {"load": round(os.getloadavg()[0], 2)}])])
    table.to_csv(HERE / f"{question}.csv", index=False)
    print(question, row, flush=True)


def main() -> None:
    questions = {"speed": speed, "overhead": overhead, "lost": lost}
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("questions", nargs="*", choices=[*questions, []], default=list(questions))
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--chips", type=int, default=8)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    for question in arguments.questions:
        questions[question](arguments)
    for name, group in results("speed").groupby("executor") if len(results("speed")) else ():
        print(f"{name}: {statistics.median(group['ratio']):.2f} times as fast with two workers")


if __name__ == "__main__":
    main()
