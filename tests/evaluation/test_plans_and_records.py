"""Plans over the core: outcomes decide what is asked next, a record keeps them, partial cells are extended."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import driftproof as dp
from driftproof._errors import DriftproofError
from driftproof._inputs import call
from driftproof._presets import without
from driftproof._record import CellKey, Outcome, Record
from driftproof._reporting import summarise
from driftproof._reporting.gather import gather
from driftproof.data import TensorData, digits
from driftproof.data._batched import DatasetData
from driftproof.evaluation import Deployment, Evaluator, Metric, Recalibration, Trial, ask, run
from driftproof.evaluation._executor import Plan, Request
from driftproof.evaluation._identity import preset_entries
from driftproof.evaluation._metrics import METRICS
from driftproof.evaluation._score import score
from driftproof.evaluation._trial import NETWORK_ITSELF
from driftproof.periphery import load_periphery
from driftproof.plans import causes, sensitivity
from driftproof.plans._evaluate import evaluate_deployments
from driftproof.zoo import trained_digits_cnn

DATA = digits().head(60)
NOISY = Deployment(device="gaussian:0.3")
SOME = list(range(0, 60, 3))
ALL = ("conv1", "conv2", "fc1", "fc2")


class Counted(Evaluator):
    """An evaluator that notes what it was asked for."""

    calls: list[tuple[Trial, list[int] | None]]

    def __call__(self, trial: Trial, samples: object = None) -> Outcome:
        self.calls = [*getattr(self, "calls", []), (trial, None if samples is None else list(samples))]  # type: ignore[call-overload]
        return super().__call__(trial, samples)  # type: ignore[arg-type]


def counted(**settings: object) -> Counted:
    return Counted(trained_digits_cnn(), DATA, **settings)  # type: ignore[arg-type]


def until_bad(threshold: float, samples: list[int] | None) -> Plan[list[float]]:
    """Ask for one chip after another until one is worse than a threshold."""
    values: list[float] = []
    while True:
        (outcome,) = yield ask([Trial(NOISY, len(values), 1.0)], samples)
        values.append(outcome.value)
        if outcome.value < threshold or len(values) == 20:
            return values


def threshold() -> float:
    """Return a value below the first two chips' and above a later one's, so that the plan stops in the middle."""
    values = run(until_bad(-1.0, SOME), counted())
    return min(values[:3]) if min(values[:3]) > min(values) else min(values) + 1e-9


def test_a_plan_stops_when_an_outcome_tells_it_to() -> None:
    evaluator, limit = counted(), threshold()
    values = run(until_bad(limit, SOME), evaluator)
    assert 1 < len(values) < 20
    assert all(value >= limit for value in values[:-1])
    assert values[-1] < limit
    assert len(evaluator.calls) == len(values)
    assert all(samples == SOME for _, samples in evaluator.calls)


SCRIPT = textwrap.dedent(
    """
    import os, signal, sys
    from driftproof.evaluation import run
    from driftproof._record import Record
    from evaluation.test_plans_and_records import SOME, counted, until_bad
    from driftproof.evaluation import _executor as executor

    folder, limit, killed_after = sys.argv[1], float(sys.argv[2]), int(sys.argv[3])
    finished = 0
    add = Record.add
    def add_and_die(self, *args):
        global finished
        held = add(self, *args)
        if finished == killed_after:  # in the middle of the next transaction
            os.kill(os.getpid(), signal.SIGKILL)
        finished += 1
        return held
    Record.add = add_and_die
    run(until_bad(limit, SOME), counted(), Record.create_or_open(folder), progress=False)
    """
)


def test_killed_continued_and_extended_equals_all_at_once(tmp_path: Path) -> None:
    limit = threshold()
    command = [sys.executable, "-c", SCRIPT, str(tmp_path / "killed"), repr(limit), "2"]
    paths = os.pathsep.join([str(Path(dp.__file__).parents[1]), str(Path(__file__).parents[1])])
    done = subprocess.run(command, env={"PYTHONPATH": paths}, check=False, capture_output=True, text=True)
    assert done.returncode == -9, done.stderr
    with Record.open(tmp_path / "killed") as record:
        assert len(list(record.outcomes())) == 2
    evaluator = counted()
    with Record.create_or_open(tmp_path / "killed") as record:
        partly = run(until_bad(limit, SOME), evaluator, record)
        assert len(evaluator.calls) == len(partly) - 2  # what was finished before the kill is not computed again
        every = len(partly)
        run(_chips(every), evaluator, record)
        rest = [samples for _, samples in evaluator.calls[-every:]]
        assert all(samples == [n for n in range(60) if n % 3] for samples in rest)  # only what was missing
        extended = {key: outcome for key, outcome, _ in record.outcomes()}
    with Record.create_or_open(None) as at_once:
        run(_chips(every), counted(), at_once)
        whole = {key: outcome for key, outcome, _ in at_once.outcomes()}
    _assert_equal(extended, whole)
    assert run(until_bad(limit, SOME), counted()) == partly


def _chips(count: int) -> Plan[None]:
    yield ask(Trial(NOISY, chip, 1.0) for chip in range(count))


def _assert_equal(one: dict[CellKey, Outcome], other: dict[CellKey, Outcome]) -> None:
    assert one.keys() == other.keys()
    for key, outcome in one.items():
        assert outcome.value == other[key].value
        assert (outcome.samples, other[key].samples) == (None, None)
        assert outcome.per_sample is not None
        there = other[key].per_sample
        assert there is not None
        assert np.array_equal(outcome.per_sample, there)


@pytest.mark.parametrize("question", ["plan", "evaluate", "sensitivity", "causes"])
def test_what_stops_between_two_writes_leaves_neither(
    question: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A plan's first trial comes with its run, series and preset; other questions show the whole deployment first."""
    monkeypatch.setattr(Record, "add" if question == "plan" else "show", _interrupted)
    evaluator, hermes = counted(), Deployment(device="pcm-hermes-1")

    def answer() -> None:
        if question == "evaluate":
            evaluate_deployments(evaluator, [NOISY], times="1s", chips=1, out=tmp_path)
            return
        with Record.create_or_open(tmp_path) as record:
            if question == "plan":
                run(until_bad(-1.0, SOME), evaluator, record)
            elif question == "sensitivity":
                sensitivity(evaluator, NOISY, "1s", chips=1, record=record)
            else:
                causes(evaluator, hermes, "1s", chips=1, record=record)

    with pytest.raises(KeyboardInterrupt):
        answer()
    with Record.open(tmp_path) as record:
        assert [record.runs(), record.series(), record.presets(), record.configurations()] == [{}, {}, {}, {}]
        assert record.shown() == []
        assert (record.subject is None) == (question != "plan")


