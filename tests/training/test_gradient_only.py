"""The gradient without a step: which calls belong to one update, and what is left behind."""

from __future__ import annotations

import copy
import gc
import pickle
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim import optimizer as torch_optimizer

import driftproof as dp
from driftproof._errors import DriftproofError
from driftproof.training._methods import Method, optimizer_steps
from driftproof.training._methods.optimizer_steps import OptimizerSteps
from driftproof.training._schedules import Adaptive
from training.small import NAMES, Overflow, gradients_of, method_of, points_loss, smooth, state_of

type Maker = Callable[[nn.Module], torch.optim.Optimizer]
OPTIMIZERS: dict[str, Maker] = {
    "sgd": lambda network: torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9),
    "foreach": lambda network: torch.optim.AdamW(network.parameters(), lr=0.01, foreach=True),
    "fused": lambda network: torch.optim.AdamW(network.parameters(), lr=0.01, fused=True),  # it changes no version
    "at rest": lambda network: torch.optim.SGD(network.parameters(), lr=0.0),
}
HALVES = (slice(0, 4), slice(4, 8))
LOOKING = ("arwp", "gsam", "looksam")  # at the gradient of the whole update
ANY_PARTS = [name for name in NAMES if name not in (*LOOKING, "noise-injection")]


def started(name: str, **options: Any) -> Any:
    method = method_of(name, **options)
    method.begin(20)
    return method


def half(network: nn.Module, part: slice) -> Callable[[], Tensor]:
    """As a loop that accumulates divides its loss."""
    loss = points_loss(network, part)
    return lambda: loss() / 2


