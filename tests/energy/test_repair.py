"""Chip in the loop: the repair of a drifted chip, in whole pulses that are counted."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import driftproof as dp
from driftproof.data import digits
from driftproof.energy import CenteredEP, HopfieldNetwork, PulsedUpdates, hopfield_dense, repair
from driftproof.evaluation import Evaluator, Trial

DEVICE, YEAR = "pcm-nandakumar-2019", "1y"


@pytest.fixture(scope="module")
def trained() -> nn.Module:
    torch.manual_seed(0)
    network = hopfield_dense([64, 32, 10], iterations=10)
    method = CenteredEP(beta=0.2, perturbed_iterations=10)
    return dp.train(network, digits("train"), method=method, epochs=8, lr=0.1, batch_size=32, progress=False).model


def accuracy(network: nn.Module) -> float:
    return Evaluator(network, digits())(Trial(None)).value


def repaired(trained: nn.Module, **changes: object) -> dp.energy.Repair:
    options = {"time": YEAR, "method": CenteredEP(beta=0.2, perturbed_iterations=10), "updates": 100, "lr": 0.05}
    options |= {"pulse": 0.005, "compensation": "none", "batch_size": 32} | changes
    return repair(trained, DEVICE, digits("train"), **options)  # type: ignore[arg-type]


def test_a_repair_brings_back_what_drift_took(trained: nn.Module) -> None:
    made = repaired(trained)
    digital, before, after = accuracy(trained), accuracy(made.before), accuracy(made.model)
    assert digital > 93
    assert before < digital - 5
    assert after > before + (digital - before) / 2
    assert sum(made.losses[-10:]) < sum(made.losses[:10])


def test_the_weights_before_are_those_of_the_chip(trained: nn.Module) -> None:
    made = repaired(trained, updates=1, chip=2)
    mapping = dp.map_model(trained, example=next(iter(digits().batches(4)))[0])
    chip = dp.Chip(mapping, dp.load_device(DEVICE), seed=0, chip=2, compensation="none")
    assert isinstance(made.before, HopfieldNetwork)
    for number in range(2):
        wanted = chip.weight(f"edges.{number}", 365 * 86400.0)
        torch.testing.assert_close(made.before.edge(number).weight.data, wanted)


def test_weights_change_by_whole_pulses_that_are_counted(trained: nn.Module) -> None:
    pulse = 0.01
    made = repaired(trained, pulse=pulse, updates=20)
    mapping = dp.map_model(trained, example=next(iter(digits().batches(4)))[0])
    chip = dp.Chip(mapping, dp.load_device(DEVICE), seed=0, chip=0, compensation="none")
    assert isinstance(made.before, HopfieldNetwork)
    assert isinstance(made.model, HopfieldNetwork)
    net, pulsed = 0, 0
    for number in range(2):
        largest = chip.weights[f"edges.{number}"].scale[0].unsqueeze(1)
        change = (made.model.edge(number).weight - made.before.edge(number).weight).detach() / (largest * pulse)
        inside = made.model.edge(number).weight.detach().abs() < largest * (1 - 1e-6)
        torch.testing.assert_close(change[inside], change[inside].round(), rtol=0, atol=2e-3)
        net += int(change.round().abs().sum())
        pulsed += int((change.round() != 0).sum())
    assert 0 < net <= made.pulses  # some pulses are taken back later
    assert 0 < pulsed <= made.pulsed <= made.devices == 64 * 32 + 32 * 10


def test_a_repair_leaves_the_network_as_it_was(trained: nn.Module) -> None:
    state = {name: value.clone() for name, value in trained.state_dict().items()}
    first, second = (repaired(trained, updates=3) for _ in range(2))
    assert first.losses == second.losses
    assert all(torch.equal(value, state[name]) for name, value in trained.state_dict().items())


def test_pulses_add_up_what_is_asked_for() -> None:
    weight = nn.Parameter(torch.zeros(1))
    optimizer = PulsedUpdates({weight: torch.ones(1)}, lr=0.1, pulse=0.1)
    for _ in range(9):
        weight.grad = torch.tensor([-0.3])
        optimizer.step()
    assert weight.item() == pytest.approx(0.2)  # 0.27 was asked for
    assert optimizer.pulses == 2
    for _ in range(40):
        weight.grad = torch.tensor([-0.3])
        optimizer.step()
    assert weight.item() == pytest.approx(1.0)  # the largest conductance
    assert optimizer.pulses == 10


def test_digital_parameters_have_no_pulses() -> None:
    weight, bias = nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(1))
    optimizer = PulsedUpdates({weight: torch.ones(1)}, [bias], lr=0.1, pulse=0.5)
    weight.grad = bias.grad = torch.tensor([1.0])
    optimizer.step()
    assert (weight.item(), optimizer.pulses) == (0.0, 0)
    assert bias.item() == pytest.approx(-0.1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"updates": 0}, "at least 1"),
        ({"lr": 0.0}, "lr > 0"),
        ({"pulse": 0.0}, "pulse in"),
        ({"pulse": 2.0}, "pulse in"),
    ],
)
def test_wrong_use_is_loud(trained: nn.Module, changes: dict[str, object], message: str) -> None:
    with pytest.raises(dp.DriftproofError, match=message):
        repaired(trained, **changes)


def test_a_repair_outside_the_range_of_validity_is_told(trained: nn.Module) -> None:
    with pytest.warns(dp.DriftproofWarning, match="valid from .* and 30 y is outside"):
        repaired(trained, updates=1, time="10957.5d")