def _interrupted(*_: object) -> None:
    raise KeyboardInterrupt


def test_two_records_merged_equal_one(tmp_path: Path) -> None:
    with Record.create_or_open(tmp_path / "a") as a, Record.create_or_open(tmp_path / "b") as b:
        run(_chips(3), counted(), a)
        run(until_bad(-1.0, SOME), counted(), b)  # partial cells, some of the same chips
        a.merge(b)
        run(_chips(20), counted(), a)
        merged = {key: outcome for key, outcome, _ in a.outcomes()}
    with Record.create_or_open(None) as record:
        run(_chips(20), counted(), record)
        _assert_equal(merged, {key: outcome for key, outcome, _ in record.outcomes()})


def test_another_executor_computes_in_any_order() -> None:
    class Backwards:
        def outcomes(self, evaluator: Evaluator, requests: Sequence[Request]) -> Iterator[tuple[int, Outcome]]:
            for number in reversed(range(len(requests))):
                yield number, evaluator(requests[number].trial, requests[number].samples)

    def values() -> Plan[list[float]]:
        outcomes = yield ask(Trial(NOISY, chip, t_s) for chip in range(3) for t_s in (1.0, 60.0))
        return [outcome.value for outcome in outcomes]

    assert run(values(), counted(), executor=Backwards()) == run(values(), counted())


class Pool:
    """Two worker processes, each with the evaluator: what an executor of more machines has to do."""

    def outcomes(self, evaluator: Evaluator, requests: Sequence[Request]) -> Iterator[tuple[int, Outcome]]:
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(2, context, _take_over, (evaluator,)) as pool:
            futures = {pool.submit(_measure, request): number for number, request in enumerate(requests)}
            for future in as_completed(futures):
                yield futures[future], future.result()


