"""Energy-based methods in a training: resumed, with the noise of a device, and over batches of several sizes."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import driftproof as dp
from driftproof.data import digits
from driftproof.energy import CenteredEP, HopfieldNetwork, dchn, hopfield_dense
from driftproof.training._methods.by_name import make_method
from energy.reference import ALGORITHMS, Phases, centered_ep, net_of, zeros
from energy.small import batch_of, gradients, network_of, pool_of, relative, squared_error
from training.small import equal, gradients_of, state_of


class Stop(Exception):
    pass


def made(**options: Any) -> Any:
    return CenteredEP(beta=0.2, perturbed_iterations=4, iterations=6, start="previous", **options)


def dense() -> HopfieldNetwork:
    torch.manual_seed(0)
    return hopfield_dense([64, 16, 10], iterations=6)


def convolutional() -> HopfieldNetwork:
    torch.manual_seed(0)
    return dchn([4, 4], image=(1, 8), iterations=6)


@pytest.mark.parametrize("noise", [None, "gaussian:0.1", "pcm-nandakumar-2019@1d"])
@pytest.mark.parametrize("make", [dense, convolutional])
def test_a_run_that_goes_on_equals_one_that_never_stopped(make: Any, noise: str | None, tmp_path: Path) -> None:
    """Stopped after an epoch, before the end of the next; each free phase starts from the state of the batch before."""
    data, options = digits("train").head(72), {} if noise is None else {"noise": noise}

    def train(folder: str, stop_at: int = 0) -> dp.training.Training:
        epochs = iter(range(1, 4))

        def validate(_: nn.Module) -> float:
            if next(epochs) == stop_at:
                raise Stop
            return 0.0

        return dp.train(
            make(),
            data,
            method=made(**options),
            epochs=3,
            batch_size=24,
            lr=0.05,
            validate=validate,
            out=tmp_path / folder,
        )

    whole = train("whole")
    with pytest.raises(Stop):
        train("parts", stop_at=2)
    parts = train("parts")
    assert equal(state_of(whole.model), state_of(parts.model))
    assert not equal(state_of(whole.model), state_of(make()))
    for row, again in zip(whole.rows, parts.rows, strict=True):
        assert {k: v for k, v in row.items() if k != "seconds"} == {k: v for k, v in again.items() if k != "seconds"}
    for file in ("best.safetensors", "last.safetensors"):
        assert (tmp_path / "whole" / file).read_bytes() == (tmp_path / "parts" / file).read_bytes()


@pytest.mark.parametrize(
    "more",
    [{"iterations": 7}, {"order": "synchronous"}, {"pool": "average"}, {"backpropagated": 3}, {"tolerance": 0.1}],
)
def test_a_network_with_other_settings_does_not_go_on(more: dict[str, Any], tmp_path: Path) -> None:
    """Of the same weights: iterations, order and pooling are not among them, and change the training."""
    data = digits("train").head(24)
    for settings in ({}, more):
        torch.manual_seed(0)
        network = dchn([4], image=(1, 8), **({"iterations": 6} | settings))
        context = pytest.raises(dp.DriftproofError, match="Choose another folder") if settings else nullcontext()
        with context:
            dp.train(network, data, method=made(), epochs=1, batch_size=24, out=tmp_path)


def test_the_free_state_goes_on_with_a_saved_method() -> None:
    """It is a part of the method's state: without it the next update is another one."""
    ends = []
    for keep in (None, "state", "nothing"):
        network, method = network_of("dense 3"), made()
        optimizer = torch.optim.SGD(network.parameters(), lr=0.5)
        for number in range(4):
            if number == 2 and keep:
                saved, method = method.state_dict(), made()
                if keep == "state":
                    method.load_state_dict(saved)
            x, y = batch_of("dense 3", seed=number)
            method.step(squared_error(network, x, y), network, optimizer)
        ends.append(state_of(network))
    assert equal(ends[0], ends[1])
    assert not equal(ends[0], ends[2])


def test_a_batch_of_another_size_starts_from_zero() -> None:
    network, method = network_of("dense 3"), made()
    net, phases = net_of(network), Phases(6, 4, "asynchronous")
    gradients(method, network, *batch_of("dense 3", samples=5))
    x, y = batch_of("dense 3", samples=3, seed=1)
    wanted = centered_ep(net, zeros(net, x), y, 0.2, phases)
    got = gradients(method, network, x, y)
    assert max(relative(a, b) for a, b in zip(got, wanted.gradient, strict=True)) < 1e-10


def test_a_failed_update_leaves_the_free_state_as_it_was() -> None:
    network, method = network_of("dense 3"), made()
    (x, y), optimizer = batch_of("dense 3"), torch.optim.SGD(network.parameters(), lr=0.1)
    method.step(squared_error(network, x, y), network, optimizer)
    before = method.state_dict()
    with pytest.raises(dp.DriftproofError, match="squared error"):
        method.step(lambda: network(1 - x).square().sum(), network, optimizer)
    assert equal(method.state_dict()["_layers"], before["_layers"])


@pytest.mark.parametrize("kind", ["dense 3", "max"])
@pytest.mark.parametrize("name", ALGORITHMS)
def test_with_noise_the_gradient_is_that_of_the_perturbed_weights(name: str, kind: str) -> None:
    """One draw in all phases; the update is applied to the clean weights."""
    network, (x, y) = network_of(kind, iterations=6), batch_of(kind)
    strength = {} if name == "cl" else {"beta": 0.2}
    method: Any = make_method(name, noise="gaussian:0.1", iterations=6, perturbed_iterations=4, **strength)
    drawn: list[dict[str, Any]] = []
    draw = method.drawn

    def noted(passes: Any) -> dict[str, Any]:
        drawn.append(draw(passes))
        return drawn[-1]

    method.drawn = noted
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    seen, layers = gradients_of(optimizer), None
    for step in range(2):
        clean = state_of(network)
        method.step(squared_error(network, x, y), network, optimizer)
        assert len(drawn) == step + 1
        noisy = network_of(kind)
        noisy.load_state_dict(clean | {f"{array}.weight": value for array, value in drawn[-1].items()})
        assert len(drawn[-1]) == len(network.edges)
        assert all(not torch.equal(clean[key], value) for key, value in noisy.state_dict().items() if "weight" in key)
        net = net_of(noisy, pool_of(kind))
        start = zeros(net, x) if layers is None else [x, *layers[1:]]
        wanted = ALGORITHMS[name](net, start, y, 0.2, Phases(6, 4, "asynchronous"))
        layers = wanted.free
        parameters = list(network.named_parameters())
        order = sorted(range(len(parameters)), key=lambda i: ("bias" in parameters[i][0], parameters[i][0]))
        for place, g in zip(order, wanted.gradient, strict=True):
            got = seen[place]
            assert got is not None
            assert relative(got, g) < 1e-10
            key, value = parameters[place]
            torch.testing.assert_close(value.detach(), clean[key] - 0.1 * g, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", ALGORITHMS)
def test_a_training_learns(name: str) -> None:
    """Digits by a dense network, with noise: the loss is 0.6 of that at the start, or less."""
    torch.manual_seed(0)
    network = hopfield_dense([64, 32, 10], iterations=8)
    strength = {} if name == "cl" else {"beta": 0.2}
    method = make_method(name, noise="gaussian:0.02", perturbed_iterations=6, **strength)
    trained = dp.train(network, digits("train").head(256), method=method, epochs=6, batch_size=16, lr=0.03)
    losses = [float(row["loss"]) for row in trained.rows]  # type: ignore[arg-type]
    assert sum(losses[-5:]) < 0.6 * sum(losses[:5])
