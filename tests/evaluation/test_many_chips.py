"""Many chips in one pass: what one chip alone computes, whatever comes beside it, or one at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from driftproof._chip import Chip
from driftproof._errors import DriftproofError, DriftproofWarning
from driftproof._mapping import map_model
from driftproof._presets import load_preset
from driftproof._record import Outcome, Record
from driftproof.data import digits
from driftproof.evaluation import Deployment, Evaluator, Recalibration, Trial, ask, run
from driftproof.evaluation import _many_chips as many_chips
from driftproof.evaluation._executor import Plan, Request, computed
from driftproof.evaluation._folded import FoldedNetwork
from driftproof.evaluation._many_chips import AGREEMENT_ALONE, MEMORY_BYTES, ManyChips
from driftproof.zoo import resnet20, trained_digits_cnn

DATA = digits().head(60)
PCM, GAUSSIAN = "pcm-nandakumar-2019", "gaussian:0.2"
FIVE = 5


class Residual(nn.Module):
    """A BatchNorm that folds, one that does not, and a branch."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.again, self.other = nn.Conv2d(4, 4, 3, padding=1, groups=2), nn.BatchNorm2d(4)
        self.head = nn.Linear(4, 10)
        self.norm.running_var.fill_(0.5)  # type: ignore[union-attr]

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.norm(self.conv(x)))
        outputs: Tensor = self.head(F.relu(self.other(x + self.again(x))).mean((2, 3)))
        return outputs


class Tokens(nn.Module):
    """A transformer's layer over the rows of an image."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        self.head = nn.Linear(8, 10)

    def forward(self, x: Tensor) -> Tensor:
        outputs: Tensor = self.head(self.layer(x[:, 0]).mean(1))
        return outputs


def perceptron() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "cnn": trained_digits_cnn,
    "mlp": perceptron,
    "residual": Residual,
    "transformer": Tokens,
}


def seeded(make: Callable[[], nn.Module]) -> nn.Module:
    torch.manual_seed(0)
    return make().eval()


def images(count: int) -> Tensor:
    inputs, _ = next(iter(DATA.batches(count)))
    assert isinstance(inputs, Tensor)
    return inputs


def folded(model: nn.Module, x: Tensor) -> tuple[FoldedNetwork, Callable[[int], Chip]]:
    mapping = map_model(model, example=x)
    pcm = load_preset(PCM)
    return FoldedNetwork(model, mapping, x), lambda number: Chip(mapping, pcm, seed=0, chip=number)


def passes(
    network: FoldedNetwork, chip: Callable[[int], Chip], numbers: list[int], x: Tensor, most: int
) -> list[Tensor]:
    """Return the outputs of some chips in one pass of ``most`` chips."""
    many = ManyChips(network, most)
    for place, number in enumerate(numbers):
        network.load(chip(number), 3600.0)
        many.take(place)
    outputs: list[Tensor] = many(x)[: len(numbers)]
    return outputs


@pytest.mark.parametrize("name", NETWORKS)
def test_many_chips_compute_what_each_computes_alone(name: str) -> None:
    x = images(12)
    network, chip = folded(seeded(NETWORKS[name]), x)
    together = passes(network, chip, list(range(FIVE)), x, FIVE)
    for number, outputs in enumerate(together):
        network.load(chip(number), 3600.0)
        alone = network(x)
        assert float((outputs - alone).abs().max()) <= AGREEMENT_ALONE * float(alone.abs().max())
    assert not torch.equal(together[0], together[1])


def test_a_residual_network_of_twenty_layers_agrees_too() -> None:
    x = torch.rand(6, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    network, chip = folded(seeded(resnet20), x)
    assert network.norms  # the BatchNorms are folded
    network.load(chip(1), 3600.0)
    alone = network(x)
    (_, outputs) = passes(network, chip, [0, 1], x, 2)
    assert float((outputs - alone).abs().max()) <= AGREEMENT_ALONE * float(alone.abs().max())


@pytest.mark.parametrize("name", NETWORKS)
def test_outputs_depend_neither_on_the_place_nor_on_the_chips_beside_it(name: str) -> None:
    x = images(12)
    network, chip = folded(seeded(NETWORKS[name]), x)
    first, *_ = passes(network, chip, [7], x, 8)
    for numbers in ([7, 1, 2], [3, 4, 5, 7], list(range(8))):
        assert torch.equal(passes(network, chip, numbers, x, 8)[numbers.index(7)], first)


def test_inputs_stay_as_they_are_where_the_network_writes_into_its_own() -> None:
    class Writes(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(64, 10)

        def forward(self, x: Tensor) -> Tensor:
            outputs: Tensor = self.fc(x.mul_(2).flatten(1))
            return outputs

    x = images(12)
    before = x.clone()
    network, chip = folded(seeded(Writes), x)
    network.load(chip(0), 3600.0)
    alone = network(x)
    assert torch.allclose(passes(network, chip, [0, 1], x, 2)[0], alone, rtol=0, atol=1e-5)
    assert torch.equal(x, before)


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Let a CPU compute eight chips at once; return the numbers of trials that were computed in one pass."""
    monkeypatch.setattr(many_chips, "chips_at_once", lambda *_: 8)
    taken: list[int] = []
    call = ManyChips.__call__

    def noting(self: ManyChips, inputs: Any) -> list[Any]:
        taken.append(self.number)
        return call(self, inputs)

    monkeypatch.setattr(ManyChips, "__call__", noting)
    return taken


