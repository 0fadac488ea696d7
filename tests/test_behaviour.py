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
from driftproof._behaviour import NO_LIMIT, InputsRefused, check_function, fresh, observe, observe_first


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
    ("function", "joint"),
    [
        (lambda net, x: net.layer(x), False),
        (spiking, False),
        (jvp, False),
        (energy_gradient, False),
        (in_place, False),
        (lambda net, x: net.layer(x.clamp_(max=0.5)), False),
        (lambda net, x: net.layer(x) - net.layer(x).mean(0), True),
        (lambda net, x: torch.softmax(net.layer(x) @ net.layer(x).T, 1) @ net.layer(x), True),
        (lambda net, x: net.layer(x).sort(dim=0).values, True),
        (lambda net, x: net.layer(x).cumsum(0), True),
        # the two of a pair, and the two halves of a batch
        (lambda net, x: net.layer(x) - net.layer(x[torch.arange(len(x)) ^ 1 if len(x) % 2 == 0 else 0]), True),
        (lambda net, x: net.layer(x) + net.layer(x.roll(len(x) // 2, 0)), True),
        # a range that is one for the batch, as of a dynamic quantisation
        (lambda net, x: (net.layer(x) / net.layer(x).abs().max() * 7).round(), True),
        # padded to the longest of the batch
        (lambda net, x: net.layer(x)[:, : int(x.sum(1).max() * 2)], True),
        (lambda net, x: {"loss": None, "logits": net.layer(x)}, False),
        # what is computed of a batch beside the outputs of the samples
        (lambda net, x: {"loss": net.layer(x).mean(), "logits": net.layer(x)}, False),
        (lambda net, x: (net.layer(x), net.layer(x) - net.layer(x).mean(0)), True),
        (lambda net, x: net.layer(x).argmax(1), False),
        (lambda net, x: net.layer(x) * torch.nan, False),
        (lambda net, x: net.layer(x)[:, :0], False),
        (lambda net, x: torch.complex(net.layer(x), x[:, :1] * net.layer(x)), False),
    ],
)
@pytest.mark.parametrize("samples", [8, 9, 16])
def test_samples_that_see_each_other(function: Callable[..., Any], joint: bool, samples: int) -> None:
    x = inputs(samples)
    before = x.clone()
    seen = observe(Of(function), x)
    assert (seen.joint, seen.wrong_axis) == (joint, "")
    assert torch.equal(x, before)
    assert seen.at_once == NO_LIMIT or not joint


def test_several_inputs_of_which_one_is_written_into() -> None:
    def function(net: Of, x: Tensor, mask: Tensor) -> Tensor:
        mask.zero_()
        out: Tensor = net.layer(x)
        return out

    mask = torch.ones(9)
    assert not observe(Of(function), {"x": inputs(), "mask": mask}).joint
    assert mask.sum() == 9


def test_batch_norm_without_running_statistics_is_joint() -> None:
    network = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8, track_running_stats=False)).eval()
    assert observe(network, inputs()).joint
    assert not observe(nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8)).eval(), inputs()).joint


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_rounding_is_not_company(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(6, 300), nn.Tanh(), nn.Linear(300, 8)).eval().to(dtype)
    assert not observe(network, inputs(8).to(dtype)).joint


def test_thresholds_that_turn_rounding_into_other_spikes_are_not_company() -> None:
    def function(net: Of, x: Tensor) -> Tensor:
        y: Tensor = net.layer(x)
        # in float32, what a kernel does differently for a batch of another size; in float64 it is gone
        y = y + (1e-7 * len(x) if y.dtype == torch.float32 else 0.0)
        return (y * 1e7 % 1 > 0.5).to(x.dtype)

    assert not observe(Of(function), inputs()).joint


def check(network: nn.Module) -> None:
    """Check a network as a conversion does."""
    unused = fresh(network)
    network(inputs())
    check_function(unused, network, inputs())


def remembers(net: Of, x: Tensor) -> Tensor:
    net.kept = net.kept + net.layer(x).mean()
    out: Tensor = net.layer(x) + net.kept
    return out


