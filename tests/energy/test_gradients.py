"""Centred equilibrium propagation is a gradient; and truncated backpropagation is that of the unrolled network."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from driftproof.energy import CenteredEP
from energy import reference
from energy.reference import Net, cost, free_phase, net_of, zeros
from energy.small import batch_of, grads, network_of, pool_of, relative, squared_error, started

ITERATIONS, THROUGH = 80, 40
RESTING = 1e-10
KINDS = ("dense 2", "dense 3", "dense 4", "average")


def largest_change(a: list[Tensor], b: list[Tensor]) -> float:
    return max(float((p - q).abs().max()) for p, q in zip(a, b, strict=True))


def unrolled(net: Net, x: Tensor, y: Tensor, before: int, through: int, order: str) -> list[Any]:
    """Gradients of the mean cost through the last iterations of the relaxation from zero: weights, then biases."""
    with torch.no_grad():
        layers = free_phase(net, zeros(net, x), before, order)
    leaves = [w.clone().requires_grad_() for w in net.weights + net.biases]
    live = Net(leaves[: net.layers()], leaves[net.layers() :], net.pool)
    loss = cost(free_phase(live, layers, through, order), y).mean()
    return list(torch.autograd.grad(loss, leaves, allow_unused=True))


def crosses(low: list[Tensor], high: list[Tensor]) -> Tensor:
    """Whether a hidden unit of a sample leaves or meets a bound between two phases, [N]: the gradient jumps there."""
    pairs = [(a.flatten(1), b.flatten(1)) for a, b in zip(low[1:-1], high[1:-1], strict=True)]
    return torch.stack([(((a > 0) != (b > 0)) | ((a < 1) != (b < 1))).any(1) for a, b in pairs]).any(0)


@pytest.mark.parametrize("beta", [0.01, 0.0003])
@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("kind", KINDS)
def test_c_ep_is_the_gradient_through_the_relaxation(kind: str, seed: int, beta: float) -> None:
    """Cosine ≥ .999, and a norm within 1 %, for every weight and bias; all states rest.

    Samples with a unit that meets a bound between the phases are left out, at most three of eight.
    """
    network, (x, y) = network_of(kind, seed, iterations=ITERATIONS), batch_of(kind, samples=8, seed=seed)
    net = net_of(network, pool_of(kind))
    method = CenteredEP(beta=beta, perturbed_iterations=ITERATIONS, start="zero")
    free = network.relaxed(started(network, x))
    assert float(free.residual.max()) <= RESTING
    with torch.no_grad():
        low, high = method._phases(network, free.states, y)
        for n, end in ((-beta, low), (beta, high)):
            again = reference.nudged_phase(net, end.layers, 1, "asynchronous", n, y)
            assert largest_change(again, end.layers) <= RESTING
            assert largest_change(end.layers, free.states.layers) > beta / 100
    inside = ~crosses(low.layers, high.layers)
    assert int(inside.sum()) >= 5
    x, y = x[inside], y[inside]

    method.gradient(squared_error(network, x, y), network)
    # earlier iterations have no share in the gradient of a state that rests
    wanted = unrolled(net, x, y, ITERATIONS - THROUGH, THROUGH, "asynchronous")
    for a, b in zip(grads(network), wanted, strict=True):
        assert float(b.norm()) > 1e-6
        assert float(F.cosine_similarity(a.flatten(), b.flatten(), dim=0)) >= 0.999
        assert float(a.norm() / b.norm()) == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("order", ["asynchronous", "synchronous"])
@pytest.mark.parametrize(("iterations", "through"), [(9, 4), (5, 5), (3, 8)])
@pytest.mark.parametrize("kind", ["dense 2", "dense 4", "max", "average"])
def test_backpropagation_goes_through_the_last_iterations(kind: str, iterations: int, through: int, order: Any) -> None:
    network = network_of(kind, gain=0.8, iterations=iterations, backpropagated=through, order=order)
    (x, y), net = batch_of(kind), net_of(network, pool_of(kind))
    torch.autograd.backward(squared_error(network, x, y)())
    last = min(iterations, through)
    wanted = unrolled(net, x, y, iterations - last, last, order)
    for a, b in zip(grads(network), wanted, strict=True):
        if b is None:  # the iterations are too few to reach it
            assert a is None
        else:
            assert float((a - b).norm()) <= 1e-10 * float(b.norm())


def test_the_output_with_a_graph_is_the_output_without() -> None:
    network, (x, _) = network_of("max", iterations=9, backpropagated=4), batch_of("max")
    with torch.no_grad():
        without = network(x)
    assert torch.equal(network(x).detach(), without)


def test_more_iterations_come_nearer_to_the_whole_gradient() -> None:
    """Truncation matters: one iteration reaches the output's weights alone."""
    (x, y), errors = batch_of("dense 4"), []
    whole = unrolled(net_of(network_of("dense 4")), x, y, 0, 60, "asynchronous")
    for through in (1, 4, 30):
        network = network_of("dense 4", iterations=60, backpropagated=through)
        torch.autograd.backward(squared_error(network, x, y)())
        found = grads(network)
        errors.append(max(1.0 if a is None else relative(a, b) for a, b in zip(found, whole, strict=True)))
    assert errors[0] > 0.5
    assert errors[0] >= errors[1] > errors[2]
    assert errors[2] < 1e-6