_held: list[Evaluator] = []


def _take_over(evaluator: Evaluator) -> None:
    torch.set_num_threads(1)
    _held.append(evaluator)


def _measure(request: Request) -> Outcome:
    return _held[-1](request.trial, request.samples)


def test_a_pool_of_processes_is_an_executor() -> None:
    deployment = Deployment(device="pcm-nandakumar-2019", periphery="standard", calibration=digits("train").head(20))

    def plan() -> Plan[list[Outcome]]:
        return (yield ask(Trial(deployment, chip, 3600.0) for chip in range(4)))

    evaluator = Evaluator(trained_digits_cnn(), DATA)
    serial = run(plan(), evaluator)
    for one, other in zip(run(plan(), evaluator, executor=Pool()), serial, strict=True):
        assert one.value == other.value
        assert np.array_equal(one.per_sample, other.per_sample)  # type: ignore[arg-type]
        assert one.diagnostics == other.diagnostics


def test_a_trial_does_not_depend_on_what_was_measured_before() -> None:
    inputs = digits("train").head(40)
    mixed = [
        Trial(deployment, chip, t_s, frozenset(layers))
        for deployment in (
            Deployment(device="pcm-nandakumar-2019"),
            Deployment(device="pcm-nandakumar-2019", recalibration=Recalibration(inputs)),
            Deployment(device="pcm-nandakumar-2019", recalibration=Recalibration(inputs, "time")),
            Deployment(device="sonos-agrawal-2022", periphery="standard", calibration=inputs),
            Deployment(device="reram-wan-2022", seed=3, compensation="column"),
            Deployment(device="reram-wan-2022", seed=3, compensation="exact"),
            Deployment(device="reram-wan-2022", seed=4, compensation="exact"),
        )
        for chip, t_s, layers in ((0, 86_400.0, ()), (0, 86_400.0, ("conv1",)), (0, 60.0, ALL))
    ]
    fresh = [_logits(Evaluator, [trial])[0] for trial in mixed]
    recalibrated = [n for n, trial in enumerate(mixed) if trial.deployment and trial.deployment.recalibration]
    between = [place for one in recalibrated for other in recalibrated for place in (one, other, one)]
    for order in (np.random.default_rng(0).permutation(len(mixed)), between):
        found = _logits(Evaluator, [mixed[place] for place in order])
        for place, outputs in zip(order, found, strict=True):
            assert torch.equal(outputs, fresh[place]), str(mixed[place])


def _logits(kind: type[Evaluator], trials: Sequence[Trial]) -> list[Tensor]:
    kept: list[Tensor] = []

    def keep(outputs: Tensor, targets: Tensor) -> float:
        kept.append(outputs.clone())
        return 0.0

    evaluator = kind(trained_digits_cnn(), DATA, Metric.of(keep, name="kept"), batch_size=25)
    for trial in trials:
        evaluator(trial)
    return kept


@pytest.mark.parametrize("backend", ["folded", "tiles"])
@pytest.mark.parametrize(
    "deployment",
    [
        Deployment(device="sonos-agrawal-2022"),  # read noise that is new in every MVM
        Deployment(device="gaussian:0.1", periphery="standard", calibration=DATA),  # output noise
    ],
    ids=["read noise of MVMs", "output noise"],
)
def test_a_sample_has_the_same_noise_in_any_subset(deployment: Deployment, backend: str) -> None:
    found: list[Tensor] = []

    def keep(outputs: Tensor, targets: Tensor) -> float:
        found.append(outputs.clone())
        return 0.0

    evaluator = Evaluator(trained_digits_cnn(), DATA, Metric.of(keep, name="kept"), backend=backend, batch_size=16)
    scattered = [1, 2, 7, 30, 31, 59]
    evaluator(Trial(deployment, 0, 60.0))
    evaluator(Trial(deployment, 0, 60.0), scattered)
    whole, part = found
    assert (whole[scattered] - part).abs().max() <= 1e-5 * whole.abs().max()
    quiet = Deployment(device="gaussian:0.1", periphery=load_periphery("ideal"))
    evaluator(Trial(quiet, 0, 60.0))
    assert (whole - found[-1]).abs().max() > 1e-3 * whole.abs().max()  # there is noise at all


