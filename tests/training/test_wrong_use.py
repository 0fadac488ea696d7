"""Wrong use of a method is loud: it says what came, what was wanted and what to do, and nothing is updated."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import driftproof as dp
from driftproof.errors import DriftproofError, DriftproofWarning
from driftproof.measured import load_measured
from driftproof.presets import load_preset
from driftproof.training import Adaptive, DeviceNoise, as_noise
from driftproof.training.methods import Method
from training.small import (
    DRAWING,
    IMAGES,
    NAMES,
    POINTS,
    equal,
    images_loss,
    method_of,
    points_loss,
    rising,
    sgd,
    small,
    smooth,
    state_of,
)

DEVICES = tuple(name for name in DRAWING if name != "noise-injection")


def said(run: Callable[[], Any]) -> str:
    """What is refused, nothing if it is not."""
    try:
        run()
    except DriftproofError as error:
        return str(error)
    return ""


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: dp.RWP(noise="gaussian:0.1", strength=0.0), "strength is zero throughout.*Plain"),
        (lambda: dp.RWP(noise="gaussian:0.1", strength="linear:to=0"), "strength is zero throughout"),
        (lambda: dp.SAM(rho=0.0), "strength is zero throughout"),
        (lambda: method_of("sam-rwp", rho=0.0), r"rho is zero throughout; use RWP"),
        (lambda: method_of("sam-rwp", strength=0.0), r"noise is zero throughout; use SAM"),
        (lambda: dp.RWP(noise="gaussian:0.1", norms="clear"), "did you mean clean.*perturbed.*frozen"),
        (lambda: dp.RWP(noise="gaussian:0.1", seed=-1), "not negative"),
        (lambda: method_of("m-rwp", mix=0.0), r"\(0, 1\]"),
        (lambda: method_of("arwp", eta=0.0), "eta > 0"),
        (lambda: method_of("arwp", beta=1.0), "beta < 1"),
        (lambda: method_of("gsam", alpha=-1.0), "alpha >= 0"),
        (lambda: method_of("looksam", every=0), "every >= 1"),
        (lambda: method_of("sam", ascent_steps=0), "at least 1 ascent step"),
    ],
)
def test_impossible_settings_say_what_was_wanted(make: Callable[[], Method], message: str) -> None:
    with pytest.raises(DriftproofError, match=message):
        make()


def test_a_misspelt_setting_fails() -> None:
    with pytest.raises(TypeError, match="strenght"):
        dp.RWP(noise="gaussian:0.1", strenght=2.0)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="roh"):
        dp.SAM(roh=2.0)


@pytest.mark.parametrize("name", DEVICES)
def test_noise_that_perturbs_nothing_is_refused_every_time(name: str) -> None:
    network = smooth()
    before, method = state_of(network), method_of(name, noise="ideal")
    for _ in range(2):
        with pytest.raises(DriftproofError, match=f"method {name}: noise ideal at strength 1 perturbs nothing"):
            method.step(points_loss(network), network, sgd(network))
    assert equal(state_of(network), before)


def test_noise_below_the_weights_resolution_is_refused() -> None:
    network = smooth().bfloat16()
    method = method_of("rwp", noise="gaussian:1e-6")
    with pytest.raises(DriftproofError, match="perturbs nothing, as the weights' type holds it"):
        method.step(
            lambda: network(torch.ones(2, 5, dtype=torch.bfloat16)).float().square().mean(), network, sgd(network)
        )


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("at", [1, 2])
def test_a_loss_that_is_not_finite_updates_nothing(name: str, value: float, at: int) -> None:
    network, calls = small(), []
    method = method_of(name)
    method.begin(4)
    optimizer = sgd(network)
    for _ in range(2):
        method.step(images_loss(network), network, optimizer)

    def closure() -> Tensor:
        calls.append(1)
        return images_loss(network)() * (value if len(calls) == at else 1.0)

    before = state_of(network)
    message = said(lambda: method.step(closure, network, optimizer))
    if len(calls) < at:
        assert not message, "a method of one pass"
        return
    assert f"weights is {value}: nothing was updated. Lower the learning rate" in message
    assert equal(state_of(network), before)


class _NanGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return gradients[0] * float("nan")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("at", [1, 2])
def test_a_gradient_that_is_not_finite_updates_nothing(name: str, at: int) -> None:
    network, calls = small(), []
    method = method_of(name)
    method.begin(4)
    optimizer = sgd(network)
    for _ in range(2):
        method.step(images_loss(network), network, optimizer)

    def closure() -> Tensor:
        loss = images_loss(network)()
        if loss.requires_grad:
            calls.append(1)
        return _NanGradient.apply(loss) if len(calls) == at else loss  # type: ignore[no-untyped-call,no-any-return]

    before = state_of(network)
    message = said(lambda: method.step(closure, network, optimizer))
    if len(calls) < at:
        assert not message, "a method of one pass"
        return
    assert "the gradient" in message
    assert "is nan: nothing was updated. Lower" in message
    assert equal(state_of(network), before)


def test_a_gradient_that_is_zero_from_the_start_is_refused_later_it_is_not() -> None:
    network, method = smooth(), method_of("sam")
    with pytest.raises(DriftproofError, match="no way up"):
        method.step(lambda: network(POINTS).sum() * 0.0, network, sgd(network))
    frozen = smooth(bias=True)
    frozen[0].weight.requires_grad = frozen[2].weight.requires_grad = False
    with pytest.raises(DriftproofError, match=r"no way up.*frozen"):
        method_of("sam").step(points_loss(frozen), frozen, sgd(frozen))
    for name in ("sam", "asam", "gsam", "looksam", "sam-rwp"):
        network, method = smooth(), method_of(name)
        optimizer = sgd(network)
        method.step(points_loss(network), network, optimizer)
        method.step(lambda net=network: net(POINTS).sum() * 0.0, network, optimizer)  # type: ignore[misc]
        method.step(points_loss(network), network, optimizer)
        assert all(bool(torch.isfinite(p).all()) for p in network.parameters())


def test_a_ramp_wants_to_know_how_many_updates_there_are() -> None:
    network, method = smooth(), method_of("rwp", ramped=rising())
    with pytest.raises(DriftproofError, match=r"give it steps=, or call method\.begin"):
        method.step(points_loss(network), network, sgd(network))
    with pytest.raises(DriftproofError, match="spans 10 updates, the run has 5"):
        method_of("rwp", strength=dp.ramp("linear", to=1.0, steps=10)).begin(5)
    with pytest.raises(DriftproofError, match="spans 10 updates, the run has 5"):
        method_of("sam-rwp", strength=dp.ramp("linear", to=1.0, steps=10), rho=0.1).begin(5)


def test_closures_are_checked() -> None:
    network, other = smooth(), smooth()
    step = method_of("rwp").step
    for wrong, message in (
        ([], "no closure came"),
        (points_loss(network)(), "came as Tensor; wanted a function"),
        (points_loss(other), "did not call the network"),
        (lambda: network(POINTS), r"a tensor of shape \[8, 2\]; wanted the loss as a tensor of one number"),
        (lambda: float(network(POINTS).detach().sum()), "returned a float"),
        (lambda: points_loss(network)().detach(), "has no gradient"),
    ):
        with pytest.raises(DriftproofError, match=message):
            step(wrong, network, sgd(network))  # type: ignore[arg-type]
    with pytest.raises(DriftproofError, match="3 closures came; this method wants one, or a multiple of 2"):
        method_of("m-rwp").step([points_loss(network)] * 3, network, sgd(network))
    with pytest.raises(DriftproofError, match="no parameter of the optimizer has a gradient"):
        step(points_loss(network), network, sgd(other))
    with pytest.raises(DriftproofError, match="LBFGS"):
        step(points_loss(network), network, torch.optim.LBFGS(network.parameters()))


def test_a_loss_of_shape_one_is_a_scalar() -> None:
    network = smooth()
    loss = method_of("rwp").step(lambda: points_loss(network)().reshape(1), network, sgd(network))
    assert loss.shape == ()


def test_a_closure_that_calls_nothing_moves_no_statistics() -> None:
    network = small()
    wrapped, before = nn.DataParallel(network), state_of(network)

    class Elsewhere(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = network

    outer = Elsewhere()
    with pytest.raises(DriftproofError, match="did not call the network"):
        method_of("rwp").step(lambda: nn.functional.mse_loss(wrapped(IMAGES), torch.zeros(8, 3)), outer, sgd(network))
    assert equal(state_of(network), before)


def test_another_network_or_another_methods_state_is_refused() -> None:
    network, other, method = smooth(), smooth(), method_of("rwp")
    method.step(points_loss(network), network, sgd(network))
    with pytest.raises(DriftproofError, match="prepared for another network"):
        method.step(points_loss(other), other, sgd(other))
    with pytest.raises(DriftproofError, match="state of a method 'rwp'; this one is looksam"):
        method_of("looksam").load_state_dict(method.state_dict())


def test_two_methods_do_not_share_a_strength_that_adapts() -> None:
    strength = Adaptive(to=1.0, steps=4)
    for _ in range(2):
        network, method = smooth(), method_of("rwp", strength=strength)
        optimizer, levels = sgd(network), []
        for _ in range(3):
            method.step(points_loss(network), network, optimizer)
            assert method.last is not None
            levels.append(method.last.level)
        assert levels[0] == 0.0
        assert levels[2] > 0


# --- what is no noise ---


def test_a_device_that_changes_in_time_wants_a_time() -> None:
    for noise in ("pcm-nandakumar-2019", load_preset("pcm-nandakumar-2019"), "gaussian:0.1,fc=pcm-nandakumar-2019"):
        with pytest.raises(DriftproofError, match=r"its errors change in time; say when: .*@1d as text"):
            as_noise(noise)
    assert str(as_noise("pcm-nandakumar-2019@1d")) == "pcm-nandakumar-2019@1d"
    assert str(as_noise(load_preset("gaussian:0.1"))) == "gaussian:0.1"


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("gausian:0.1", "did you mean gaussian"),
        ("norm:much", "wanted a number after the colon"),
        ("norm:-1", "wanted a gamma above 0"),
        ("pcm-nandakumar-2019@soon", "wanted seconds"),
        ("pcm-nandakumar-2019@1y..1h", "ascends"),
        (3.0, "came as float; wanted preset.at"),
    ],
)
def test_what_is_no_noise_says_what_was_wanted(wrong: Any, message: str) -> None:
    with pytest.raises(DriftproofError, match=message):
        as_noise(wrong)


def test_measured_chips_are_no_noise(tmp_path: Path) -> None:
    pair = 'name = "mine"\n[conductance]\nencoding = "pair"\ng_min_us = 0.0\ng_max_us = 20.0\n'
    (tmp_path / "device.toml").write_text(pair, encoding="utf-8")
    np.savez(tmp_path / "fc.npz", g_plus_us=np.array([[20.0, 5.0]]), g_minus_us=np.zeros((1, 2)))
    for chips in (f"measured:{tmp_path}", load_measured(tmp_path)):
        with pytest.raises(DriftproofError, match="learnt by heart; fit a preset"):
            as_noise(chips)  # type: ignore[arg-type]


def test_a_time_outside_of_what_was_measured_warns() -> None:
    device = load_preset("reram-wan-2022")
    with pytest.warns(DriftproofWarning, match="outside the times"):
        DeviceNoise(device.at("10y"))
