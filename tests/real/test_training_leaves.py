"""After a step and after ``train``: weights, buffers and random states are those of as many plain passes."""

from __future__ import annotations

import copy
import random
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import driftproof as dp
from driftproof._errors import DriftproofError, DriftproofWarning
from driftproof._inputs import call, on_tensors
from driftproof._outputs import main_output
from real.networks import KINDS, Given, given
from real.test_nothing_is_touched import untouched
from training.small import NAMES, method_of

UPDATES = 3
REFUSED = ("weight norm", "spectral norm", "a parametrisation", "pruned", "old-style weight norm")
"""Networks whose weights are computed at every call: a method refuses them by name."""
TRAINED = [kind for kind in KINDS if kind not in REFUSED]


def loss_of(user: Given) -> Callable[[], Tensor]:
    return lambda: F.cross_entropy(main_output(call(user.network, user.inputs)), user.targets)


def sgd(network: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD([p for p in network.parameters() if p.requires_grad], lr=0.05, momentum=0.9)


def seeded() -> None:
    torch.manual_seed(11)
    np.random.seed(11)  # noqa: NPY002
    random.seed(11)


def streams() -> tuple[Any, ...]:
    """The next numbers of the global generators."""
    return float(torch.rand(())), float(np.random.rand()), random.random()  # noqa: NPY002


def numbers(network: nn.Module) -> dict[str, Tensor]:
    return {name: value.to_dense().clone() for name, value in network.state_dict().items()}


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return all(torch.equal(value, other[name]) for name, value in one.items())


def plain_loop(kind: str, passes: int = 1) -> tuple[dict[str, Tensor], tuple[Any, ...]]:
    """Forward, backward and step by hand, on copies of the batch; each update repeats its pass."""
    user = given(kind)
    kept, optimizer = on_tensors(user.inputs, Tensor.clone), sgd(user.network)
    seeded()
    for _ in range(UPDATES):
        for _ in range(passes):
            optimizer.zero_grad()
            copies = on_tensors(kept, Tensor.clone)
            loss = F.cross_entropy(main_output(call(user.network, copies)), user.targets)
            loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return numbers(user.network), streams()


def step(kind: str, name: str) -> tuple[Given, dict[str, Tensor], tuple[Any, ...]]:
    user, method = given(kind), method_of(name)
    method.begin(UPDATES + 2)
    optimizer = sgd(user.network)
    seeded()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DriftproofWarning)
        for _ in range(UPDATES):
            method.step(loss_of(user), user.network, optimizer)
    return user, numbers(user.network), streams()


@pytest.mark.parametrize("kind", TRAINED)
def test_plain_is_the_plain_loop_bit_for_bit(kind: str) -> None:
    """Dropout draws anew at every step; norms move their statistics; layers that merge in eval mode do not."""
    wanted, next_numbers = plain_loop(kind)
    _, got, after = step(kind, "plain")
    assert same(wanted, got)
    assert after == next_numbers


PASSES = {"rwp": 1, "arwp": 1, "noise-injection": 1, "two-point-rwp": 2, "sam": 2, "gsam": 2, "sam-rwp": 2}


@pytest.mark.parametrize("name", PASSES)
@pytest.mark.parametrize("kind", ["linear layers and dropout", "layers that merge in eval mode"])
def test_the_random_states_are_those_of_as_many_passes(kind: str, name: str) -> None:
    """Noise of devices comes from generators of its own."""
    assert step(kind, name)[2] == plain_loop(kind, PASSES[name])[1]