def trials(deployments: list[Deployment], chips: int = 2) -> list[Trial]:
    return [Trial(d, chip, t_s) for chip in range(chips) for d in deployments for t_s in (1.0, 3600.0, 86400.0)]


def outcomes(evaluator: Evaluator, asked: list[Trial], samples: Any = None) -> list[Outcome]:
    return [outcome for _, outcome in computed(evaluator, [Request(trial, samples) for trial in asked])]


def test_outcomes_are_those_of_one_trial_after_the_other(at_once: list[int]) -> None:
    evaluator = Evaluator(trained_digits_cnn(), DATA, batch_size=25)
    asked = [Trial(None), *trials([Deployment(device=PCM), Deployment(device=GAUSSIAN)]), Trial(None)]
    together = outcomes(evaluator, asked)
    assert len(at_once) == 1 + 2 * 3  # the check on the example; 12 trials in two groups, of 3 batches each
    for trial, outcome in zip(asked, together, strict=True):
        alone = evaluator(trial)
        assert (outcome.value, outcome.total, outcome.samples) == (alone.value, alone.total, alone.samples)
        assert outcome.per_sample is not None
        assert alone.per_sample is not None
        assert np.array_equal(outcome.per_sample, alone.per_sample)
        assert outcome.diagnostics == alone.diagnostics
        assert outcome.in_validity == alone.in_validity
        assert outcome.seconds > 0
    assert len({outcome.value for outcome in together}) > 2


def test_some_samples_and_a_metric_of_numbers_agree_within_rounding(at_once: list[int]) -> None:
    inputs = images(60)
    targets = F.one_hot(torch.arange(60) % 10, 10).float()
    evaluator = Evaluator(trained_digits_cnn(), (inputs, targets), "mse", batch_size=25)
    samples = np.arange(0, 60, 7)
    asked = trials([Deployment(device=PCM)])
    for trial, outcome in zip(asked, outcomes(evaluator, asked, samples), strict=True):
        alone = evaluator(trial, samples)
        assert np.array_equal(outcome.samples, samples)  # type: ignore[arg-type]
        assert outcome.per_sample is not None
        assert alone.per_sample is not None
        assert np.allclose(outcome.per_sample, alone.per_sample, rtol=1e-4)
    assert at_once


def _chips(count: int, samples: Any = None) -> Plan[None]:
    yield ask(trials([Deployment(device=PCM)], count), samples)


