"""Every method: nothing at zero strength, nothing left behind, on with a stopped run, loud when used wrongly."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import driftproof as dp
from driftproof.training import ClipWeights
from driftproof.training._methods import Method
from driftproof.training._schedules import Adaptive
from training.small import (
    DRAWING,
    NAMES,
    PERTURBING,
    equal,
    gradients_of,
    images_loss,
    method_of,
    points_loss,
    rising,
    sgd,
    small,
    smooth,
    state_of,
)

OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9, nesterov=True, weight_decay=1e-3),
    "adamw": lambda p: torch.optim.AdamW(p, lr=1e-3),
}


def everything(network: nn.Module, optimizer: torch.optim.Optimizer) -> list[Any]:
    """All that a step can move."""
    gradients = [None if p.grad is None else p.grad.clone() for p in network.parameters()]
    modes = [module.training for module in network.modules()]
    momenta = [getattr(module, "momentum", None) for module in network.modules()]
    state = copy.deepcopy(optimizer.state_dict())
    return [state_of(network), gradients, modes, momenta, state, torch.get_rng_state()]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_step_at_zero_strength_is_plain_training_bit_for_bit(name: str, optimizer: str) -> None:
    network, reference = small(), small()
    steps = OPTIMIZERS[optimizer](network.parameters()), OPTIMIZERS[optimizer](reference.parameters())
    torch.manual_seed(7)
    loss = images_loss(reference)()
    steps[1].zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    steps[1].step()
    along = [p.grad.clone() for p in reference.parameters() if p.grad is not None]
    steps[1].zero_grad()
    wanted = everything(reference, steps[1])
    torch.manual_seed(7)
    method = method_of(name, ramped=rising())
    method.begin(5)
    seen = gradients_of(steps[0])
    got = method.step(images_loss(network), network, steps[0])
    assert torch.equal(got, loss.detach())
    assert equal(seen, along)
    assert equal(everything(network, steps[0]), wanted)
    if name in PERTURBING:  # and the next one is another
        method.step(images_loss(network), network, steps[0])
        torch.manual_seed(7)
        assert method.last is not None
        assert method.last.strength > 0


class Broken(Exception):
    pass


class _RaiseInBackward(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        raise Broken


def breaking(network: nn.Module, at: int, in_backward: bool) -> tuple[Callable[[], Tensor], list[int]]:
    """A closure that fails after the network's ``at``-th forward pass, or in the backward pass after it."""
    calls: list[int] = []

    def closure() -> Tensor:
        loss = images_loss(network)()
        calls.append(1)
        if len(calls) == at:
            if not in_backward or not loss.requires_grad:
                raise Broken
            loss = _RaiseInBackward.apply(loss)
        return loss

    return closure, calls


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("in_backward", [False, True], ids=["forward", "backward"])
@pytest.mark.parametrize("norms", ["clean", "perturbed", "frozen"])
def test_a_step_that_fails_leaves_everything_as_it_was(name: str, in_backward: bool, norms: str) -> None:
    counting, calls = breaking(network := small(), 0, False)
    method = method_of(name, norms=norms, diagnose_every=1) if name != "plain" else method_of(name, norms=norms)
    method.begin(4)
    optimizer = sgd(network)
    for _ in range(2):  # multi-step SAM begins with a plain one; ARWP and LookSAM have a past
        method.step(counting, network, optimizer)
    calls.clear()
    trial = copy.deepcopy((network, optimizer.state_dict(), method))
    method.step(counting, network, optimizer)
    passes = len(calls)
    for at in range(1, passes + 1):
        network, kept, method = copy.deepcopy(trial)
        optimizer = sgd(network)
        optimizer.load_state_dict(kept)
        assert method.weights is not None
        closure, _ = breaking(network, at, in_backward)
        before = state_of(network), [m.training for m in network.modules()], optimizer.state_dict()
        own = copy.deepcopy(method.state_dict())
        with pytest.raises(Broken):
            method.step(closure, network, optimizer)
        after = state_of(network), [m.training for m in network.modules()], optimizer.state_dict()
        assert equal(after, before), f"pass {at} of {passes}"
        assert equal(method.state_dict(), own)
        assert not method.weights.held
        method.step(closure, network, optimizer)
        assert not equal(state_of(network), before[0])