def close(one: nn.Module, other: nn.Module) -> None:
    for name, value in state_of(one).items():
        torch.testing.assert_close(value, state_of(other)[name], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kind", OPTIMIZERS)
@pytest.mark.parametrize("name", ANY_PARTS)
def test_calls_before_an_optimizers_step_are_micro_batches(name: str, kind: str) -> None:
    """In double precision sums of halves are the same but for the last digits."""
    networks, methods = [smooth().double() for _ in range(2)], [started(name) for _ in range(2)]
    optimizers = [OPTIMIZERS[kind](network) for network in networks]
    for _ in range(4):
        closures = [points_loss(networks[0], part) for part in HALVES for _ in range(methods[0].closures_per_update)]
        methods[0].step(closures, networks[0], optimizers[0])
        for part in HALVES:
            methods[1].gradient(half(networks[1], part), networks[1])
        optimizers[1].step()
        optimizers[1].zero_grad()
    close(*networks)
    assert methods[0].updates == methods[1].updates == 4
    assert methods[1].last.update_norm == pytest.approx(methods[0].last.update_norm, rel=1e-10)
    assert methods[1].last.loss == pytest.approx(methods[0].last.loss, rel=1e-6)
    assert methods[1].last.strength == methods[0].last.strength


@pytest.mark.parametrize("kind", OPTIMIZERS)
@pytest.mark.parametrize("order", ["zero, perturb", "perturb, zero", "set to zero"])
def test_an_update_ends_with_the_optimizers_step_wherever_gradients_are_dropped(order: str, kind: str) -> None:
    networks, methods = [smooth() for _ in range(2)], [started("rwp") for _ in range(2)]
    optimizers = [OPTIMIZERS[kind](network) for network in networks]
    for _ in range(5):
        methods[0].step(points_loss(networks[0]), networks[0], optimizers[0])
        if order == "zero, perturb":
            optimizers[1].zero_grad()
        with methods[1].perturbed(networks[1]):
            loss = points_loss(networks[1])()
            if order == "perturb, zero":  # as Lightning does
                optimizers[1].zero_grad()
            torch.autograd.backward(loss)
        optimizers[1].step()
        if order == "set to zero":
            optimizers[1].zero_grad(set_to_none=False)
    assert methods[1].updates == 5
    assert all(torch.equal(value, state_of(networks[1])[key]) for key, value in state_of(networks[0]).items())


def test_a_hand_written_step_ends_an_update_when_it_drops_the_gradients() -> None:
    networks, methods = [smooth() for _ in range(2)], [started("rwp") for _ in range(2)]
    optimizer = torch.optim.SGD(networks[0].parameters(), lr=0.1)
    for _ in range(4):
        methods[0].step(points_loss(networks[0]), networks[0], optimizer)
        methods[1].gradient(points_loss(networks[1]), networks[1])
        with torch.no_grad():
            for p in networks[1].parameters():
                assert p.grad is not None
                p.sub_(p.grad, alpha=0.1)
                p.grad = None
    close(*networks)
    assert methods[1].updates == 4


@pytest.mark.parametrize("name", ["plain", "rwp", "sam", "m-rwp"])
@pytest.mark.parametrize("bad", [-1, 2])
def test_a_scaler_skips_as_in_a_step(name: str, bad: int) -> None:
    networks, methods = [smooth() for _ in range(2)], [started(name) for _ in range(2)]
    optimizers = [OPTIMIZERS["sgd"](network) for network in networks]
    scalers = [torch.amp.GradScaler("cpu", init_scale=16.0) for _ in range(2)]

    def loss_of(network: nn.Module, number: int) -> Callable[[], Tensor]:
        loss = points_loss(network)
        return lambda: Overflow.apply(loss()) if number == bad else loss()

    for number in range(5):
        methods[0].step(loss_of(networks[0], number), networks[0], optimizers[0], scaler=scalers[0])
        methods[1].gradient(loss_of(networks[1], number), networks[1], scaler=scalers[1])
        scalers[1].step(optimizers[1])
        scalers[1].update()
        optimizers[1].zero_grad()
    assert methods[1].updates == 5
    assert scalers[0].get_scale() == scalers[1].get_scale() == (16.0 if bad < 0 else 8.0)
    assert all(torch.equal(value, state_of(networks[1])[key]) for key, value in state_of(networks[0]).items())


@pytest.mark.parametrize("bad", [-1, 2])
def test_a_scaler_that_skips_ends_an_update_whose_gradients_are_dropped_late(bad: int) -> None:
    networks, methods = [smooth() for _ in range(2)], [started("rwp") for _ in range(2)]
    optimizers = [OPTIMIZERS["sgd"](network) for network in networks]
    scalers = [torch.amp.GradScaler("cpu", init_scale=16.0) for _ in range(2)]
    for number in range(5):
        losses = [points_loss(network) for network in networks]
        hooks = []
        if number == bad:  # one gradient is infinite, none is nan
            firsts = [next(network.parameters()) for network in networks]
            hooks = [p.register_hook(lambda g: torch.full_like(g, torch.inf)) for p in firsts]  # type: ignore[no-untyped-call]
        methods[0].step(losses[0], networks[0], optimizers[0], scaler=scalers[0])
        with methods[1].perturbed(networks[1]):  # the gradients of the skipped update are still there
            loss = losses[1]()
            optimizers[1].zero_grad()
            torch.autograd.backward(scalers[1].scale(loss))
        for hook in hooks:
            hook.remove()
        assert methods[1].last.skipped == (number == bad)
        scalers[1].step(optimizers[1])
        scalers[1].update()
    assert methods[1].updates == 5
    assert all(torch.equal(value, state_of(networks[1])[key]) for key, value in state_of(networks[0]).items())


@pytest.mark.parametrize("name", ["plain", "rwp", "sam"])
def test_a_gradient_that_is_not_finite_is_refused_without_a_scaler(name: str) -> None:
    network, method = smooth(), started(name)
    loss, passes = points_loss(network), 2 if name == "sam" else 1
    made = 0

    def closure() -> Tensor:
        nonlocal made
        made += 1
        return Overflow.apply(loss()) if made == passes else loss()

    method.gradient(loss, network)
    network.zero_grad()
    with pytest.raises(DriftproofError, match=r"the gradient is (inf|nan): do not step"):
        method.gradient(closure, network)
    assert method.updates == 1
    network.zero_grad()
    method.gradient(loss, network)
    assert method.updates == 2


@pytest.mark.parametrize("name", [*LOOKING, "rwp"])
def test_methods_that_look_at_the_whole_gradient_want_to_know_the_parts(name: str) -> None:
    method = started(name, ramped=Adaptive(to=1.0)) if name == "rwp" else started(name)
    network = smooth()
    method.gradient(half(network, HALVES[0]), network)
    before = state_of(network)
    with pytest.raises(DriftproofError, match=rf"method {name} looks at the gradient of the whole update.*parts="):
        method.gradient(half(network, HALVES[1]), network)
    assert all(torch.equal(value, state_of(network)[key]) for key, value in before.items())
    assert method.updates == 1
    fresh, other = started(name), smooth()
    for part in range(2):
        fresh.gradient(points_loss(other, HALVES[part]), other, part=part, parts=2)
    assert fresh.updates == 1


@pytest.mark.parametrize(
    ("calls", "message"),
    [
        ([(1, 2)], "part 1 of 2 came; part 0 was wanted"),
        ([(0, 2), (0, 2), (1, 3)], "part 1 of 3 came; part 1 of 2 was wanted"),
        ([(0, 2), (1, 2), (1, 2)], "part 1 of 2 came; part 0 was wanted"),
        ([(0, None), (1, 2)], "part 1 of 2 came; part 0 was wanted"),
        ([(2, 2)], "part 2 of 2: wanted a number from 0 to 1"),
        ([(1, None)], "part 1 came without parts="),
    ],
)
def test_parts_out_of_order_are_refused(calls: list[tuple[int, int | None]], message: str) -> None:
    network, method = smooth(), started("rwp")
    for part, parts in calls[:-1]:
        method.gradient(points_loss(network), network, part=part, parts=parts)
    with pytest.raises(DriftproofError, match=message):
        method.gradient(points_loss(network), network, part=calls[-1][0], parts=calls[-1][1])


def test_gradients_that_are_there_stay() -> None:
    network, method = smooth(), started("rwp")
    (network(torch.ones(1, 5)).sum() * 3).backward()
    first = [p.grad.clone() for p in network.parameters() if p.grad is not None]
    method.gradient(points_loss(network), network)
    both = [p.grad.clone() for p in network.parameters() if p.grad is not None]
    fresh = smooth()
    started("rwp").gradient(points_loss(fresh), fresh)
    for one, other, sum_ in zip(first, fresh.parameters(), both, strict=True):
        assert other.grad is not None
        torch.testing.assert_close(one + other.grad, sum_)


def test_two_methods_see_the_steps_of_their_own_optimizers() -> None:
    wanted = []
    for name in ("rwp", "sam"):
        network, method = smooth(), started(name)
        optimizer = OPTIMIZERS["sgd"](network)
        for _ in range(3):
            method.step([points_loss(network, part) for part in HALVES], network, optimizer)
        wanted.append(network)
    networks, methods = [smooth(), smooth()], [started("rwp"), started("sam")]
    optimizers = [OPTIMIZERS["sgd"](network) for network in networks]
    for _ in range(3):
        for part in HALVES:
            for network, method in zip(networks, methods, strict=True):
                method.gradient(half(network, part), network)
        for optimizer in reversed(optimizers):
            optimizer.step()
            optimizer.zero_grad(set_to_none=False)
    assert [method.updates for method in methods] == [3, 3]
    for one, other in zip(wanted, networks, strict=True):
        for key, value in state_of(one).items():
            torch.testing.assert_close(value, state_of(other)[key], rtol=1e-5, atol=1e-6)


def test_one_listener_to_optimizers_holds_no_network() -> None:
    network, method = smooth(), started("rwp")
    for _ in range(2):
        method.gradient(points_loss(network), network)
        network.zero_grad()
    gc.collect()
    before, waiting = dict(torch_optimizer._global_optimizer_post_hooks), len(optimizer_steps._waiting)
    for _ in range(3):
        OptimizerSteps(network.parameters())
    assert len(optimizer_steps._waiting) == waiting
    assert torch_optimizer._global_optimizer_post_hooks == before
    gone = weakref.ref(network)
    del network, method
    gc.collect()
    assert gone() is None


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda method: pickle.loads(pickle.dumps(method))])
def test_copies_of_a_method_begin_with_a_new_update(copied: Callable[[Method], Method]) -> None:
    network, method = smooth(), started("rwp")
    method.gradient(points_loss(network), network, part=0, parts=2)
    other = copied(method)
    assert other.weights is not None
    with pytest.raises(DriftproofError, match="part 0 was wanted"):
        other.gradient(points_loss(other.weights.network), other.weights.network, part=1, parts=2)
    method.gradient(points_loss(network), network, part=1, parts=2)
    assert (method.updates, other.updates) == (1, 0)