def test_outcomes_say_which_samples_were_right() -> None:
    evaluator, network = counted(), trained_digits_cnn()
    outcome = evaluator(NETWORK_ITSELF)
    with torch.no_grad():
        right = network(DATA.inputs).argmax(dim=1) == DATA.targets
    assert outcome.per_sample is not None
    assert outcome.per_sample.tolist() == right.tolist()
    assert outcome.value == 100 * right.double().mean().item()


def test_numbers_per_sample_of_a_mean() -> None:
    inputs, targets = torch.rand(10, 4), torch.rand(10, 3)
    network = nn.Linear(4, 3)
    evaluator = Evaluator(network, (inputs, targets), "mse", batch_size=4)
    outcome = evaluator(NETWORK_ITSELF)
    with torch.no_grad():
        expected = (network(inputs) - targets).square().mean(dim=1)
        mean = float((network(inputs) - targets).square().mean())
    assert outcome.per_sample is not None
    assert outcome.per_sample.dtype == np.float32
    assert np.allclose(outcome.per_sample, expected.numpy(), rtol=1e-6)
    assert outcome.value == pytest.approx(mean, rel=1e-6)
    half = evaluator(NETWORK_ITSELF, range(5)).joined(evaluator(NETWORK_ITSELF, range(5, 10)))
    assert half.value == pytest.approx(outcome.value, rel=1e-7)


def test_samples_of_several_sizes_have_no_entries_of_their_own() -> None:
    class Shortened(nn.Module):
        """Returns fewer numbers for samples that begin with a zero."""

        def forward(self, x: Tensor) -> Tensor:
            return x[:, :1] if not bool(x[0, 0]) else x

    samples = [(torch.tensor([first, 2.0]), torch.zeros(1 + int(first))) for first in (1.0, 1.0, 0.0, 0.0)]
    network = Shortened()
    data = DatasetData("several sizes", samples)  # type: ignore[arg-type]  # a list is a dataset
    evaluated = score(METRICS["mse"], lambda x, _: call(network, x), data, 2, torch.device("cpu"), "here")
    assert evaluated.per_sample is None
    assert evaluated.value == pytest.approx((1 + 4 + 1 + 4 + 0 + 0) / 6)  # over numbers, not over samples


def test_metrics_that_are_no_mean_over_samples_keep_none_and_are_measured_whole() -> None:
    evaluator = counted(metric="f1")
    with Record.create_or_open(None) as record:
        run(until_bad(-1.0, SOME), evaluator, record)
        before = len(evaluator.calls)
        run(_chips(2), evaluator, record)
        assert [samples for _, samples in evaluator.calls[before:]] == [None, None]
        whole = run(_values(), counted(metric="f1"))
        assert run(_values(), evaluator, record) == whole


def _values() -> Plan[list[float]]:
    outcomes = yield ask(Trial(NOISY, chip, 1.0) for chip in range(2))
    return [outcome.value for outcome in outcomes]


def test_entries_per_sample_of_a_metric_of_ones_own() -> None:
    error = Metric.of(
        lambda outputs, targets: 0.0,
        name="margin",
        per_sample=lambda outputs, targets: outputs.amax(dim=1) - outputs.gather(1, targets[:, None])[:, 0],
        higher_is_better=False,
        lowest=0,
    )
    outcome = Evaluator(trained_digits_cnn(), DATA, error)(NETWORK_ITSELF)
    assert outcome.per_sample is not None
    assert outcome.value == pytest.approx(float(outcome.per_sample.mean()))
    wrong = Metric.of(lambda o, t: 0.0, name="wrong", per_sample=lambda outputs, targets: outputs)
    with pytest.raises(DriftproofError, match=r"one entry per sample, \[60\], got \[60, 10\]"):
        Evaluator(trained_digits_cnn(), DATA, wrong)(NETWORK_ITSELF)


@pytest.mark.parametrize("samples", [[], [60], [-1], [1, 1], [0.5], [True, False]])
def test_impossible_samples_are_refused(samples: list[object]) -> None:
    with pytest.raises(DriftproofError, match="samples: "):
        counted()(NETWORK_ITSELF, np.array(samples) if samples == [True, False] else samples)


