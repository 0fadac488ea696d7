"""Wrong use of a method is loud: it says what came, what was wanted and what to do, and nothing is updated."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import driftproof as dp
from driftproof._errors import DriftproofError, DriftproofWarning
from driftproof._presets import AtTime, at_time, load_preset, without
from driftproof.analysis import loss_surface
from driftproof.measured import load_measured
from driftproof.training._methods import Method
from driftproof.training._methods.by_name import METHODS
from driftproof.training._noise import DeviceNoise, Key, as_noise
from driftproof.training._schedules import Adaptive
from driftproof.training._settings import Settings
from driftproof.training._weights import AnalogWeights
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


def of_any(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function whose arguments the type checker does not look at."""
    return function


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
        (lambda: of_any(dp.RWP)(noise="gaussian:0.1", norms="clear"), "did you mean clean.*perturbed.*frozen"),
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


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: dp.RWP(noise="gaussian:0.1", strenght=2.0), r"RWP.*keyword 'strenght' \(did you mean strength\?\)"),
        (lambda: dp.SAM(roh=2.0), r"SAM.*keyword 'roh' \(did you mean rho\?\).* rho, adaptive, ascent_steps, "),
        (lambda: dp.SAM(strength=2.0), "SAM.*keyword 'strength'.*rho, .*norms, clip, on_tiles, seed"),
        (lambda: dp.ASAM(adaptive=False), "ASAM.*keyword 'adaptive'.*rho, ascent_steps"),
        (lambda: of_any(dp.Plain)(strength=1.0), "Plain.*keyword 'strength'.*norms, clip, on_tiles, seed$"),
        (lambda: dp.NoiseInjection(noise="gaussian:0.1"), "NoiseInjection.*keyword 'noise'.*sigma, relative_to, clip"),
        (lambda: dp.SAMRWP(noise="gaussian:0.1", strenth=1.0), "did you mean strength.*noise, rho, strength"),
        (lambda: dp.AdaptiveRWP(noise="gaussian:0.1", etta=1.0), "AdaptiveRWP.*keyword 'etta' .did you mean eta"),
        (lambda: method_of("gsam", alfa=0.1), "GSAM.*keyword 'alfa' .did you mean alpha"),
        (lambda: of_any(Settings)(epochs=1, batchsize=2), "Settings.*keyword 'batchsize' .did you mean batch_size"),
        (lambda: of_any(dp.OnTiles)(tiles=None), "MappingOptions.*keyword 'tiles' .did you mean tile"),
        (lambda: of_any(dp.ClipWeights)(sigma=2.0), "ClipWeights.*keyword 'sigma' .did you mean sigmas"),
        (
            lambda: of_any(dp.Distillation)(temprature=2.0),
            "Distillation.*keyword 'temprature' .did you mean temperature",
        ),
        (lambda: of_any(Adaptive)(to=1.0, colapse=0.5), "Adaptive.*keyword 'colapse' .did you mean collapse"),
        (lambda: of_any(loss_surface)(smooth(), (POINTS, POINTS), "gaussian:0.1", pionts=3), "did you mean points"),
        (lambda: dp.train(smooth(), (POINTS, POINTS), epoch=1), "train.*keyword 'epoch' .did you mean epochs"),
        (
            lambda: dp.train(smooth(), (POINTS, POINTS), epochs=1, batchsize=2),
            r"train.*keyword 'batchsize' \(did you mean batch_size\?\).* model, data, method, epochs, .*lr, ",
        ),
        (
            lambda: dp.train(smooth(), (POINTS, POINTS), settings=Settings(epochs=1), batchsize=2),
            "train.*keyword 'batchsize'",
        ),
        (
            lambda: dp.train(smooth(), (POINTS, POINTS), settings=Settings(epochs=1), lr=0.1),
            r"settings.* lr .*one or the other",
        ),
    ],
)
def test_a_misspelt_setting_is_named_with_the_nearest_one_and_all_there_are(
    make: Callable[[], Any], message: str
) -> None:
    with pytest.raises(DriftproofError, match=message):
        make()