def sometimes_remembers(net: Of, x: Tensor) -> Tensor:
    out: Tensor = net.layer(x) + net.kept
    net.kept = torch.rand(()) + 1
    return out


def remembers_the_first(net: Of, x: Tensor) -> Tensor:
    if not net.kept.any():
        net.kept = net.layer(x).mean(0)
    out: Tensor = net.layer(x) + net.kept
    return out


def fails_the_second_time(net: Of, x: Tensor) -> Tensor:
    if net.kept.any():
        raise ValueError
    net.kept = torch.ones(())
    out: Tensor = net.layer(x)
    return out


@pytest.mark.parametrize("function", [remembers, sometimes_remembers, remembers_the_first, fails_the_second_time])
def test_memory_is_told_from_chance(function: Callable[..., Any]) -> None:
    with pytest.raises(DriftproofError, match=r"keeps something between calls.*reset"):
        observe(Of(function), inputs())
    with pytest.raises(DriftproofError, match="keeps something between calls"):
        check(Of(function))


def test_a_lost_axis_of_length_one_is_no_axis_of_time() -> None:
    seen = observe(Of(lambda net, x: net.layer(x).squeeze()), inputs(2))
    assert (seen.joint, seen.wrong_axis) == (True, "")


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
    with pytest.raises(DriftproofError, match="random in eval mode"):
        check(Of(lambda net, x: net.layer(x) + draw()))


@pytest.mark.parametrize("samples", [2, 3, 8, 9, 64])
@pytest.mark.parametrize("steps", [2, 3, 4, 5, 8, 9])
def test_outputs_that_count_time_first_are_told(samples: int, steps: int) -> None:
    def function(net: Of, x: Tensor) -> Tensor:
        return torch.stack([net.layer(x)] * steps)

    assert "axis 0 must count the samples" in observe(Of(function), inputs(samples)).wrong_axis


def test_the_message_says_how_to_wrap() -> None:
    seen = observe(Of(lambda net, x: torch.stack([net.layer(x)] * 5)), inputs())
    assert "return outputs.transpose(0, 1), and let a metric that reduces axis 0 reduce axis 1" in seen.wrong_axis
    with pytest.raises(DriftproofError, match=r"\[5, 9, 8\] for 9 samples"):
        seen.check_axis()
    observe(Of(lambda net, x: net.layer(x)), inputs()).check_axis()


def test_one_number_for_a_batch_and_a_list_of_samples_are_told() -> None:
    assert "[] for 9 samples" in observe(Of(lambda net, x: net.layer(x).sum()), inputs()).wrong_axis
    ragged = observe(Of(lambda net, x: [net.layer(one)[: 2 + n % 3] for n, one in enumerate(x)]), inputs()).wrong_axis
    assert "a list of 9 parts for 9 samples" in ragged


@pytest.mark.parametrize("samples", [1, 2])
def test_few_samples_are_enough(samples: int) -> None:
    seen = observe(Of(lambda net, x: net.layer(x)), inputs(samples))
    assert (seen.joint, seen.wrong_axis, seen.outputs.shape) == (False, "", (samples, 8))


def test_a_network_for_batches_of_one_size_gets_whole_batches() -> None:
    assert observe(Of(lambda net, x: net.layer(x.view(9, 6))), inputs()).joint


def test_the_network_is_observed_on_a_batch_that_it_takes() -> None:
    network = Of(lambda net, x: net.layer(x.view(9, 6)))
    behaviour, example = observe_first(network, (inputs(8), inputs(9)))
    assert (behaviour.joint, len(example)) == (True, 9)
    with pytest.raises(InputsRefused, match=r"\[7, 6\]"):
        observe_first(network, (inputs(7), inputs(8)))
    check(network)


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
    assert calls == [64, 64, 25, 39]
    after = (random.getstate(), np.random.get_state()[1].tobytes(), torch.get_rng_state())  # noqa: NPY002
    assert states[:2] == after[:2]
    assert torch.equal(states[2], after[2])


def test_what_the_network_raises_is_named() -> None:
    with pytest.raises(DriftproofError, match=r"float32 \[9, 5\].*RuntimeError"):
        observe(Of(lambda net, x: net.layer(x)), torch.rand(9, 5))
