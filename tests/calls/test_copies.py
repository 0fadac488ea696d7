"""Copies of networks: whatever their modules keep, and whatever refers to them."""

from __future__ import annotations

import functools
import logging
import threading
import types
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import driftproof as dp
from driftproof import DriftproofError
from driftproof._calls.copies import copied


@dataclass(slots=True)
class Slotted:
    held: Tensor


class Keeps(nn.Module):
    """Keeps results with a graph wherever they can be kept, and things that ``deepcopy`` refuses."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Linear(3, 2)
        self.lock, self.event, self.functional = threading.RLock(), threading.Event(), nn.functional
        self.log, self.scale = logging.getLogger("keeps"), functools.partial(torch.mul, other=torch.ones(()))
        self.last: deque[Tensor] = deque(maxlen=3)
        self.nested: dict[str, Any] = {}
        self.register_buffer("state", torch.zeros(2))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.a(x)
        self.seen, self.again = y, y
        self.last.append(y)
        self.nested = {"a": [(y, {"b": Slotted(y * 2)})]}
        self.state = y.sum(0)
        self.later = functools.partial(torch.add, y)
        return y


def test_results_and_locks_are_copied_wherever_they_are() -> None:
    network = Keeps()
    network(torch.ones(4, 3)).sum().backward()
    made = copied(network)
    assert made.training
    assert all(p.requires_grad for p in made.parameters())
    results = (made.seen, made.last[0], made.nested["a"][0][0], made.nested["a"][0][1]["b"].held, made.state)
    assert not any(result.requires_grad for result in results)
    assert made.seen is made.again is made.last[0]
    assert torch.equal(made.nested["a"][0][1]["b"].held, 2 * network.seen)
    assert made.lock is not network.lock
    assert made.functional is nn.functional
    assert network.seen.requires_grad
    made.seen.zero_()
    assert network.seen.any()


def test_tensors_can_be_shared() -> None:
    network = nn.Linear(3, 2)
    made = copied(network, network.parameters())
    assert made is not network
    assert made.weight is network.weight


def test_what_cannot_be_copied_is_named() -> None:
    network = nn.Sequential(nn.Linear(3, 2))
    vars(network[0])["source"] = (number for number in range(3))
    with pytest.raises(DriftproofError, match=r"because of the attribute 'source' of 0: TypeError: cannot pickle"):
        copied(network)


def by_closure(network: nn.Sequential) -> None:
    network.forward = lambda x: network[1](torch.relu(network[0](x)))  # type: ignore[method-assign]


def by_default(network: nn.Sequential) -> None:
    def forward(x: Tensor, inner: nn.Module = network[0]) -> Tensor:
        assert isinstance(inner, nn.Linear)
        return torch.tanh(nn.functional.linear(x, inner.weight))

    vars(network[0])["forward"] = forward


def by_wrapping(network: nn.Sequential) -> None:
    before = network[0].forward

    def inner(x: Tensor) -> Tensor:
        out: Tensor = before(x).sin()
        return out

    vars(network[0])["forward"] = lambda x: inner(x) * 2


def by_method(network: nn.Sequential) -> None:
    def forward(self: nn.Sequential, x: Tensor) -> Tensor:
        out: Tensor = self[1](self[0](x).abs())
        return out

    network.forward = types.MethodType(forward, network)  # type: ignore[method-assign]


def by_partial(network: nn.Sequential) -> None:
    def forward(self: nn.Sequential, x: Tensor) -> Tensor:
        out: Tensor = self[1](self[0](x).square())
        return out

    network.forward = functools.partial(forward, network)  # type: ignore[method-assign]


@pytest.mark.filterwarnings("ignore::driftproof.DriftproofWarning")
@pytest.mark.parametrize("change", [by_closure, by_default, by_wrapping, by_method, by_partial])
def test_functions_given_to_one_object_run_the_copy(change: Callable[[nn.Sequential], None]) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(6, 12), nn.Linear(12, 4)).eval()
    change(network)
    x = torch.randn(20, 6)
    wanted = network(x)
    made = copied(network)
    with torch.no_grad():
        network.state_dict()["0.weight"].zero_()
    assert torch.equal(made(x), wanted)
    assert not torch.equal(network(x), wanted)
    y = wanted.argmax(1)
    for backend in ("folded", "tiles"):
        record = dp.evaluate(made, (x, y), presets="ideal", times="1s", chips=1, backend=backend, progress=False)
        assert set(record.cells()["value"]) == {100.0}
    assert {entry.name: entry.analog for entry in dp.map_model(made, example=x).layers} == {"0": True, "1": True}


def test_a_hook_that_refers_to_the_network_writes_into_the_copy() -> None:
    network = nn.Sequential(nn.Linear(3, 2))
    network[0].register_forward_hook(lambda module, args, output: setattr(network, "seen", output))
    made: nn.Module = copied(network)
    made(torch.ones(1, 3))
    assert not hasattr(network, "seen")


@pytest.mark.parametrize("training", [False, True])
def test_a_graph_of_torch_fx_keeps_its_mode(training: bool) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 2))
    traced = torch.fx.symbolic_trace(network).train(training)
    made = copied(traced)
    assert [module.training for module in made.modules()] == [training] * len(list(made.modules()))
    if not training:
        x = torch.randn(3, 4)
        assert torch.equal(made(x), traced(x))