def test_a_method_of_ones_own_takes_its_settings_and_those_of_the_class_above() -> None:
    class Mine(dp.SAM):
        fixed = ("adaptive",)

        def __init__(self, *, mine: int = 1, **options: Any) -> None:
            super().__init__(adaptive=True, **options)

    assert Mine(mine=2, rho=0.1, seed=3).seed == 3
    with pytest.raises(DriftproofError, match=r"Mine.*keyword 'mime' .did you mean mine.*; .*mine, rho, ascent_st"):
        Mine(mime=2)
    copied = copy.deepcopy(Mine(seed=3))
    assert (type(copied), copied.seed) == (Mine, 3)


def test_a_weight_that_would_stay_digital_unasked_is_refused_if_all_are_to_be_analog() -> None:
    class Odd(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            return (x[:, None] * self.weight).sum(-1)

    network = nn.Sequential(nn.Linear(5, 5), Odd(5, 2, bias=False))
    with pytest.warns(DriftproofWarning, match=r"1 weight .*stays digital.*1 \(Odd\)"):
        assert list(AnalogWeights.of(network, POINTS).parameters) == ["0"]
    with pytest.raises(DriftproofError, match=r"all_analog: 1 weights? .*would stay digital"):
        AnalogWeights.of(network, POINTS, dp.OnTiles(all_analog=True))


@pytest.mark.parametrize("asked", ["all_analog", "strict"])
@pytest.mark.parametrize("name", ["plain", "rwp"])
def test_a_training_refuses_what_would_stay_digital_if_that_is_asked(name: str, asked: str, tmp_path: Path) -> None:
    class Odd(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            return (x[:, None] * self.weight).sum(-1)

    network = nn.Sequential(nn.Linear(5, 5), Odd(5, 2, bias=False))
    points, method = (POINTS, torch.zeros(8, 2)), method_of(name)

    def train(method: Method, **more: Any) -> None:
        dp.train(network, points, method=method, epochs=1, batch_size=8, loss="mse", **more)

    with pytest.raises(DriftproofError, match=r"all_analog: 1 weight .*would stay digital.*: 1 \(Odd\)"):
        train(method, out=tmp_path / "new", **{asked: True})
    assert not (tmp_path / "new").exists()
    with pytest.warns(DriftproofWarning, match="1 weight .*stays digital"):
        train(method)  # it was asked of that training alone
    train(method_of(name, on_tiles=dp.OnTiles(where="!1")), **{asked: True})  # digital on purpose


@pytest.mark.parametrize("name", DEVICES)
def test_noise_that_perturbs_nothing_is_refused_every_time(name: str) -> None:
    network = smooth()
    before, method = state_of(network), method_of(name, noise="ideal")
    for _ in range(2):
        with pytest.raises(DriftproofError, match=rf"{name}: noise ideal at strength 1 .*nothing.*Plain"):
            method.step(points_loss(network), network, sgd(network))
    assert equal(state_of(network), before)


def test_noise_below_the_weights_resolution_is_refused() -> None:
    network = smooth().bfloat16()
    method = method_of("rwp", noise="gaussian:1e-6")
    with pytest.raises(DriftproofError, match=r"perturbs nothing.*type.*larger strength"):
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
        return _NanGradient.apply(loss) if len(calls) == at else loss

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
        (points_loss(network)(), "Tensor.*wanted a function"),
        (points_loss(other), "did not call the network"),
        (lambda: network(POINTS), r"tensor of shape \[8, 2\].*one number"),
        (lambda: float(network(POINTS).detach().sum()), "returned a float"),
        (lambda: points_loss(network)().detach(), "has no gradient"),
    ):
        with pytest.raises(DriftproofError, match=message):
            step(wrong, network, sgd(network))  # type: ignore[arg-type]
    with pytest.raises(DriftproofError, match=r"3 closures.*multiple of 2"):
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
    with pytest.raises(DriftproofError, match=r"'rwp'.*looksam"):
        method_of("looksam").load_state_dict(method.state_dict())


@pytest.mark.parametrize("name", NAMES)
def test_every_method_is_a_class_of_its_name_and_refuses_the_states_of_all_others(name: str) -> None:
    method = method_of(name)
    assert method.name == type(method).name == name
    assert isinstance(METHODS[name].make, type)
    method.load_state_dict(method_of(name).state_dict())
    for other in NAMES:
        if other != name:
            with pytest.raises(DriftproofError, match=rf"'{other}'.* {name}$"):
                method.load_state_dict(method_of(other).state_dict())


def test_an_adaptive_sam_is_asam() -> None:
    adaptive, asam = dp.SAM(rho=0.5, adaptive=True), dp.ASAM()
    assert adaptive.describe() == asam.describe()
    asam.load_state_dict(adaptive.state_dict())
    with pytest.raises(DriftproofError, match=r"'asam'.* sam"):
        dp.SAM().load_state_dict(adaptive.state_dict())
    assert dp.GSAM(adaptive=True).name == "gsam"
    assert dp.MultiStepSAM(adaptive=True).name == "multi-step-sam"


def test_two_methods_do_not_share_a_strength_that_adapts() -> None:
    strength = Adaptive(to=1.0, steps=4)
    for _ in range(2):
        network, method = smooth(), method_of("rwp", strength=strength)
        optimizer, levels = sgd(network), []
        for _ in range(3):
            method.step(points_loss(network), network, optimizer)
            assert method.last is not None
            levels.append(method.last.strength)
        assert levels[0] == 0.0
        assert levels[2] > 0


# --- what is no noise ---


def test_a_device_that_changes_in_time_wants_a_time() -> None:
    for noise in ("pcm-nandakumar-2019", load_preset("pcm-nandakumar-2019"), "gaussian:0.1,fc=pcm-nandakumar-2019"):
        with pytest.raises(DriftproofError, match=r"its errors change in time; say when: .*@1d as text"):
            as_noise(noise)
    # read noise that grows is an error that changes, though nothing drifts
    with pytest.raises(DriftproofError, match="its errors change in time"):
        as_noise(without(load_preset("pcm-nandakumar-2019"), "programming", "drift"))
    assert str(as_noise("pcm-nandakumar-2019@1d")) == "pcm-nandakumar-2019@1d"
    assert str(as_noise(load_preset("gaussian:0.1"))) == "gaussian:0.1"


def test_a_table_with_one_time_left_wants_no_time() -> None:
    for name in ("reram-wan-2022", "sonos-agrawal-2022"):
        device = without(load_preset(name), "drift")
        assert str(as_noise(device)) == device.name
    device = without(load_preset("reram-wan-2022"), "drift")
    weights, late = AnalogWeights.of(smooth(), POINTS), at_time(device, "1d", compensation="none")
    drawn, held = (as_noise(noise).draw(weights, Key(0, 0)) for noise in (device, late))
    assert all(torch.equal(drawn[layer], held[layer]) for layer in drawn | held)


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
        with pytest.raises(DriftproofError, match="by heart; fit a preset"):
            as_noise(chips)
    with pytest.raises(DriftproofError, match=r"noise measured:mine: .*a few measured chips.*by heart"):
        at_time(load_measured(tmp_path), "1d")
    with pytest.raises(DriftproofError, match=r"noise measured:mine: .*a few"):
        AtTime(device=load_measured(tmp_path), t_s=1.0)


def test_a_time_outside_of_what_was_measured_warns() -> None:
    device = load_preset("reram-wan-2022")
    with pytest.warns(DriftproofWarning, match="outside the times"):
        DeviceNoise(device.at("10y"))


@pytest.mark.parametrize("name", DEVICES)
def test_a_time_outside_of_what_was_measured_is_refused_if_that_is_asked(name: str) -> None:
    points = (POINTS, torch.zeros(8, 2))

    def train(noise: str, asked: str = "within_validity") -> None:
        method, more = method_of(name, noise=noise), dict[str, Any]({asked: True})
        dp.train(smooth(), points, method=method, epochs=1, batch_size=8, loss="mse", **more)

    train("reram-wan-2022@1d", "strict")
    train("gaussian:0.1")
    for late, asked in (("reram-wan-2022@10y", "strict"), ("reram-wan-2022@1d..10y", "within_validity")):
        with (
            pytest.warns(DriftproofWarning, match="outside the times"),
            pytest.raises(DriftproofError, match=r"within_validity: noise .*10y is at times.*is valid from 1 s to 2 d"),
        ):
            train(late, asked)


def test_errors_without_time_are_within_any_validity() -> None:
    for noise in ("gaussian:0.1", "reram-milo-2021", "norm:0.005", "levels:15"):
        as_noise(noise).check_validity()
    DeviceNoise(load_preset("gaussian:0.1").at("200y"), timeless=True).check_validity()