class Copying(nn.Module):
    """The network that writes into its input, on a copy."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x.clone())  # type: ignore[no-any-return]


@pytest.mark.parametrize("name", NAMES)
def test_a_network_that_writes_into_its_input_is_trained_on_the_batch_as_it_was(name: str, tmp_path: Path) -> None:
    kind = "writes into its input"
    user, got, _ = step(kind, name)
    assert torch.equal(user.inputs, given(kind).inputs)
    copying, method = given(kind), method_of(name)
    method.begin(UPDATES + 2)
    network = Copying(copying.network)
    optimizer = sgd(network)
    seeded()
    for _ in range(UPDATES):
        method.step(lambda: F.cross_entropy(network(copying.inputs), copying.targets), network, optimizer)
    # arrays are named by their place in the network, and noise by the array
    if name in ("plain", "sam", "asam", "gsam", "looksam", "multi-step-sam"):
        assert same(got, numbers(copying.network))
    trained = dp.train(
        given(kind).network, (user.inputs, user.targets), method=method_of(name), epochs=2, batch_size=8, progress=False
    )
    assert torch.equal(user.inputs, given(kind).inputs)
    assert all(bool(torch.isfinite(part).all()) for part in trained.model.state_dict().values())


@pytest.mark.parametrize("name", NAMES)
def test_layers_that_merge_in_eval_mode_are_trained_apart(name: str) -> None:
    user = given("layers that merge in eval mode")
    before = copy.deepcopy(user.network.state_dict())
    user, got, _ = step("layers that merge in eval mode", name)
    assert torch.equal(before["0.weight"], got["0.weight"]), "the frozen base"
    assert not torch.equal(before["0.B"], got["0.B"])
    assert not vars(user.network.get_submodule("0"))["merged"]


@pytest.mark.parametrize("kind", TRAINED)
@pytest.mark.parametrize("name", ["plain", "rwp", "sam"])
def test_train_touches_nothing_and_validates_without_an_effect(kind: str, name: str) -> None:
    user = given(kind)
    data = user.inputs, user.targets

    def run(validate: Any) -> dict[str, Tensor]:
        method = method_of(name)
        done = dp.train(user.network, data, method=method, epochs=2, batch_size=8, progress=False, validate=validate)
        return numbers(done.model)

    values = iter([1.0, 2.0])
    validation = dp.ChipValidation(data=data, preset="gaussian:0.1", chips=1)
    with untouched(user), warnings.catch_warnings():
        warnings.simplefilter("ignore", DriftproofWarning)
        alone = run(None)
        validated = run(lambda network: validation(network) * 0 + next(values))
    assert same(alone, validated)


class Stops(RuntimeError):
    """What a user's own code raises."""


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["plain", "rwp", "sam"])
def test_a_failure_leaves_the_weights_as_they_were(kind: str, name: str) -> None:
    user, method = given(kind), method_of(name)
    optimizer, calls = sgd(user.network), 0

    def failing() -> Tensor:
        nonlocal calls
        calls += 1
        if calls > 1:
            raise Stops
        return loss_of(user)()

    before = {key: value for key, value in numbers(user.network).items() if "running" not in key and "num_" not in key}
    with warnings.catch_warnings(), suppress(Stops, DriftproofError):
        warnings.simplefilter("ignore", DriftproofWarning)
        method.step(failing, user.network, optimizer)
    after = numbers(user.network)
    changed = [key for key, value in before.items() if not torch.equal(value, after[key])]
    assert changed == [] or kind == "spectral norm"  # its vectors move in each pass in train mode
    assert method.updates == 0
    with untouched(user), warnings.catch_warnings(), suppress(Stops, DriftproofError):
        warnings.simplefilter("ignore", DriftproofWarning)
        broken = copy.copy(user)._replace(targets=user.targets + 50)  # no class of the network
        dp.train(user.network, (user.inputs, broken.targets), epochs=1, batch_size=8, progress=False)


@pytest.mark.parametrize("kind", REFUSED)
def test_weights_that_are_computed_at_every_call_are_refused_by_name(kind: str) -> None:
    user = given(kind)
    with untouched(user), pytest.raises(DriftproofError, match="computed at every call"):
        method_of("rwp").step(loss_of(user), user.network, sgd(user.network))