def test_a_method_that_goes_on_from_its_state_is_one_that_never_stopped() -> None:
    def train(stop: bool) -> nn.Module:
        network, method = smooth(), started("rwp")
        optimizer = OPTIMIZERS["sgd"](network)
        for number in range(4):
            if stop and number == 2:
                state, method = method.state_dict(), started("rwp")
                method.load_state_dict(state)
            method.gradient(points_loss(network), network)
            optimizer.step()
            optimizer.zero_grad()
        return network

    one, other = train(False), train(True)
    assert all(torch.equal(value, state_of(other)[key]) for key, value in state_of(one).items())


@pytest.mark.parametrize("failure", [KeyboardInterrupt, ZeroDivisionError])
def test_a_block_that_fails_counts_nothing_and_leaves_the_weights(failure: type[BaseException]) -> None:
    network, method = smooth(), started("rwp")
    method.prepare(network, torch.ones(2, 5))
    before, seen = state_of(network), list[dict[str, Tensor]]()

    def fails() -> None:
        with method.perturbed(network):
            seen.append(state_of(network))
            raise failure

    with pytest.raises(failure):
        fails()
    assert not torch.equal(seen[0]["0.weight"], before["0.weight"])
    assert all(torch.equal(value, state_of(network)[key]) for key, value in before.items())
    assert method.updates == 0


