"""Half precision: an overflow in any pass leaves clean weights and no update; bfloat16 weights never wander."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from driftproof.training._methods import Method
from training.small import (
    ASCENDING,
    DRAWING,
    IMAGES,
    NAMES,
    PERTURBING,
    POINTS,
    VALUES,
    Overflow,
    Small,
    equal,
    gradients_of,
    images_loss,
    method_of,
    points_loss,
    sgd,
    small,
    smooth,
    state_of,
)


def autocast_loss(network: nn.Module, dtype: torch.dtype) -> Callable[[], Tensor]:
    def closure() -> Tensor:
        with torch.autocast("cpu", dtype):
            return images_loss(network)()

    return closure


def prepared(name: str, **options: Any) -> tuple[Small, Method, torch.optim.Optimizer, torch.amp.GradScaler]:
    """A network two updates into its training: multi-step SAM perturbs, ARWP and LookSAM have a past."""
    network, method = small(), method_of(name, **options)
    method.begin(10)
    optimizer, scaler = sgd(network), torch.amp.GradScaler("cpu", init_scale=2.0**10)
    for _ in range(2):
        method.step(autocast_loss(network, torch.float16), network, optimizer, scaler=scaler)
        assert method.last is not None
        assert not method.last.skipped
    return network, method, optimizer, scaler


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("at", [1, 2, 3])
@pytest.mark.parametrize("micro", [1, 2])
def test_an_overflow_in_any_pass_leaves_clean_weights_and_skips_the_update(name: str, at: int, micro: int) -> None:
    network, method, optimizer, scaler = prepared(name)
    calls: list[int] = []

    def closure() -> Tensor:
        loss = autocast_loss(network, torch.float16)()
        if not loss.requires_grad:  # a pass for statistics alone
            return loss
        calls.append(1)
        return Overflow.apply(loss) if len(calls) == at else loss

    before, scale = (state_of(network), copy.deepcopy(optimizer.state_dict())), scaler.get_scale()
    weights = {key: value for key, value in before[0].items() if "norm." not in key or "weight" in key or "bias" in key}
    own = {key: value for key, value in method.state_dict().items() if key in ("squares", "kept", "schedules")}
    method.step([closure] * micro, network, optimizer, scaler=scaler)
    assert method.last is not None
    if len(calls) < at:  # it has fewer passes
        assert not method.last.skipped
        return
    assert method.last.skipped
    assert all(torch.equal(network.state_dict()[key], value) for key, value in weights.items())
    assert equal(optimizer.state_dict(), before[1])
    assert scaler.get_scale() < scale
    assert all(equal(method.state_dict()[key], value) for key, value in own.items())
    method.step([closure] * micro, network, optimizer, scaler=scaler)
    assert not method.last.skipped
    assert all(bool(torch.isfinite(p).all()) for p in network.parameters())


@pytest.mark.parametrize("name", NAMES)
def test_the_scale_of_the_loss_is_not_in_the_update(name: str) -> None:
    """In float32 a scaler changes nothing but roundings: every gradient that a method uses is unscaled."""
    networks, losses = [smooth(bias=True), smooth(bias=True)], []
    for network, scale in zip(networks, (None, 2.0**14), strict=True):
        method, optimizer = method_of(name), sgd(network)
        method.begin(8)
        scaler = None if scale is None else torch.amp.GradScaler("cpu", init_scale=scale)
        for _ in range(6):
            closures = [points_loss(network, slice(0, 4)), points_loss(network, slice(4, 8))]
            losses.append(float(method.step(closures, network, optimizer, scaler=scaler)))
    assert losses[:6] == pytest.approx(losses[6:], rel=1e-5)
    for a, b in zip(networks[0].parameters(), networks[1].parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_autocast_training_is_near_that_in_full_precision(name: str, dtype: torch.dtype) -> None:
    exact, half = smooth(bias=True), smooth(bias=True)
    for network in (exact, half):
        method, optimizer, scaler = method_of(name, seed=1), sgd(network), None
        method.begin(6)
        if network is half and dtype == torch.float16:
            scaler = torch.amp.GradScaler("cpu", init_scale=2.0**8)

        def closure(network: nn.Module = network) -> Tensor:
            with torch.autocast("cpu", dtype, enabled=network is half):
                return nn.functional.mse_loss(network(POINTS).float(), VALUES)

        for _ in range(4):
            method.step(closure, network, optimizer, scaler=scaler)

    def farthest(a: nn.Module, b: nn.Module) -> float:
        return max(float((p - q).detach().abs().max()) for p, q in zip(a.parameters(), b.parameters(), strict=True))

    assert 0 < farthest(exact, half) < 0.05 * farthest(exact, smooth(bias=True))


@pytest.mark.parametrize("name", PERTURBING)
def test_a_step_inside_autocast_is_one_with_autocast_inside(name: str) -> None:
    """Autocast keeps half-precision copies of weights until its end: they must not hide the perturbation."""
    inside, outside = smooth(), smooth()
    for network in (inside, outside):
        method, optimizer = method_of(name), sgd(network)
        method.begin(4)

        def closure(network: nn.Module = network) -> Tensor:
            with torch.autocast("cpu", torch.bfloat16):
                return nn.functional.mse_loss(network(POINTS).float(), VALUES)

        for _ in range(3):
            if network is outside:
                with torch.autocast("cpu", torch.bfloat16):
                    method.step(closure, network, optimizer)
            else:
                method.step(closure, network, optimizer)
    assert equal(state_of(inside), state_of(outside))


@pytest.mark.parametrize("name", NAMES)
def test_bfloat16_weights_are_given_back_bit_for_bit(name: str) -> None:
    network = smooth().bfloat16()
    method = method_of(name, seed=3)
    method.begin(200)
    optimizer, before = torch.optim.SGD(network.parameters(), lr=0.0), state_of(network)
    points, values = POINTS.bfloat16(), VALUES.bfloat16()
    held = set()

    def closure() -> Tensor:
        held.add(float(network[0].weight.detach().float().sum()))  # type: ignore[operator]
        return nn.functional.mse_loss(network(points), values)

    for _ in range(200):
        method.step(closure, network, optimizer)
    assert equal(state_of(network), before)
    assert len(held) > (100 if name in DRAWING else 1 if name in ASCENDING else 0)


@pytest.mark.parametrize("name", NAMES)
def test_a_scaler_that_is_switched_off_is_none(name: str) -> None:
    """``GradScaler(enabled=False)`` is what many loops have outside of half precision; a NaN must still be loud."""
    first, second = smooth(), smooth()
    for network, scaler in ((first, None), (second, torch.amp.GradScaler("cpu", enabled=False))):
        method, optimizer = method_of(name), sgd(network)
        method.begin(4)
        for _ in range(3):
            method.step(points_loss(network), network, optimizer, scaler=scaler)
    assert equal(state_of(first), state_of(second))
    with pytest.raises(ValueError, match=r"is (nan|inf): nothing was updated"):
        method.step(
            lambda: Overflow.apply(points_loss(second)()),
            second,
            optimizer,
            scaler=torch.amp.GradScaler("cpu", enabled=False),
        )


def test_a_fused_optimizer_skips_too() -> None:
    network = smooth()
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.1, fused=True)
    method, scaler = method_of("sam"), torch.amp.GradScaler("cpu", init_scale=4.0)
    method.step(points_loss(network), network, optimizer, scaler=scaler)
    before = state_of(network)
    method.step(
        lambda: Overflow.apply(points_loss(network)()),
        network,
        optimizer,
        scaler=scaler,
    )
    assert method.last is not None
    assert method.last.skipped
    assert equal(state_of(network), before)


def test_clipping_is_of_the_unscaled_gradient() -> None:
    network = smooth()
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10)
    method = method_of("rwp")
    optimizer = sgd(network, 0.0)
    seen = gradients_of(optimizer)
    method.step(points_loss(network), network, optimizer, scaler=scaler, clip_norm=0.01)
    size = torch.linalg.vector_norm(torch.cat([g.flatten() for g in seen if g is not None]))
    assert float(size) == pytest.approx(0.01, rel=1e-3)
    assert IMAGES.dtype == torch.float32
