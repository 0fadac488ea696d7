"""Workers of a Ray cluster compute the cells of one process, also when a node of the cluster is lost."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

from driftproof._errors import DriftproofError, DriftproofWarning
from driftproof._record import Outcome, Record
from driftproof.data import digits
from driftproof.evaluation import Deployment, Evaluator, RayCluster, Trial, ask, run
from driftproof.evaluation._executor import Plan, Request
from driftproof.zoo import trained_digits_cnn
from evaluation import faulty
from evaluation.faulty import Faulty

ray = pytest.importorskip("ray")
DATA = digits().head(60)
NOISY = Deployment(device="gaussian:0.3")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Two nodes with a core each, which are processes on this machine."""
    from ray.cluster_utils import Cluster

    os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "PYTHONPATH": os.pathsep.join(sys.path)}
    memory = 100 * 1024**2
    nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "object_store_memory": memory})
    nodes.add_node(num_cpus=1, object_store_memory=memory)
    yield nodes
    nodes.shutdown()


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def chips(count: int) -> Plan[list[Outcome]]:
    return (yield ask(Trial(NOISY, chip, t_s) for chip in range(count) for t_s in (1.0, 60.0)))


def assert_same(some: list[Outcome], others: list[Outcome]) -> None:
    for one, other in zip(some, others, strict=True):
        assert one.value == other.value
        assert np.array_equal(one.per_sample, other.per_sample)  # type: ignore[arg-type]


def test_cells_are_those_of_one_process_and_a_mistake_is_raised(cluster: Any) -> None:
    evaluator = Evaluator(trained_digits_cnn(), DATA)
    with RayCluster(cluster.address) as executor, Record.create_or_open(None) as record:
        assert executor.workers == 2
        assert_same(run(chips(4), evaluator, record, executor=executor), run(chips(4), evaluator))
        (noted,) = record.runs().values()
        assert (noted.machine["nodes"], noted.machine["workers"], noted.machine["threads"]) == ("2", "2", "1")
        with pytest.raises(DriftproofError, match=r"chip 0, 1 (s|min): the network fails on .*not on my watch"):
            run(chips(1), Evaluator(Faulty(faulty.fail), DATA), executor=executor)
    assert not ray.is_initialized()


def test_what_a_lost_node_was_computing_is_computed_again(cluster: Any) -> None:
    evaluator = Evaluator(Faulty(faulty.be_slow), DATA)
    nodes = [cluster.add_node(num_cpus=1, object_store_memory=100 * 1024**2)]
    trials = [Request(Trial(NOISY, chip, t_s)) for chip in range(12) for t_s in (1.0, 60.0)]

    def outcomes(executor: RayCluster) -> Iterator[tuple[int, Outcome]]:
        """Yield all outcomes, and lose a node when all workers are at work."""
        assert executor.workers == 3
        for number, outcome in executor.outcomes(evaluator, trials):
            yield number, outcome
            if nodes and len(executor.hands) == 3 and all(hand.ready for hand in executor.hands):
                cluster.remove_node(nodes.pop(), allow_graceful=False)

    with RayCluster(cluster.address) as executor, pytest.warns(DriftproofWarning, match="a worker was lost"):
        found = list(outcomes(executor))
    assert nodes == []
    assert sorted(number for number, _ in found) == list(range(len(trials)))
    assert_same([dict(found)[number] for number in range(len(trials))], run(chips(12), evaluator))


def test_a_cluster_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def init(**_: object) -> None:
        raise ConnectionError("no head at this address")

    monkeypatch.setattr(ray, "init", init)
    with pytest.raises(DriftproofError, match=r"cluster 'auto': no head at this address; start one with `ray start"):
        RayCluster("auto")