def test_diagnostics_stand_in_the_record_and_in_no_identity() -> None:
    deployment = Deployment(device="pcm-nandakumar-2019")
    with Record.create_or_open(None) as record:
        run(_one(Trial(deployment, 0, 86_400.0)), counted(), record)
        (found,) = [(key, outcome) for key, outcome, _ in record.outcomes()]
        factors = found[1].diagnostics["compensation_factor"]
        assert set(factors) == {"conv1", "conv2", "fc1", "fc2"}
        assert all(1.3 < factor < 2.2 for factor in factors.values())  # ten hours of drift at nu of 0.05 to 0.1


def _one(trial: Trial) -> Plan[None]:
    yield ask([trial])


def test_seeds_below_0_are_not_a_users() -> None:
    for seed in (-1, -(1 << 62) - 1):  # training noise's and a validation's
        with pytest.raises(DriftproofError, match="seed: wanted a whole number from 0"):
            evaluate_deployments(counted(), [Deployment(device="gaussian:0.1", seed=seed)], times="1s", chips=1)
        with pytest.raises(DriftproofError, match="seed: wanted a whole number from 0"):
            sensitivity(counted(), Deployment(device="gaussian:0.1", seed=seed), "1s", chips=1)


def test_two_devices_of_one_name_are_refused() -> None:
    other = dp.load_preset("gaussian:0.2").model_copy(update={"name": "gaussian:0.1"})
    deployments = [Deployment(device="gaussian:0.1"), Deployment(device=other)]
    with pytest.raises(DriftproofError, match=r"preset 'gaussian:0.1' with other numbers"):
        evaluate_deployments(counted(), deployments, times="1s", chips=1)
    with pytest.raises(DriftproofError, match="no deployments"):
        evaluate_deployments(counted(), [], times="1s", chips=1)


@pytest.mark.parametrize("yielded", [[], [(0, 10)], [(5, 60)], [(-1, 60)]])
def test_an_executor_that_leaves_something_out_is_told(yielded: list[tuple[int, int]]) -> None:
    class Lazy:
        def outcomes(self, evaluator: Evaluator, requests: Sequence[Request]) -> Iterator[tuple[int, Outcome]]:
            for number, seen in yielded:
                yield number, evaluator(requests[0].trial, range(seen))

    with Record.create_or_open(None) as record:
        run(until_bad(1e9, SOME), counted(), record)  # a partial cell is there already
        with pytest.raises(DriftproofError, match=r"the executor (left out gaussian:0.3, chip 0|yielded number)"):
            run(_chips(1), counted(), record, executor=Lazy())


def test_a_value_beyond_the_metrics_range_is_not_kept() -> None:
    class Wrong:
        def outcomes(self, evaluator: Evaluator, requests: Sequence[Request]) -> Iterator[tuple[int, Outcome]]:
            yield 0, Outcome(value=150.0, total=60)

    with pytest.raises(DriftproofError, match="accuracy is 150"):
        run(_chips(1), counted(), executor=Wrong())


@pytest.mark.parametrize("metric", ["accuracy", "f1"])
def test_one_trial_on_several_samples_in_one_request(metric: str) -> None:
    def plan() -> Plan[list[int]]:
        trial = Trial(NOISY, 0, 1.0)
        outcomes = yield ask([trial], range(10)) + ask([trial], range(5, 20)) + ask([trial], range(3))
        return [outcome.seen for outcome in outcomes]

    evaluator = counted(metric=metric)
    assert run(plan(), evaluator) == [20, 20, 20]
    assert [samples for _, samples in evaluator.calls] == [list(range(20))]


def test_a_plan_may_yield_any_iterable_of_trials() -> None:
    def plan() -> Any:
        (first,) = yield (Trial(NOISY, chip, 1.0) for chip in range(1))
        return first.value

    assert run(plan(), counted()) == run(_values(), counted())[0]
    for wrong, message in (([Trial(NOISY)], "wanted a generator"), (plan, "wanted a generator")):
        with pytest.raises(DriftproofError, match=message):
            run(wrong, counted())  # type: ignore[arg-type]

    def nonsense() -> Any:
        yield ["a"]

    with pytest.raises(DriftproofError, match="a plan asked for a str"):
        run(nonsense(), counted())