def test_clipping_behind_the_gradient_is_the_steps_clipping() -> None:
    networks, methods = [smooth() for _ in range(2)], [started("sam") for _ in range(2)]
    optimizers = [OPTIMIZERS["sgd"](network) for network in networks]
    seen = [gradients_of(optimizer) for optimizer in optimizers]
    for _ in range(4):
        methods[0].step(points_loss(networks[0]), networks[0], optimizers[0], clip_norm=0.1)
        methods[1].gradient(points_loss(networks[1]), networks[1])
        nn.utils.clip_grad_norm_(networks[1].parameters(), 0.1)
        optimizers[1].step()
        optimizers[1].zero_grad()
        assert all(a is not None and b is not None and torch.equal(a, b) for a, b in zip(*seen, strict=True))


def test_hooks_under_their_names_of_before_are_named() -> None:
    for old, now in (("gradient", "accumulate"), ("perturbed", "drawn")):
        with pytest.raises(DriftproofError, match=rf"{old}\(passes, ...\) is called {now}\(passes, ...\) now"):
            type("Old", (dp.RWP,), {old: lambda self, passes: None})


class Summed(nn.Module):
    """A trainer gives it, beside the samples, the number of tokens that all of them have."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Linear(5, 3)

    def forward(self, x: Tensor, tokens: Tensor | int) -> Tensor:
        return self.layer(x).square().sum() / tokens  # type: ignore[no-any-return]


@pytest.mark.parametrize("form", ["gradient", "perturbed", "step"])
def test_a_number_for_all_samples_is_no_sample(form: str) -> None:
    def train(form: str, tokens: Tensor | int) -> Summed:
        network, method = Summed(), started("rwp")
        optimizer, x = OPTIMIZERS["sgd"](network), torch.ones(4, 5)
        for _ in range(3):
            if form == "step":
                method.step(lambda: network(x=x, tokens=tokens), network, optimizer)
                continue
            if form == "gradient":
                method.gradient(lambda: network(x=x, tokens=tokens), network)
            else:
                with method.perturbed(network):
                    network(x=x, tokens=tokens).backward()
            optimizer.step()
            optimizer.zero_grad()
        return network

    one, other = train("step", 7), train(form, torch.tensor(7))
    assert all(torch.equal(value, state_of(other)[key]) for key, value in state_of(one).items())


def test_inputs_of_two_kinds_are_refused_in_a_block_too() -> None:
    network, method = Summed(), started("rwp")
    with pytest.raises(DriftproofError, match="by place and by name"), method.perturbed(network):
        network(torch.ones(4, 5), tokens=7)
    assert method.updates == 0
