"""Weight clipping: to a multiple of the standard deviation of the crossbar's columns, or of the layer."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import driftproof as dp
from driftproof._errors import DriftproofError
from driftproof.training import ClipWeights
from driftproof.training._weights import AnalogWeights
from training.small import method_of, points_loss, sgd, smooth, state_of
from training.test_noise import LAYERS, columns


def outliers(kind: str) -> tuple[nn.Module, Tensor]:
    module, shape = LAYERS[kind]
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        weight = torch.randn(module.weight.shape, generator=generator)  # type: ignore[arg-type]
        weight.view(-1)[::7] *= 5
        module.weight.copy_(weight)  # type: ignore[operator]
    return module, torch.ones(shape)


@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("per", ["column", "layer"])
def test_weights_are_clipped_to_the_spread_of_their_column(kind: str, per: str) -> None:
    module, x = outliers(kind)
    before = columns(kind, module.weight.detach().clone())  # type: ignore[operator]
    clipped = ClipWeights(sigmas=1.2, per=per).apply(AnalogWeights.of(module, x))  # type: ignore[arg-type]
    after = columns(kind, module.weight.detach())  # type: ignore[operator]
    limits = before.std(1, correction=0) if per == "column" else before.std(correction=0).expand(len(before))
    count = 0
    for row, wanted, limit in zip(after.tolist(), before.tolist(), (1.2 * limits).tolist(), strict=True):
        for got, was in zip(row, wanted, strict=True):
            assert got == pytest.approx(max(-limit, min(limit, was)), rel=1e-5)
            count += abs(was) > limit
    assert clipped == count > 0


def test_what_is_left_alone() -> None:
    network = smooth(bias=True)
    with torch.no_grad():
        network[0].weight[0] = 2.0  # type: ignore[operator]  # equal weights have no spread
        network[2].weight[:, 0] = 30.0  # type: ignore[operator]
        network[2].bias[0] = 50.0  # type: ignore[operator]  # digital
    network[2].weight.requires_grad = False
    before = state_of(network)
    assert ClipWeights(sigmas=10.0).apply(AnalogWeights.of(network, torch.ones(1, 5))) == 0
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_equal_weights_have_no_spread_even_if_rounding_gives_them_one() -> None:
    network = nn.Linear(7, 1)
    with torch.no_grad():
        network.weight.fill_(0.1)
    assert float(network.weight.detach().std(1, correction=0).max()) > 0
    assert ClipWeights(sigmas=2.0).apply(AnalogWeights.of(network, torch.ones(1, 7))) == 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_every_type_of_weight_can_be_clipped(dtype: torch.dtype) -> None:
    network = nn.Linear(50, 3, bias=False).to(dtype)
    with torch.no_grad():
        network.weight[:, 0] = 9.0
    weights = AnalogWeights.of(network, torch.ones(1, 50, dtype=dtype))
    assert ClipWeights(sigmas=2.0).apply(weights) == 3
    assert network.weight.dtype == dtype
    assert float(network.weight.detach().max()) < 9.0


def test_an_update_that_was_skipped_clips_nothing() -> None:
    network = smooth()
    before = state_of(network)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**127)
    method = method_of("plain", clip=ClipWeights(sigmas=0.5))
    method.step(lambda: 100 * points_loss(network)(), network, sgd(network), scaler=scaler)
    assert method.last is not None
    assert method.last.skipped
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    scaler = torch.amp.GradScaler("cpu")
    method.step(points_loss(network), network, sgd(network), scaler=scaler)
    assert method.last.clipped > 0


def test_what_is_no_multiple_is_refused() -> None:
    for sigmas in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(DriftproofError, match="wanted a number above 0"):
            ClipWeights(sigmas=sigmas)
    with pytest.raises(DriftproofError, match="per 'row'"):
        ClipWeights(sigmas=2.0, per="row")  # type: ignore[arg-type]


def test_clipping_comes_after_the_update() -> None:
    network = smooth().double()
    method = dp.Plain(clip=ClipWeights(sigmas=1.0, per="layer"))
    reference = smooth().double()
    method.step(points_loss(network), network, torch.optim.SGD(network.parameters(), lr=0.1))
    gradients = torch.autograd.grad(points_loss(reference)(), list(reference.parameters()))
    for got, before, gradient in zip(network.parameters(), reference.parameters(), gradients, strict=True):
        moved = (before - 0.1 * gradient).detach()
        limit = float(moved.std(correction=0))
        torch.testing.assert_close(got.detach(), moved.clamp(-limit, limit), rtol=1e-6, atol=1e-9)


def test_noise_injection_is_gaussian_noise_of_the_layers_maximum_and_clipping() -> None:
    """Joshi et al. 2020: 3.8 % of the layer's largest weight, clipped at 2 σ of the layer after the update."""
    torch.manual_seed(0)
    network = nn.Linear(300, 200, bias=False)
    with torch.no_grad():
        network.weight[0, 0] = 10.0  # the layer's maximum, far beyond 2 σ
    before, held = network.weight.detach().clone(), []

    def closure() -> Tensor:
        held.append(network.weight.detach().clone())
        loss: Tensor = network(torch.ones(1, 300)).sum() * 1e-9
        return loss

    method = dp.NoiseInjection()
    method.step(closure, network, torch.optim.SGD(network.parameters(), lr=1e-9))
    error = held[-1] - before
    # 60,000 errors: their spread is within 5.2 of its standard errors, false alarm 2e-7
    assert float(error.std()) == pytest.approx(0.038 * 10.0, rel=5.2 / (2 * 60_000) ** 0.5)
    limit = 2 * float(before.std(correction=0))
    torch.testing.assert_close(network.weight.detach(), before.clamp(-limit, limit), rtol=1e-5, atol=1e-6)
    assert method.last is not None
    assert method.last.clipped == int((before.abs() > limit).sum())


def test_weights_that_the_optimizer_does_not_have_are_not_clipped() -> None:
    """Fine-tuning of the last layer: the others take a gradient, but nothing of the training may move them."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(20, 20), nn.ReLU(), nn.Linear(20, 2))
    with torch.no_grad():
        for name in ("0.weight", "2.weight"):
            network.get_parameter(name)[0, 0] = 9.0
    before = network.get_parameter("0.weight").detach().clone()
    method, x = dp.RWP(noise="gaussian:0.1", clip=ClipWeights(sigmas=2.0)), torch.ones(4, 20)
    optimizer = torch.optim.SGD(network[2].parameters(), lr=0.01)
    method.step(lambda: network(x).square().mean(), network, optimizer)
    assert torch.equal(network.get_parameter("0.weight"), before)
    assert float(network.get_parameter("2.weight").detach()[0, 0]) < 6
    assert method.last is not None
    assert method.last.clipped == 1


@pytest.mark.parametrize("clip", [2.0, {"sigmas": 2.0}, True])
def test_something_else_as_clipping_is_refused(clip: Any) -> None:
    with pytest.raises(DriftproofError, match=rf"clip: a {type(clip).__name__} came; wanted ClipWeights"):
        dp.RWP(noise="gaussian:0.1", clip=clip)


def test_clipping_of_aihwkit_is_refused_with_the_way() -> None:
    parameters = pytest.importorskip("aihwkit.simulator.parameters")
    with pytest.raises(DriftproofError, match=r"WeightClipParameter came.*driftproof.from_aihwkit\(…\).clip"):
        dp.Plain(clip=parameters.WeightClipParameter())
