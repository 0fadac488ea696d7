"""Who computes what, and what follows when workers are lost: workers without processes, which a test can lose."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from io import BytesIO
from itertools import pairwise
from typing import Any

import pytest

from driftproof._errors import DriftproofError, DriftproofWarning
from driftproof._record import Outcome, Record
from driftproof.data import digits
from driftproof.evaluation import Deployment, Evaluator, Trial, ask, run
from driftproof.evaluation import _round as round_module
from driftproof.evaluation._executor import Plan
from driftproof.evaluation._hand import Hand, Lost
from driftproof.evaluation._parcels import pack
from driftproof.evaluation._pool import Pool
from driftproof.evaluation._worker import Failure, Reply, Task, Wanted, Worker
from driftproof.plans import causes, choose_digital_layers, sensitivity
from driftproof.plans._evaluate import evaluate_deployments
from driftproof.zoo import trained_digits_cnn

DATA = digits().head(20)
NOISY, OTHER = Deployment(device="gaussian:0.3"), Deployment(device="gaussian:0.2")
Fault = Callable[[Wanted, Task], Reply | Lost | None]


@dataclass(eq=False)
class Near(Hand):
    """A worker in this process. It says one thing each time that it is asked."""

    worker: Worker = field(default_factory=lambda: Worker(1))
    said: list[Reply | Lost] = field(default_factory=list)
    tasks: list[Task] = field(default_factory=list)
    fault: Fault = lambda wanted, task: None

    def send(self, parcels: Sequence[BytesIO], task: Task) -> None:
        for parcel in parcels:
            parcel.seek(0)
            self.worker.take(parcel)
        self.tasks.append(task)
        for wanted, reply in zip(task.wanted, self.worker.work(task), strict=True):
            if (instead := self.fault(wanted, task)) is not None:
                self.said.append(instead)
                return
            self.said.append(reply)

    def stop(self) -> None:
        self.said.clear()


class NearPool(Pool[Near, BytesIO]):
    def __init__(self, workers: int = 2, fault: Fault = lambda wanted, task: None, starts: Sequence[bool] = ()) -> None:
        super().__init__(workers, 1)
        self.fault, self.starts, self.hired = fault, list(starts), list[Near]()

    def hire(self) -> Near:
        hand = Near(fault=self.fault)
        fails = bool(self.starts) and not self.starts.pop(0)
        hand.said.append(Lost("ended with exit code 1") if fails else hand.worker.hello())
        self.hired.append(hand)
        return hand

    def replies(self, timeout_s: float) -> Iterator[tuple[Near, Reply | Lost]]:
        for hand in list(self.hands):
            if hand.said:
                yield hand, hand.said.pop(0)

    def parcel(self, things: dict[str, Any]) -> BytesIO:
        file = BytesIO()
        pack(things, file)
        return file


def outcomes(trials: Sequence[Trial]) -> Plan[list[Outcome]]:
    return (yield ask(trials))


def evaluator(**settings: Any) -> Evaluator:
    return Evaluator(trained_digits_cnn(), DATA, **settings)


GRID = [Trial(d, chip, t_s) for chip in range(4) for d in (NOISY, OTHER) for t_s in (1.0, 60.0, 3600.0)]


def test_a_worker_keeps_a_chip_over_its_times_and_computes_every_trial_once() -> None:
    pool = NearPool()
    run(outcomes(GRID), evaluator(), executor=pool)
    asked = [[(w.deployment, w.chip) for task in hand.tasks for w in task.wanted] for hand in pool.hired]
    assert sum(len(set(each)) for each in asked) == 8  # no chip is programmed by two workers
    for each in asked:
        assert [chip for place, chip in enumerate(each) if chip not in each[:place]] == list(dict.fromkeys(each))
        changes = sum(one != other for one, other in pairwise(each))
        assert changes == len(set(each)) - 1  # and no worker returns to a chip
    counts = Counter(number for hand in pool.hired for task in hand.tasks for number in (w.number for w in task.wanted))
    assert set(counts.values()) == {1}
    assert len(counts) == len(GRID)


def test_an_idle_worker_takes_over_half_of_what_another_has_left() -> None:
    pool = NearPool(3)
    trials = [Trial(NOISY, 0, float(t_s)) for t_s in range(1, 13)]
    run(outcomes(trials), evaluator(), executor=pool)
    shares = [sum(len(task.wanted) for task in hand.tasks) for hand in pool.hired]
    assert len(shares) == 3
    assert min(shares) >= 2


def test_parcels_travel_once_to_each_worker() -> None:
    pool, one = NearPool(), evaluator()
    run(outcomes(GRID[:6]), one, executor=pool)
    assert len(pool.parcels) == 1
    run(outcomes(GRID), one, executor=pool)
    assert len(pool.parcels) == 1
    run(outcomes([Trial(NOISY.with_changes(seed=1), 0, 1.0)]), one, executor=pool)
    run(outcomes(GRID), one.on(DATA.head(10)), executor=pool)
    assert len(pool.parcels) == 3
    assert len(pool.hired) == 2
    assert all(hand.parcels == 3 for hand in pool.hands)


def test_a_trial_that_loses_every_worker_is_named_and_the_others_are_kept() -> None:
    pool = NearPool(fault=lambda wanted, task: Lost("was killed by SIGKILL", True) if wanted.chip == 3 else None)
    trials = [Trial(NOISY, chip, 1.0) for chip in range(4)]
    with Record.create_or_open(None) as record, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with pytest.raises(
            DriftproofError, match=r"gaussian:0.3, chip 3, 1 s: the worker was killed by SIGKILL, in 4 attempts"
        ):
            run(outcomes(trials), evaluator(), record, executor=pool)
        assert len(list(record.outcomes())) == 3
    said = [str(each.message) for each in caught]
    assert "this is said once" in said[0]
    assert [text.partition(":")[0] for text in said[1:]] == ["a worker was killed by SIGKILL twice at gaussian"] * 2
    assert "further trials take 125 samples at once instead of 250" in said[1]


def test_batches_are_not_halved_where_samples_see_each_other() -> None:
    short = Reply(failure=Failure(MemoryError(), "", True))
    pool, one = NearPool(fault=lambda wanted, task: short), evaluator()
    one._behaviour = replace(one.behaviour, joint=True)
    with pytest.raises(DriftproofError, match=r"chip 0, 1 s: out of memory, and the samples of a batch see each other"):
        run(outcomes(GRID), one, executor=pool)


def test_batches_are_halved_down_to_one_sample() -> None:
    short = Reply(failure=Failure(MemoryError(), "", True))
    pool, sizes = NearPool(1, fault=lambda wanted, task: short), list[int]()
    with pytest.warns(DriftproofWarning) as caught:  # noqa: SIM117
        with pytest.raises(DriftproofError, match=r"chip 0, 1 s: out of memory, and a batch has one sample"):
            run(outcomes(GRID), evaluator(batch_size=20), executor=pool)
    sizes = [task.at_once for hand in pool.hired for task in hand.tasks]
    assert sizes == [20, 10, 5, 3, 2, 1]
    assert len(caught) == 5


def test_a_few_workers_do_all_where_others_do_not_start() -> None:
    pool = NearPool(2, starts=[True, False, False, False, False])
    one = evaluator()
    assert [o.value for o in run(outcomes(GRID), one, executor=pool)] == [o.value for o in run(outcomes(GRID), one)]
    assert len(pool.hands) == 1
    with pytest.raises(DriftproofError, match="no worker starts, in 4 attempts"):
        run(outcomes(GRID), one, executor=NearPool(2, starts=[False] * 4))


def test_a_hanging_worker_is_given_more_time_where_trials_take_long(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(round_module, "monotonic", lambda: now[0])
    hung = NearPool(1)
    limits = []

    def replies(timeout_s: float) -> Iterator[tuple[Near, Reply | Lost]]:
        limits.append(timeout_s)
        for hand in hung.hands:
            if hand.ready and len(hung.hired) == 2:
                hand.said.clear()  # it says nothing
                now[0] += timeout_s
                return
            yield hand, hand.said.pop(0)

    monkeypatch.setattr(hung, "replies", replies)
    hung.longest_s = 100.0
    one = evaluator()
    hung.hired.append(Near())
    with pytest.warns(DriftproofWarning, match="has not finished a trial in 2e[+]03 s"):
        run(outcomes(GRID[:1]), one, executor=hung)
    assert 2000.0 in limits


def test_other_versions_are_refused() -> None:
    pool = NearPool()
    pool.hire = lambda: Near(said=[Reply(versions={"torch": "1.0"})])  # type: ignore[method-assign]
    with pytest.raises(DriftproofError, match=r"a worker has .* None, this process has .*install the same versions"):
        run(outcomes(GRID[:1]), evaluator(), executor=pool)


def test_every_question_has_the_same_answer_with_workers() -> None:
    one, other = evaluator(), Evaluator(trained_digits_cnn(), digits("train").head(20))
    with NearPool() as pool:
        for question in (
            lambda executor: sensitivity(one, NOISY, "1s", chips=1, executor=executor),
            lambda executor: causes(one, NOISY, "1s", chips=2, executor=executor),
            lambda executor: choose_digital_layers(
                one, other, NOISY, "1s", target=90.0, chips=1, report_chips=1, executor=executor
            ),
        ):
            assert question(pool) == question(None)
        assert len(pool.hired) == 2
        asked = {(task.evaluator, w) for hand in pool.hired for task in hand.tasks for w in task.wanted}
        assert {number for number, _ in asked} == {0, 1}
        assert len(asked) > 20


def test_an_evaluation_notes_its_executor_and_takes_the_chips_by_number() -> None:
    kept: dict[str, Any] = {}
    for chips in ("0-1", "2-3", range(4)):
        with (
            NearPool() as pool,
            evaluate_deployments(evaluator(), [NOISY], times="1s", chips=chips, executor=pool) as made,
        ):
            kept[str(chips)] = made.cells().set_index(["preset", "chip"])["value"].to_dict()
            (noted,) = made.runs().values()
            assert noted.machine["workers"] == "2"
    first, second, whole = kept.values()
    assert first | second == whole
    assert len(first) == len(second) == 4
    assert len(whole) == 6


@pytest.mark.parametrize("wrong", ["3-2", "-1", "a-b", "1-", 0, range(2, 2), range(-1, 2), range(0, 4, 2)], ids=str)
def test_impossible_chips_are_refused(wrong: Any) -> None:
    with pytest.raises(DriftproofError, match="chips"):
        evaluate_deployments(evaluator(), [NOISY], times="1s", chips=wrong)
