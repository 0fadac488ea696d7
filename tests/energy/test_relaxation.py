"""The relaxation: its energy falls, what is kept changes nothing, and a sample's answer is its own."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor

from driftproof._hopfield import FREE, Pull, Schedule, relax
from driftproof._hopfield.network import HopfieldNetwork
from driftproof.energy import dchn, hopfield_dense
from driftproof.training._methods.by_name import make_method
from energy import reference
from energy.reference import cost, net_of
from energy.small import CONVOLUTIONAL, DENSE, NAMES, batch_of, network_of, pool_of, started, states_of

ORDERS = ("asynchronous", "synchronous")
ROUNDING = 1e-12


def random_network(seed: int) -> tuple[HopfieldNetwork, Tensor]:
    """A network of random kind, depth, widths and gains up to 1, and inputs of both signs."""
    source = torch.Generator().manual_seed(seed)
    numbers = torch.randint(1, 9, (8,), generator=source).tolist()
    gains = (0.05 + 0.95 * torch.rand(8, generator=source)).tolist()
    torch.manual_seed(seed)
    if seed % 2:
        sizes = numbers[: 2 + numbers[7] % 5]
        network = hopfield_dense(sizes, gain=gains[: len(sizes) - 1])
        shape: tuple[int, ...] = (sizes[0],)
    else:
        depth = 1 + numbers[7] % 3
        shape = (1 + numbers[6] % 2, 8, 8)
        network = dchn(
            numbers[:depth], image=shape[:2], classes=3, gain=gains[: depth + 1], pool="average" if seed % 4 else "max"
        )
    x = torch.randn(3, *shape, generator=source, dtype=torch.float64)
    return network.double(), x


@pytest.mark.parametrize("strength", [None, 0.5, -0.5])
def test_the_energy_never_rises_under_asynchronous_relaxation(strength: float | None) -> None:
    """Of 60 random networks, group by group: E in the free phase, E + n C in a nudged one.

    Hidden layers are in [0, 1], so that each convolution has a layer ≥ 0 above it. The output may be negative: the edge
    below it is dense and has no pooling, and the layer's minimum is exact.
    """
    fell = 0
    for seed in range(60):
        network, x = random_network(seed)
        pull, n = FREE, 0.0
        states = started(network, x, states_of(network, len(x), seed))
        target = torch.rand_like(states.output)
        if strength is not None:
            n = strength
            pull = Pull(target=target, nudging=torch.full((len(x), 1), n, dtype=torch.float64))
        levels = []
        with torch.no_grad():
            for group in Schedule(iterations=1).groups(len(network.edges)) * 10:
                levels.append(network.energy(x, states.layers[1:]) + n * cost(states.layers, target))
                states.update(group, pull)
        for before, after in pairwise(levels):
            assert bool((after - before <= ROUNDING * (1 + before.abs())).all()), seed
            fell += int((after - before < -1e-6).sum())
    assert fell > 500  # it does fall


def test_under_synchronous_relaxation_the_energy_can_rise() -> None:
    """What the test above would see."""
    network, x = network_of("dense 4", gain=1.0), batch_of("dense 4")[0]
    with torch.no_grad():
        for edge in network.edges:
            edge.weight.mul_(4)
        states = started(network, x, states_of(network, len(x)))
        levels = []
        for _ in range(10):
            levels.append(reference.energy(net_of(network), states.layers))
            states.update([1, 2, 3, 4], FREE)
    assert max(float((b - a).max()) for a, b in pairwise(levels)) > 1e-3


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("tolerance", [None, 1e-4])
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("kind", NAMES)
def test_cached_products_leave_the_states_as_they_are(kind: str, order: str, tolerance: Any, dtype: Any) -> None:
    """Bit for bit: from zero and from other states, free and nudged."""
    x, y = batch_of(kind, dtype=dtype)
    nudging = torch.linspace(-0.4, 0.4, len(x), dtype=dtype).unsqueeze(1)
    for seed, pull in enumerate([FREE, Pull(target=y, nudging=nudging), Pull(held=y)]):
        ends = []
        for cached in (True, False):
            network = network_of(kind, seed, dtype=dtype, cached=cached)
            layers = None if seed == 0 else states_of(network, len(x), seed)
            with torch.no_grad():
                schedule = Schedule(iterations=25, order=order, tolerance=tolerance)  # type: ignore[arg-type]
                first = relax(started(network, x, layers), schedule)
                ends.append([first, relax(first.states, schedule, pull)])
        for fast, slow in zip(*ends, strict=True):
            assert all(map(torch.equal, fast.states.layers, slow.states.layers))
            assert torch.equal(fast.iterations, slow.iterations)
            assert torch.equal(fast.residual, slow.residual)


@pytest.mark.parametrize("tolerance", [None, 1e-4])
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("kind", NAMES)
def test_kept_products_are_those_of_the_states_at_the_end(kind: str, order: str, tolerance: Any) -> None:
    """Of samples that came to rest before others, too."""
    network, (x, _) = network_of(kind, gain=0.9), batch_of(kind, samples=8)
    x *= torch.logspace(-2, 0.7, 8, dtype=x.dtype).view(-1, *[1] * (x.dim() - 1))
    with torch.no_grad():
        end = relax(started(network, x), Schedule(iterations=40, order=order, tolerance=tolerance))  # type: ignore[arg-type]
        assert tolerance is None or len(set(end.iterations.tolist())) > 1
        for number, edge in enumerate(network.edges):
            kept, again = end.states.product(number), edge.product(end.states.layers[number])
            assert torch.equal(kept.up, again.up)
            assert kept.where is None or torch.equal(kept.where, again.where)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("kind", NAMES)
def test_the_relaxation_is_that_of_the_definition(kind: str, order: str) -> None:
    network, (x, _) = network_of(kind, gain=0.8, iterations=7, order=order), batch_of(kind)
    net = net_of(network, pool_of(kind))
    wanted = reference.free_phase(net, reference.zeros(net, x), 7, order)
    with torch.no_grad():
        relaxed = network.relaxed(started(network, x))
        assert torch.equal(network(x), relaxed.states.output)
    for got, layer in zip(relaxed.states.layers, wanted, strict=True):
        torch.testing.assert_close(got, layer, rtol=1e-12, atol=1e-13)
    last = reference.iteration(net, reference.free_phase(net, reference.zeros(net, x), 6, order), order, lambda d: d)
    change = [a - b for a, b in zip(last, reference.free_phase(net, reference.zeros(net, x), 6, order), strict=True)]
    wanted_residual = torch.stack([c.abs().flatten(1).amax(1) for c in change]).amax(0)
    torch.testing.assert_close(relaxed.residual.double(), wanted_residual, rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("kind", NAMES)
def test_both_orders_come_to_the_same_fixed_point(kind: str) -> None:
    """At gain 0.5, from zero and from other states.

    With max pooling there may be several, because a choice of arg-max can confirm itself: each order's end is a fixed
    point of the other order, and at least 0.9 of the samples, from zero, come to the same one.
    """
    same = []
    for seed in range(6):
        ends = []
        for order in ORDERS:
            network, (x, _) = network_of(kind, seed, order=order, iterations=200), batch_of(kind, seed=seed)
            start = states_of(network, len(x)) if seed % 2 and kind != "max" else None
            ends.append(network.relaxed(started(network, x, start)))
        assert all(float(end.residual.max()) <= 1e-10 for end in ends)
        with torch.no_grad():
            for end, order in zip(ends, reversed(ORDERS), strict=True):
                states = started(network, x, end.states.layers[1:])
                assert float(relax(states, Schedule(iterations=1, order=order)).residual.max()) <= 1e-10  # type: ignore[arg-type]
        for a, b in zip(*(end.states.layers[1:] for end in ends), strict=True):
            same.append((a - b).abs().flatten(1).amax(1) <= 1e-9)
    share = float(torch.stack([part.double() for part in same]).mean())
    assert share == 1 or (kind == "max" and share >= 0.9)


@pytest.mark.filterwarnings("ignore:the relaxation does not settle")  # one sample swings in the synchronous order
@pytest.mark.parametrize(("dtype", "close"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("kind", NAMES)
def test_the_answer_of_a_sample_does_not_depend_on_its_batch(kind: str, order: str, dtype: Any, close: float) -> None:
    """Alone, in a batch, and in the batch in another order: the same states after the same number of iterations."""
    network, (x, _) = network_of(kind, gain=1.5, order=order, dtype=dtype), batch_of(kind, samples=7, dtype=dtype)
    x = x * torch.logspace(-2, 0.7, 7, dtype=dtype).view(-1, *[1] * (x.dim() - 1))
    schedule = Schedule(iterations=150, order=order, tolerance=3e-4)  # type: ignore[arg-type]
    whole = network.relaxed(started(network, x), schedule)
    assert len(set(whole.iterations.tolist())) > 1
    permutation = torch.tensor([3, 0, 6, 2, 5, 1, 4])
    for samples in [torch.tensor([number]) for number in range(7)] + [permutation, permutation[:3]]:
        part = network.relaxed(started(network, x[samples]), schedule)
        assert torch.equal(part.iterations, whole.iterations[samples])
        torch.testing.assert_close(part.residual, whole.residual[samples], rtol=0, atol=close)
        for a, b in zip(part.states.layers, whole.states.layers, strict=True):
            torch.testing.assert_close(a, b[samples], rtol=0, atol=close)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("kind", ["dense 3", "max"])
def test_a_tolerance_stops_samples_one_by_one(kind: str, order: str) -> None:
    """Each rests at the first iteration whose residual is below the tolerance; the others go on."""
    network, (x, _) = network_of(kind, gain=1.5, order=order), batch_of(kind, samples=6)
    x = x * torch.logspace(-2, 0.7, 6, dtype=torch.float64).view(-1, *[1] * (x.dim() - 1))
    end = network.relaxed(started(network, x), Schedule(iterations=150, order=order, tolerance=3e-4))  # type: ignore[arg-type]
    assert len(set(end.iterations.tolist())) > 1
    for sample, number in enumerate(end.iterations.tolist()):
        fixed = network.relaxed(started(network, x), Schedule(iterations=number, order=order))  # type: ignore[arg-type]
        before = network.relaxed(started(network, x), Schedule(iterations=number - 1, order=order))  # type: ignore[arg-type]
        assert fixed.residual[sample] < 3e-4 <= before.residual[sample]
        assert end.residual[sample] == fixed.residual[sample]
        for a, b in zip(end.states.layers, fixed.states.layers, strict=True):
            assert torch.equal(a[sample], b[sample])


def test_a_tolerance_that_is_not_reached_ends_with_the_iterations() -> None:
    network, (x, _) = network_of("dense 3", iterations=3, tolerance=1e-300), batch_of("dense 3")
    end, plain = network.relaxed(started(network, x)), network.relaxed(started(network, x), Schedule(iterations=3))
    assert end.iterations.tolist() == plain.iterations.tolist() == [3] * 5
    assert torch.equal(end.states.output, plain.states.output)


@pytest.mark.parametrize("name", ["c-ep", "c-cpl"])
@pytest.mark.parametrize("kind", NAMES)
def test_both_perturbed_phases_as_one_batch_are_two_separate_ones(kind: str, name: str) -> None:
    network, (x, y) = network_of(kind), batch_of(kind)
    method: Any = make_method(name, beta=0.3, perturbed_iterations=6)
    free = network.relaxed(started(network, x), Schedule(iterations=5)).states
    with torch.no_grad():
        together = method._phases(network, free, y)
        for n, both in zip((-0.3, 0.3), together, strict=True):
            strength, held = torch.full((len(x), 1), n, dtype=torch.float64), free.output + n * (y - free.output)
            nudges = name == "c-ep"
            layers = free.layers[1:] if nudges else [*free.layers[1:-1], held]
            pull = Pull(target=y, nudging=strength) if nudges else Pull(held=held)
            alone = relax(network.start(free.layers[0], layers), Schedule(iterations=6), pull).states
            for a, b in zip(both.layers, alone.layers, strict=True):
                torch.testing.assert_close(a, b, rtol=0, atol=1e-13)


@pytest.mark.parametrize("kind", NAMES)
def test_a_first_product_that_is_given_is_the_computed_one(kind: str) -> None:
    network, (x, _) = network_of(kind), batch_of(kind)
    placed = network.placed(x)
    with torch.no_grad():
        given = network.relaxed(network.start(placed, first=network.edge(0).product(placed)))
        computed = network.relaxed(network.start(placed))
        repeated = network.edge(0).product(placed).repeated(2)
        twice = network.edge(0).product(torch.cat([placed, placed]))
    assert all(map(torch.equal, given.states.layers, computed.states.layers))
    torch.testing.assert_close(repeated.up, twice.up, rtol=0, atol=1e-14)
    assert repeated.where is None or torch.equal(repeated.where, twice.where)
    assert torch.equal(repeated.part(slice(5, 10)).up, network.edge(0).product(placed).up)


@pytest.mark.parametrize("kind", CONVOLUTIONAL)
def test_the_layout_of_images_makes_no_difference(kind: str) -> None:
    network, (x, _) = network_of(kind), batch_of(kind)
    layers = states_of(network, len(x))
    with torch.no_grad():
        wanted = network.relaxed(started(network, x.contiguous(), layers)).states.layers
        last = x.contiguous(memory_format=torch.channels_last)
        strided = torch.stack([x, -x], dim=-1)[..., 0]
        for images in (last, strided):
            got = network.relaxed(started(network, images, layers)).states.layers
            assert all(map(torch.equal, got, wanted))
        wider = [s.contiguous(memory_format=torch.channels_last) if s.dim() == 4 else s for s in layers]
        for a, b in zip(network.relaxed(started(network, x, wider)).states.layers, wanted, strict=True):
            torch.testing.assert_close(a, b, rtol=0, atol=1e-13)


def test_smaller_images_are_padded_on_each_side() -> None:
    network, x = network_of("max"), torch.rand(2, 2, 6, 6, dtype=torch.float64)
    wide = torch.zeros(2, 2, 8, 8, dtype=torch.float64)
    wide[:, :, 1:-1, 1:-1] = x
    with torch.no_grad():
        assert torch.equal(network(x), network(wide))


@pytest.mark.parametrize("kind", DENSE)
def test_images_are_vectors_for_a_dense_network(kind: str) -> None:
    network, (x, _) = network_of(kind), batch_of(kind)
    with torch.no_grad():
        assert torch.equal(network(x), network(x.view(-1, 1, 2, 3)))


def test_measures_are_of_all_relaxations_since_they_were_cleared() -> None:
    network, (x, _) = network_of("dense 3", iterations=200), batch_of("dense 3", samples=6)
    assert network.diagnostics() == {}
    with torch.no_grad():
        network(x[:4])
        network(x[4:])
        end = network.relaxed(network.start(network.placed(x)))
    network.measures.clear()
    with torch.no_grad():
        network(x)
    found = network.diagnostics()
    assert found["iterations"] == 200
    assert found["residual"] == float(end.residual.max()) < 1e-10
    net = net_of(network)
    wanted = reference.energy(net, end.states.layers).mean()
    assert found["energy"] == pytest.approx(float(wanted), rel=1e-9)


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
@pytest.mark.parametrize("kind", NAMES)
def test_products_of_lower_precision_keep_float32_states(kind: str, precision: Any) -> None:
    """As near as the type's rounding allows, and not the same."""
    network, (x, _) = network_of(kind, dtype=torch.float32), batch_of(kind, dtype=torch.float32)
    with torch.no_grad():
        exact = network.relaxed(started(network, x)).states.layers
        rough = network.set_precision(precision).relaxed(started(network, x)).states.layers
    assert all(layer.dtype == torch.float32 for layer in rough)
    assert not torch.equal(exact[-1], rough[-1])
    error = 0.05 if precision == "bfloat16" else 0.01
    assert all(float((a - b).abs().max()) < error for a, b in zip(exact, rough, strict=True))


@pytest.mark.parametrize("kind", NAMES)
def test_feedback_of_a_second_or_digital_weight_starts_as_the_same(kind: str) -> None:
    network, (x, _) = network_of(kind), batch_of(kind)
    with torch.no_grad():
        wanted = network(x)
        assert network.diagnostics()["symmetry_error"] == 0
        for feedback in ("second", "digital"):
            assert torch.equal(network.set_feedback(feedback)(x), wanted)
            for edge in network.edges:
                edge.weight.mul_(1.5)
            different = network(x)
            assert network.diagnostics()["symmetry_error"] == pytest.approx(1 / 3)
            for edge in network.edges:
                edge.weight.div_(1.5)
            assert not torch.allclose(different, network(x), atol=1e-3)
            torch.testing.assert_close(network(x), wanted, rtol=0, atol=1e-12)
        assert torch.equal(network.set_feedback("same")(x), network(x))