@pytest.mark.parametrize("metric", ["accuracy", "mse"])
def test_a_run_that_stopped_in_a_group_gives_the_same_cells_bit_for_bit(
    metric: str, at_once: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    targets = torch.arange(60) % 10 if metric == "accuracy" else F.one_hot(torch.arange(60) % 10, 10).float()
    evaluator = Evaluator(trained_digits_cnn(), (images(60), targets), metric)
    with Record.create_or_open(None) as whole:
        run(_chips(2), evaluator, whole)
        wanted = {key: outcome for key, outcome, _ in whole.outcomes()}
    add = Record.add
    with Record.create_or_open(None) as record:
        for stop in (3, 2):  # one trial is left
            left = stop

            def add_some(self: Record, *args: Any) -> Outcome:
                nonlocal left
                left -= 1
                if left < 0:
                    raise KeyboardInterrupt
                return add(self, *args)

            monkeypatch.setattr(Record, "add", add_some)
            with pytest.raises(KeyboardInterrupt):
                run(_chips(2), evaluator, record)
            monkeypatch.setattr(Record, "add", add)
        assert len(list(record.outcomes())) == 5
        run(_chips(2), evaluator, record)
        continued = {key: outcome for key, outcome, _ in record.outcomes()}
    assert at_once
    assert continued.keys() == wanted.keys()
    for key, outcome in continued.items():
        assert outcome.value == wanted[key].value
        assert np.array_equal(outcome.per_sample, wanted[key].per_sample)  # type: ignore[arg-type]


def test_the_trial_with_an_output_that_is_nan_is_named_after_the_outcomes_before_it(
    at_once: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluator = Evaluator(trained_digits_cnn(), DATA)
    asked = trials([Deployment(device=PCM)])
    take = ManyChips.take

    def breaking(self: ManyChips, place: int) -> None:
        take(self, place)
        if place == 2 and self.network.alphas:  # not in the check with exact weights
            next(iter(self._stacks.values()))[place].fill_(torch.nan)

    monkeypatch.setattr(ManyChips, "take", breaking)
    measured = computed(evaluator, [Request(trial) for trial in asked])
    assert [next(measured)[0], next(measured)[0]] == [0, 1]
    with pytest.raises(DriftproofError, match=r"pcm-nandakumar-2019, chip 0, 1 d: the outputs of 60 of 60 samples"):
        next(measured)


def test_a_pass_that_fails_is_computed_again_one_trial_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(many_chips, "chips_at_once", lambda *_: 8)
    evaluator, call, failures = Evaluator(trained_digits_cnn(), DATA, batch_size=25), ManyChips.__call__, 0

    def failing(self: ManyChips, inputs: Any) -> list[Any]:
        nonlocal failures
        if len(inputs) == 10:  # the last batch
            failures += 1
            raise torch.OutOfMemoryError("no memory")
        return call(self, inputs)

    monkeypatch.setattr(ManyChips, "__call__", failing)
    asked = trials([Deployment(device=PCM)], 1)
    with pytest.warns(DriftproofWarning, match="chips in one pass fail .*no memory.*one at a time"):
        found = outcomes(evaluator, asked)
    assert failures == 1
    assert [outcome.value for outcome in found] == [evaluator(trial).value for trial in asked]


def test_a_noisy_neighbour_changes_no_outcome(at_once: list[int]) -> None:
    targets = F.one_hot(torch.arange(60) % 10, 10).float()
    evaluator = Evaluator(trained_digits_cnn(), (images(60), targets), "mse")
    noisy = Deployment(device=PCM, read_outs="fast=mvm")
    asked = trials([Deployment(device=PCM), noisy, Deployment(device=GAUSSIAN)], 1)
    together = outcomes(evaluator, asked)
    assert len(at_once) == 1 + 2  # the check, and those before and behind the noisy ones
    for trial, outcome in zip(asked, together, strict=True):
        (beside_none,) = outcomes(evaluator, [trial])
        assert outcome.value == beside_none.value


def test_an_error_comes_after_the_outcomes_before_it(at_once: list[int]) -> None:
    evaluator = Evaluator(trained_digits_cnn(), DATA)
    deployment = Deployment(device=PCM)
    asked = [Trial(deployment, 0, 1.0), Trial(deployment, 1, 1.0), Trial(deployment, 2, 1.0, frozenset(["nothing"]))]
    measured = computed(evaluator, [Request(trial) for trial in asked])
    assert [next(measured)[0], next(measured)[0]] == [0, 1]
    with pytest.raises(DriftproofError, match="no layer 'nothing' is on tiles"):
        next(measured)
    assert len(at_once) == 2


class Looks(nn.Module):
    """Its path depends on numbers that the weights make."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        outputs: Tensor = self.fc(x.flatten(1))
        return outputs if float(outputs.detach().abs().max()) < 1e9 else outputs / 2


class Shared(nn.Module):
    """The samples of a batch see each other."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        outputs: Tensor = self.fc(x.flatten(1))
        return outputs - outputs.mean(0)


class Standardised(nn.Linear):
    """Its code computes the weight from its parameter."""

    def __init__(self) -> None:
        super().__init__(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x.flatten(1), self.weight - self.weight.mean(), self.bias)


DECLINED: dict[str, tuple[Callable[[], nn.Module], dict[str, Any]]] = {
    "converters": (trained_digits_cnn, {"periphery": "standard"}),
    "recalibration": (trained_digits_cnn, {"recalibration": Recalibration(DATA)}),
    "noise in every MVM": (trained_digits_cnn, {"read_outs": "fast=mvm"}),
    "a path that depends on weights": (Looks, {}),
    "joint samples": (Shared, {}),
    "made weights": (Standardised, {}),
}


@pytest.mark.filterwarnings("ignore:static input ranges", "ignore:the samples of a batch", "ignore:.*recalib")
@pytest.mark.parametrize("case", DECLINED)
def test_what_is_more_than_its_weights_is_computed_one_at_a_time(case: str, at_once: list[int]) -> None:
    make, settings = DECLINED[case]
    evaluator = Evaluator(seeded(make), DATA)
    deployment = evaluator.calibrated(Deployment(device=PCM, **settings))
    asked = trials([deployment], 1)
    found = outcomes(evaluator, asked)
    assert len(at_once) <= 1  # at most the check on the example
    assert [outcome.value for outcome in found] == [evaluator(trial).value for trial in asked]


def test_tiles_are_computed_one_at_a_time(at_once: list[int]) -> None:
    evaluator = Evaluator(trained_digits_cnn(), DATA.head(10), backend="tiles")
    assert len(outcomes(evaluator, trials([Deployment(device=PCM)], 1))) == 3
    assert not at_once


def test_the_number_of_chips_fits_into_the_memory_and_a_cpu_takes_one_at_a_time() -> None:
    cuda = torch.device("cuda")
    for weights in (10**3, 10**7, 10**9, 10**12):
        for batch in (10**3, 10**6, 10**8, 10**12):
            number = many_chips.chips_at_once(weights, batch, cuda)
            assert number == 1 or number * (weights + many_chips.LIVE * batch) <= MEMORY_BYTES
            assert number in (1, 2, 4, 8, 16, 32)
    assert many_chips.chips_at_once(10**7, 10**7, cuda) == 32
    assert many_chips.chips_at_once(10**8, 10**8, cuda) == 4
    assert many_chips.chips_at_once(1, 1, torch.device("cpu")) == 1


def test_the_size_of_activations_reaches_the_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, int]] = []

    def note(weights: int, batch: int, _: torch.device) -> int:
        asked.append((weights, batch))
        return 1

    monkeypatch.setattr(many_chips, "chips_at_once", note)
    outcomes(Evaluator(trained_digits_cnn(), DATA, batch_size=20), trials([Deployment(device=PCM)], 1))
    weights = 4 * (16 * 9 + 32 * 16 * 9 + 512 * 64 + 64 * 10)
    assert asked == [(weights, 20 * 32 * 8 * 8 * 4)]  # the second convolution's outputs
