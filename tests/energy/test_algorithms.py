"""The seven algorithms against a slow reference that has a function for each."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch

from driftproof.training._methods.by_name import make_method
from energy.reference import ALGORITHMS, Phases, drive, energy, free_phase, net_of, pooled, product, zeros
from energy.small import batch_of, gradients, network_of, pool_of, relative, squared_error, started, states_of

PHASES = Phases(free=8, perturbed=5, order="asynchronous")
KINDS = ("dense 2", "dense 4", "max", "average")
TOLERANCE = 1e-10


def method_of(name: str, phases: Phases, beta: float, **options: Any) -> Any:
    strength: dict[str, Any] = {} if name == "cl" else {"beta": beta}
    return make_method(name, iterations=phases.free, perturbed_iterations=phases.perturbed, **strength, **options)


@pytest.mark.parametrize("order", ["asynchronous", "synchronous"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ALGORITHMS)
def test_the_gradient_is_that_of_the_definition(name: str, kind: str, order: str) -> None:
    """The second batch starts from zero, or from the first one's free state."""
    phases = Phases(PHASES.free, PHASES.perturbed, order)
    for seed, (start, beta) in enumerate([("zero", 0.4), ("previous", 0.1)]):
        network = network_of(kind, seed, gain=0.7, order=order)
        net, method = net_of(network, pool_of(kind)), method_of(name, phases, beta, start=start)
        before = None
        for number in (0, 1):
            x, y = batch_of(kind, seed=10 * seed + number)
            layers = zeros(net, x) if before is None or start == "zero" else [x, *before[1:]]
            wanted = ALGORITHMS[name](net, layers, y, beta, phases)
            before = wanted.free
            got = gradients(method, network, x, y)
            # the gradient by the input's weights is not zero: a relative error means something
            assert all(float(w.norm()) > 1e-6 for w in wanted.gradient)
            errors = [relative(a, b) for a, b in zip(got, wanted.gradient, strict=True)]
            assert max(errors) <= TOLERANCE, errors


@pytest.mark.parametrize("kind", KINDS)
def test_the_networks_have_units_at_both_bounds(kind: str) -> None:
    """Otherwise a bound that is missing would not be seen."""
    net, (x, _) = net_of(network_of(kind, gain=0.7), pool_of(kind)), batch_of(kind)
    hidden = free_phase(net, zeros(net, x), 20, "asynchronous")[1:-1]
    for layer in hidden:
        shares = [float(part.double().mean()) for part in (layer == 0, (layer > 0) & (layer < 1), layer == 1)]
        assert min(shares) > 0.02, shares


@pytest.mark.parametrize("kind", KINDS)
def test_the_seven_differ(kind: str) -> None:
    """Agreeing with the right one means something: any two are at least 1e-3 apart."""
    net, (x, y) = net_of(network_of(kind, gain=0.7), pool_of(kind)), batch_of(kind)
    found = {name: algorithm(net, zeros(net, x), y, 0.3, PHASES).gradient for name, algorithm in ALGORITHMS.items()}
    for a, b in itertools.combinations(found, 2):
        assert max(relative(p, q) for p, q in zip(found[a], found[b], strict=True)) > 1e-3, (a, b)


@pytest.mark.parametrize("kind", KINDS)
def test_the_energy_is_that_of_the_definition(kind: str) -> None:
    network, (x, _) = network_of(kind, gain=0.9), batch_of(kind)
    layers = states_of(network, len(x))
    wanted = energy(net_of(network, pool_of(kind)), [x, *layers])
    torch.testing.assert_close(network.energy(x, layers), wanted, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_the_drive_is_the_slope_of_the_energy(kind: str) -> None:
    """Of both: the drive of a layer is s − ∂E/∂s, with the gradient of automatic differentiation."""
    network, (x, _) = network_of(kind, gain=0.9), batch_of(kind)
    net, given = net_of(network, pool_of(kind)), states_of(network, len(x))
    states, layers = started(network, x, given), [x, *(s.requires_grad_() for s in given)]
    slopes = torch.autograd.grad(energy(net, layers).sum(), layers[1:])
    for number, slope in enumerate(slopes, start=1):
        wanted = layers[number].detach() - slope
        with torch.no_grad():
            torch.testing.assert_close(drive(net, layers, number), wanted, rtol=1e-12, atol=1e-12)
            torch.testing.assert_close(states.drive(number), wanted, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_the_forward_product_is_that_of_the_definition(kind: str) -> None:
    network, (x, _) = network_of(kind), batch_of(kind)
    net, layers = net_of(network, pool_of(kind)), [x, *states_of(network, len(x))]
    for number, edge in enumerate(network.edges):
        w_bias = net.biases[number] if net.weights[number].dim() == 2 else net.biases[number][:, None, None]
        wanted = pooled(net, number, product(net, number, layers[number])) + w_bias
        torch.testing.assert_close(edge.product(layers[number]).up.detach(), wanted, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", ALGORITHMS)
def test_the_loss_that_comes_back_is_that_of_the_free_phase(name: str) -> None:
    network, (x, y) = network_of("dense 3", iterations=PHASES.free), batch_of("dense 3")
    with torch.no_grad():
        wanted = squared_error(network, x, y)()
    loss = method_of(name, PHASES, 0.2).gradient(squared_error(network, x, y), network)
    assert float(loss) == pytest.approx(float(wanted), rel=1e-6)


def test_micro_batches_are_averaged_and_a_frozen_weight_gets_no_gradient() -> None:
    """Two micro-batches of equal size are one batch; the free phase of each starts from zero here."""
    network, (x, y) = network_of("dense 3"), batch_of("dense 3", samples=8)
    network.edges[1].weight.requires_grad_(False)
    seen: list[Any] = []
    for parts in ([slice(0, 8)], [slice(0, 4), slice(4, 8)]):
        method = method_of("c-ep", PHASES, 0.2, start="zero")
        optimizer = torch.optim.SGD([p for p in network.parameters() if p.requires_grad], lr=0.0)
        optimizer.register_step_pre_hook(lambda *_: seen.append([p.grad for p in network.parameters()]))
        method.step([squared_error(network, x[part], y[part]) for part in parts], network, optimizer)
    one, two = seen
    assert (
        [g is None for g in one]
        == [g is None for g in two]
        == [name == "edges.1.weight" for name, _ in network.named_parameters()]
    )
    for a, b in zip(one, two, strict=True):
        if a is not None:
            torch.testing.assert_close(a, b, rtol=1e-11, atol=1e-14)
