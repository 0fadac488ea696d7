"""Networks whose samples see each other, that remember, draw, or write into their inputs are told from the others."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from driftproof import DriftproofError
from driftproof._behaviour import Behaviour, observe


class Of(nn.Module):
    """A network of a function, over a linear layer."""

    def __init__(self, function: Callable[..., Any], wide: int = 8) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer, self.function, self.kept = nn.Linear(6, wide), function, torch.zeros(())
        self.eval()

    def forward(self, *inputs: Tensor, **named: Tensor) -> Any:
        return self.function(self, *inputs, **named)


def inputs(samples: int = 9) -> Tensor:
    return torch.rand(samples, 6, generator=torch.Generator().manual_seed(1))


def spiking(net: Of, x: Tensor, steps: int = 20) -> Tensor:
    potential, spikes = torch.zeros(()), torch.zeros(())
    for _ in range(steps):
        potential = potential + net.layer(x)
        fired = (potential > 0.5).to(x.dtype)
        potential, spikes = potential - fired, spikes + fired
    return spikes


def energy_gradient(net: Of, x: Tensor) -> Tensor:
    with torch.enable_grad():
        x = x.detach().requires_grad_(True)
        (gradient,) = torch.autograd.grad(net.layer(x).tanh().sum(), x)
    return gradient


def jvp(net: Of, x: Tensor) -> Tensor:
    tangent: Tensor = torch.func.jvp(lambda v: net.layer(v).tanh(), (x,), (torch.ones_like(x),))[1]
    return tangent


def in_place(net: Of, x: Tensor) -> Tensor:
    x -= 0.5
    x /= 0.25
    out: Tensor = net.layer(x)
    return out


@pytest.mark.parametrize(
    ("function", "wanted"),
    [
        (lambda net, x: net.layer(x), Behaviour()),
        (spiking, Behaviour()),
        (jvp, Behaviour()),
        (energy_gradient, Behaviour(differentiates=True)),
        (in_place, Behaviour(changes_inputs=True)),
        (lambda net, x: net.layer(x.clamp_(max=0.5)), Behaviour(changes_inputs=True)),
        (lambda net, x: net.layer(x) - net.layer(x).mean(0), Behaviour(joint=True)),
        (lambda net, x: torch.softmax(net.layer(x) @ net.layer(x).T, 1) @ net.layer(x), Behaviour(joint=True)),
        (lambda net, x: net.layer(x).sort(dim=0).values, Behaviour(joint=True)),
        # padded to the longest of the batch
        (lambda net, x: net.layer(x)[:, : int(x.sum(1).max() * 2)], Behaviour(joint=True)),
        (lambda net, x: {"loss": None, "logits": net.layer(x)}, Behaviour()),
    ],
)
def test_behaviour(function: Callable[..., Any], wanted: Behaviour) -> None:
    x = inputs()
    before = x.clone()
    assert observe(Of(function), x) == wanted
    assert torch.equal(x, before)


def test_several_inputs_of_which_one_is_written_into() -> None:
    def function(net: Of, x: Tensor, mask: Tensor) -> Tensor:
        mask.zero_()
        out: Tensor = net.layer(x)
        return out

    mask = torch.ones(9)
    assert observe(Of(function), {"x": inputs(), "mask": mask}).changes_inputs
    assert mask.sum() == 9


def test_batch_norm_without_running_statistics_is_joint() -> None:
    network = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8, track_running_stats=False)).eval()
    assert observe(network, inputs()).joint
    assert not observe(nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8)).eval(), inputs()).joint


def remembers(net: Of, x: Tensor) -> Tensor:
    net.kept = net.kept + net.layer(x).mean()
    out: Tensor = net.layer(x) + net.kept
    return out


def sometimes_remembers(net: Of, x: Tensor) -> Tensor:
    out: Tensor = net.layer(x) + net.kept
    net.kept = torch.rand(()) + 1
    return out


@pytest.mark.parametrize("function", [remembers, sometimes_remembers])
def test_memory_is_told_from_chance(function: Callable[..., Any]) -> None:
    with pytest.raises(DriftproofError, match=r"keeps something between calls.*reset"):
        observe(Of(function), inputs())


@pytest.mark.parametrize(
    "draw",
    [
        lambda: torch.rand(()),
        lambda: torch.tensor(random.random()),
        lambda: torch.tensor(np.random.rand()),  # noqa: NPY002
    ],
    ids=["torch", "python", "numpy"],
)
def test_chance_is_told_from_memory(draw: Callable[[], Tensor]) -> None:
    with pytest.raises(DriftproofError, match="random in eval mode"):
        observe(Of(lambda net, x: net.layer(x) + draw()), inputs())


@pytest.mark.parametrize("samples", [8, 9, 64])
@pytest.mark.parametrize("steps", [8, 9, 4])
def test_outputs_that_count_time_first_are_refused(samples: int, steps: int) -> None:
    def function(net: Of, x: Tensor) -> Tensor:
        return torch.stack([net.layer(x)] * steps)

    with pytest.raises(DriftproofError, match=r"axis 0 must count the samples") as told:
        observe(Of(function), inputs(samples))
    if steps != samples:
        assert "transpose(0, 1)" in str(told.value)


def test_one_number_for_a_batch_is_refused() -> None:
    with pytest.raises(DriftproofError, match=r"\[\] for 9 samples"):
        observe(Of(lambda net, x: net.layer(x).sum()), inputs())


def test_a_batch_of_one_is_enough() -> None:
    assert observe(Of(lambda net, x: net.layer(x)), inputs(1)) == Behaviour()


def test_a_network_for_batches_of_one_size_gets_whole_batches() -> None:
    assert observe(Of(lambda net, x: net.layer(x.view(9, 6))), inputs()).joint


def test_passes_are_few_and_random_states_stay() -> None:
    calls = []

    def function(net: Of, x: Tensor) -> Tensor:
        calls.append(len(x))
        random.random()
        np.random.rand()  # noqa: NPY002
        torch.rand(3)
        return spiking(net, x)

    states = (random.getstate(), np.random.get_state()[1].tobytes(), torch.get_rng_state())  # noqa: NPY002
    observe(Of(function), inputs(64))
    assert sum(calls) <= 5 * 64
    after = (random.getstate(), np.random.get_state()[1].tobytes(), torch.get_rng_state())  # noqa: NPY002
    assert states[:2] == after[:2]
    assert torch.equal(states[2], after[2])


def test_what_the_network_raises_is_named() -> None:
    with pytest.raises(DriftproofError, match=r"float32 \[9, 5\].*RuntimeError"):
        observe(Of(lambda net, x: net.layer(x)), torch.rand(9, 5))