@pytest.mark.parametrize("name", NAMES)
def test_an_optimizer_that_fails_is_no_update(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    network, method = small(), method_of(name)
    method.begin(5)
    optimizer = sgd(network)
    for _ in range(2):
        method.step(images_loss(network), network, optimizer)
    before = copy.deepcopy((state_of(network), method.state_dict()))

    def fail() -> None:
        raise Broken

    with monkeypatch.context() as patched:
        patched.setattr(optimizer, "step", fail)
        with pytest.raises(Broken):
            method.step(images_loss(network), network, optimizer)
    assert equal((state_of(network), method.state_dict()), before)
    method.step(images_loss(network), network, optimizer)


@pytest.mark.parametrize("name", NAMES)
def test_a_failure_in_the_first_step_leaves_clean_weights(name: str) -> None:
    network = small()
    method = method_of(name)
    method.begin(4)
    before = state_of(network)
    closure, _ = breaking(network, 1, False)
    with pytest.raises(Broken):
        method.step(closure, network, sgd(network))
    assert equal(state_of(network), before)
    method.step(closure, network, sgd(network))


def run(name: str, network: nn.Module, steps: int, *, every: int = 0, **options: Any) -> Method:
    method = method_of(name, diagnose_every=every, **options) if name != "plain" else method_of(name, **options)
    method.begin(steps)
    optimizer = sgd(network)
    for _ in range(steps):
        method.step(images_loss(network), network, optimizer)
    return method


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", ["constant", "adaptive"])
def test_a_method_that_goes_on_equals_one_that_never_stopped(name: str, kind: str) -> None:
    options: dict[str, Any] = {}
    if kind == "adaptive" and name not in ("plain", "multi-step-sam"):
        options["ramped"] = Adaptive(to=1.0, collapse=0.9, memory=2)

    def make() -> Method:
        clip: dict[str, Any] = (
            {} if name == "noise-injection" else {"clip": ClipWeights(sigmas=2.0)}
        )  # that has its own
        method = method_of(name, **clip, **options)
        method.begin(7)
        return method

    def steps(method: Method, network: nn.Module, optimizer: torch.optim.Optimizer, count: int) -> None:
        for _ in range(count):
            method.step(images_loss(network), network, optimizer)

    whole, method = small(), make()
    optimizer = sgd(whole)
    torch.manual_seed(3)
    steps(method, whole, optimizer, 7)

    first, method = small(), make()
    optimizer = sgd(first)
    torch.manual_seed(3)
    steps(method, first, optimizer, 3)
    kept: list[Any] = copy.deepcopy(
        [state_of(first), optimizer.state_dict(), method.state_dict(), torch.get_rng_state()]
    )
    steps(method, first, optimizer, 2)  # a state that was taken is not moved by what comes after

    second, method = small(), make()
    second.load_state_dict(kept[0])
    optimizer = sgd(second)
    optimizer.load_state_dict(kept[1])
    method.load_state_dict(kept[2])
    torch.manual_seed(99)
    torch.set_rng_state(kept[3])
    steps(method, second, optimizer, 4)
    assert equal(state_of(second), state_of(whole))


@pytest.mark.parametrize("name", DRAWING)
def test_a_state_is_not_moved_by_later_updates(name: str) -> None:
    network, method = small(), method_of(name)
    optimizer = sgd(network)
    for _ in range(2):
        method.step(images_loss(network), network, optimizer)
    state = method.state_dict()
    before = copy.deepcopy(state)
    method.step(images_loss(network), network, optimizer)
    assert equal(state, before)


@pytest.mark.parametrize("name", PERTURBING)
def test_diagnostics_do_not_touch_the_training(name: str) -> None:
    quiet, measured = small(), small()
    for network, every in ((quiet, 0), (measured, 1)):
        torch.manual_seed(5)
        run(name, network, 4, every=every)
        network.rng = torch.get_rng_state()
    assert equal(state_of(quiet), state_of(measured))
    assert equal(quiet.rng, measured.rng)


@pytest.mark.parametrize("name", PERTURBING)
def test_diagnostics_are_what_a_slow_computation_says(name: str) -> None:
    """The gradients at the weights that the method held in its last pass, and at clean ones; two linear layers."""
    network = smooth()
    method = method_of(name, diagnose_every=1)
    method.begin(3)
    optimizer = sgd(network)
    if name == "multi-step-sam":  # nothing is perturbed at its first
        method.step(points_loss(network), network, optimizer)
    clean = [p.detach().clone() for p in network.parameters()]
    seen: list[list[Tensor]] = []

    def closure() -> Tensor:
        seen.append([p.detach().clone() for p in network.parameters()])
        return points_loss(network)()

    method.step(closure, network, optimizer)
    assert method.last is not None
    perturbed = next(weights for weights in seen if not equal(weights, clean))

    def gradient(at: list[Tensor]) -> Tensor:
        other = smooth()
        with torch.no_grad():
            for p, value in zip(other.parameters(), at, strict=True):
                p.copy_(value)
        return torch.cat([g.flatten() for g in torch.autograd.grad(points_loss(other)(), list(other.parameters()))])

    change = gradient(perturbed) - gradient(clean)
    step = torch.cat([(a - b).flatten() for a, b in zip(perturbed, clean, strict=True)])
    noise = [
        float(((a - b) / b.abs().amax(1, keepdim=True)).square().mean().sqrt())
        for a, b in zip(perturbed, clean, strict=True)
    ]
    more = method.last.more
    assert more["gradient_sharpness"] == pytest.approx(float(change.norm() / step.norm()), rel=1e-4)
    assert more["noise"] == pytest.approx(sum(noise) / 2, rel=1e-4)
    reference = smooth()
    with torch.no_grad():
        for p, value in zip(reference.parameters(), clean, strict=True):
            p.copy_(value)
    assert more["clean_loss"] == pytest.approx(float(points_loss(reference)().detach()), rel=1e-5)


def test_what_micro_batches_measure_is_averaged() -> None:
    network = smooth()
    method = method_of("sam")
    first, second = points_loss(network, slice(0, 4)), points_loss(network, slice(4, 8))
    wanted = float((first() + second()).detach()) / 2
    method.step([first, second], network, sgd(network))
    assert method.last is not None
    assert method.last.more["clean_loss"] == pytest.approx(wanted, rel=1e-6)


def test_plain_micro_batches_are_the_big_batch() -> None:
    one, two = smooth(bias=True), smooth(bias=True)
    steps = sgd(one), sgd(two)
    methods = method_of("plain"), method_of("plain")
    for _ in range(4):
        a = methods[0].step(points_loss(one), one, steps[0])
        b = methods[1].step([points_loss(two, slice(0, 4)), points_loss(two, slice(4, 8))], two, steps[1])
        torch.testing.assert_close(a, b, atol=1e-6, rtol=1e-6)
    for p, q in zip(one.parameters(), two.parameters(), strict=True):
        torch.testing.assert_close(p, q, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_gradients_are_clipped_to_the_largest_norm(name: str) -> None:
    network = smooth()
    method = method_of(name)
    method.begin(4)
    for _ in range(2):
        optimizer = torch.optim.SGD(network.parameters(), lr=0.0)
        seen = gradients_of(optimizer)
        method.step(points_loss(network), network, optimizer, clip_norm=1e-3)
        size = torch.linalg.vector_norm(torch.cat([g.flatten() for g in seen if g is not None]))
        assert float(size) == pytest.approx(1e-3, rel=1e-3)
        assert method.last is not None
        assert method.last.update_norm > 1e-2, "the norm before clipping"


def test_the_noise_of_one_method_is_not_the_other_ones() -> None:
    """Every update, micro-batch and seed has numbers of its own; the same method again has the same."""
    networks = [smooth() for _ in range(3)]
    for network, seed in zip(networks, (0, 0, 1), strict=True):
        method = method_of("rwp", seed=seed)
        method.step(points_loss(network), network, sgd(network))
    assert equal(state_of(networks[0]), state_of(networks[1]))
    assert not equal(state_of(networks[0]), state_of(networks[2]))


@pytest.mark.parametrize("name", ["rwp", "arwp", "sam-rwp", "noise-injection"])
def test_the_noise_that_is_put_on_is_measured_every_twenty_updates(name: str) -> None:
    network, method = smooth(), method_of(name)
    optimizer = sgd(network, lr=0.001)
    seen: list[list[Tensor]] = []

    def closure() -> Tensor:
        seen.append([p.detach().clone() for p in network.parameters()])
        return points_loss(network)()

    for update in range(21):
        clean = [p.detach().clone() for p in network.parameters()]
        method.step(closure, network, optimizer)
        assert method.last is not None
        assert ("noise" in method.last.more) == (update in (0, 20))
    put_on = [
        float(((a - b) / b.abs().amax(1, keepdim=True)).square().mean().sqrt())
        for a, b in zip(seen[-1], clean, strict=True)
    ]
    assert method.last is not None
    assert method.last.more["noise"] == pytest.approx(sum(put_on) / 2, rel=1e-4)


def test_the_strength_of_the_noise_at_the_top_is_told() -> None:
    network, method = smooth(), dp.SAMRWP(noise="gaussian:0.1", rho=0.1, strength=dp.ramp("linear", to=2.0, steps=3))
    told = []
    for _ in range(3):
        method.step(points_loss(network), network, sgd(network))
        assert method.last is not None
        told.append((method.last.strength, method.last.more["noise_strength"]))
    assert told == [(0.1, 0.0), (0.1, 1.0), (0.1, 2.0)]