def test_what_a_plan_of_ones_own_measured_is_shown() -> None:
    with Record.create_or_open(None) as record:
        run(_chips(2), counted(), record)
        cells = record.cells()
        assert cells["preset"].tolist() == ["gaussian:0.3", "gaussian:0.3"]
        assert set(record.presets()) == {"gaussian:0.3"}


def test_causes_are_exported_and_not_reported() -> None:
    with Record.create_or_open(None) as record:
        causes(counted(), Deployment(device="gaussian:0.3"), "1s", chips=2, record=record)
        assert "gaussian:0.3 [without programming]" in set(record.cells()["preset"])
        assert set(summarise(record)["preset"]) == {"digital", "gaussian:0.3"}
        assert set(gather(record).cells["preset"]) == {"digital", "gaussian:0.3"}
        # unless somebody evaluates one of them as a device
        only = without(dp.load_preset("gaussian:0.3"), "programming")
        for entry in preset_entries(only):
            record.add_preset(entry)
        assert "gaussian:0.3 [without programming]" in set(summarise(record)["preset"])


def test_a_label_stays_if_a_later_command_has_none(tmp_path: Path) -> None:
    evaluate_deployments(counted(), [NOISY], times="1s", chips=1, out=tmp_path, label="mine").close()
    with Record.create_or_open(tmp_path) as record:
        sensitivity(counted(), NOISY, "1s", chips=1, record=record)
        assert {item.label for item in record.configurations().values()} == {"mine"}


def test_what_sentences_call_a_metric_is_in_no_identity(tmp_path: Path) -> None:
    def metric(words: str) -> Metric:
        return Metric.of(lambda o, t: float((o.argmax(1) == t).double().mean()), name="mine", words=words)

    keys = []
    for words in ("my accuracy", "My accuracy"):
        made = Evaluator(trained_digits_cnn(), DATA, metric(words))
        with evaluate_deployments(made, [NOISY], times="1s", chips=1, out=tmp_path) as record:
            keys.append(list(record.configurations()))
    assert keys[0] == keys[1]


def test_other_right_samples_under_the_same_accuracy_are_noticed() -> None:
    data = TensorData("two", torch.eye(2).repeat(10, 1), torch.tensor([0, 1]).repeat(10))

    class Half(nn.Module):
        side = 0

        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(2, 2, bias=False)
            nn.init.eye_(self.layer.weight)

        def forward(self, x: Tensor) -> Tensor:
            # right on one class only: on the other after the code has changed
            return self.layer(x) * 0 + torch.eye(2)[Half.side]  # type: ignore[no-any-return]

    with Record.create_or_open(None) as record:
        run(_one(NETWORK_ITSELF), Evaluator(Half(), data), record)
        Half.side = 1
        with pytest.raises(DriftproofError, match=r"digital accuracy in % of 50.00, now it comes from other samples"):
            run(_one(Trial(Deployment(device="ideal"), 0, 1.0)), Evaluator(Half(), data), record)


def test_the_tiles_backend_says_that_it_cannot_take_layers_off() -> None:
    with pytest.raises(DriftproofError, match=r"tiles backend cannot take fc1 off.*folded"):
        dp.Evaluator(trained_digits_cnn(), DATA, backend="tiles")(Trial(NOISY, 0, 1.0, frozenset({"fc1"})))


def test_a_record_whose_network_computes_something_else_is_not_continued() -> None:
    class Changed(nn.Module):
        flipped = False

        def __init__(self) -> None:
            super().__init__()
            self.network = trained_digits_cnn()

        def forward(self, x: Tensor) -> Tensor:
            outputs: Tensor = self.network(x)
            return -outputs if Changed.flipped else outputs

    with Record.create_or_open(None) as record:
        run(_one(NETWORK_ITSELF), Evaluator(Changed(), DATA), record)
        Changed.flipped = True
        with pytest.raises(DriftproofError, match="the network's code, its data or the metric have changed"):
            run(_one(Trial(NOISY, 0, 1.0)), Evaluator(Changed(), DATA), record)
