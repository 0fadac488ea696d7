"""Analog weights: those that mapping puts on tiles, held perturbed and given back bit for bit, in any wrapper."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import driftproof as dp
from driftproof._chip import Chip
from driftproof._devices import ONE_READ_OUT
from driftproof._mapping import TileSize, map_model
from driftproof._random_state import random_state_kept
from driftproof.evaluation._folded import FoldedNetwork
from driftproof.training import OnTiles
from driftproof.training._noise import Key, as_noise
from driftproof.training._weights import AnalogWeights, norm
from training.small import (
    IMAGES,
    NAMES,
    PERTURBING,
    POINTS,
    TOKENS,
    equal,
    images_loss,
    method_of,
    points_loss,
    sgd,
    small,
    smooth,
    state_of,
    tied,
    tied_loss,
)


class Unused(nn.Module):
    """A layer that the forward pass uses and the loss does not, and one that is frozen."""

    def __init__(self) -> None:
        super().__init__()
        self.used, self.beside, self.frozen = nn.Linear(5, 6), nn.Linear(5, 3), nn.Linear(6, 2)
        self.frozen.weight.requires_grad = False

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.frozen(torch.tanh(self.used(x))), self.beside(x)


# --- held and given back ---


def test_the_weights_are_those_of_the_mapping() -> None:
    network = small()
    weights = AnalogWeights.of(network, IMAGES)
    assert list(weights.parameters) == ["conv", "fc"]
    assert weights.parameters["fc"] is network.fc.weight
    some = AnalogWeights.of(network, IMAGES, OnTiles(where="!fc", tile=TileSize(4, 4)))
    assert list(some.parameters) == ["conv"]
    assert some.mapping.tile == TileSize(4, 4)


def test_finding_them_moves_nothing() -> None:
    network = small()
    network.fc.eval()
    torch.manual_seed(0)
    before = state_of(network), [m.training for m in network.modules()], torch.get_rng_state()
    AnalogWeights.of(network, IMAGES)
    assert equal((state_of(network), [m.training for m in network.modules()], torch.get_rng_state()), before)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_held_and_given_back_bit_for_bit(dtype: torch.dtype) -> None:
    network = smooth()
    weights = AnalogWeights.of(network, torch.ones(1, 5))
    network.to(dtype)  # after the weights were found
    for number in range(20):
        before = state_of(network)
        drawn = as_noise("gaussian:0.3").draw(weights, Key(0, number))
        with weights.holding(drawn):
            assert weights.held
            for name, value in drawn.items():
                assert torch.equal(weights.parameters[name], value.to(dtype))
        assert not weights.held
        assert equal(state_of(network), before)
        with torch.no_grad():
            network[0].weight.mul_(1.01)


def test_numbers_that_were_saved_in_another_type_are_not_rounded() -> None:
    """A network whose type changes between two updates is not given back in the old one's precision."""
    network = smooth()
    weights = AnalogWeights.of(network, torch.ones(1, 5))
    with weights.holding({"0": torch.zeros(6, 5)}):
        pass
    network.double()
    with torch.no_grad():
        network[0].weight += 1e-12  # type: ignore[operator, assignment]
    before = state_of(network)
    with weights.holding({"0": torch.zeros(6, 5)}):
        pass
    assert equal(state_of(network), before)


def test_values_that_do_not_fit_leave_clean_weights() -> None:
    network = smooth()
    weights, before = AnalogWeights.of(network, torch.ones(1, 5)), state_of(network)
    with pytest.raises(RuntimeError), weights.holding({"0": torch.zeros(6, 5), "2": torch.zeros(3, 3)}):
        pass
    assert equal(state_of(network), before)
    with pytest.raises(RuntimeError, match="perturbed already"), weights.holding({}), weights.holding({}):
        pass
    with weights.holding({}):
        pass


def test_the_order_in_memory_stays() -> None:
    network = small().to(memory_format=torch.channels_last)
    strides, before = network.conv.weight.stride(), state_of(network)
    method = method_of("rwp")
    method.step(images_loss(network), network, sgd(network, lr=0.0))
    assert network.conv.weight.stride() == strides
    assert torch.equal(network.conv.weight, before["conv.weight"])


# --- weights of every kind, in every method ---


@pytest.mark.parametrize("name", NAMES)
def test_tied_weights_are_perturbed_together_and_given_back(name: str) -> None:
    network, held = tied(), []
    before = state_of(network)
    method = method_of(name)
    method.begin(3)

    def closure() -> Tensor:
        held.append(network.first.weight.detach().clone())
        assert network.second.weight is network.first.weight
        return tied_loss(network)()

    for _ in range(2):
        method.step(closure, network, sgd(network, lr=0.0))
    assert equal(state_of(network), before)
    assert network.embed.weight is network.head.weight is method.weights.parameters["head"]  # type: ignore[union-attr]
    assert list(method.weights.parameters) == ["first", "head"]  # type: ignore[union-attr]
    assert any(not torch.equal(w, before["first.weight"]) for w in held) == (name != "plain")


def test_a_look_up_table_keeps_the_clean_weight_as_on_a_chip() -> None:
    """The embedding is a digital copy of the output layer's array, and its gradient goes to the one parameter."""
    network = tied()
    weights = AnalogWeights.of(network, TOKENS)
    drawn = as_noise("gaussian:0.3").draw(weights, Key(0, 0))
    clean, clean_head = network.embed(TOKENS).detach(), network.head.weight.detach().clone()
    reference = copy.deepcopy(network)
    reference.head.weight = nn.Parameter(drawn["head"].clone())  # untied: a table, and an array with noise
    reference.first.weight = reference.second.weight = nn.Parameter(drawn["first"].clone())
    tied_loss(reference)().backward()  # type: ignore[no-untyped-call]
    with weights.holding(drawn):
        assert torch.equal(network.embed(TOKENS), clean)
        loss = tied_loss(network)()
        loss.backward()  # type: ignore[no-untyped-call]
        assert torch.equal(loss, tied_loss(reference)())
        assert not torch.equal(network.head.weight, clean_head)
    assert reference.embed.weight.grad is not None
    assert reference.head.weight.grad is not None
    assert network.head.weight.grad is not None
    torch.testing.assert_close(network.head.weight.grad, reference.embed.weight.grad + reference.head.weight.grad)
    assert isinstance(network.embed.weight, nn.Parameter)
    frozen = tied().requires_grad_(False)
    weights = AnalogWeights.of(frozen, TOKENS)
    with weights.holding(drawn):
        assert torch.equal(frozen.embed(TOKENS), clean)


def test_a_table_is_given_back_after_a_failure() -> None:
    network, method = tied(), method_of("rwp")
    method.step(tied_loss(network), network, sgd(network))
    before = state_of(network)

    def broken() -> Tensor:
        tied_loss(network)()
        raise KeyError

    with pytest.raises(KeyError):
        method.step(broken, network, sgd(network))
    assert equal(state_of(network), before)
    assert network.embed.weight is network.head.weight
    assert isinstance(network.embed.weight, nn.Parameter)


@pytest.mark.parametrize("name", NAMES)
def test_weights_without_a_gradient_are_perturbed_and_given_back(name: str) -> None:
    torch.manual_seed(0)
    network = Unused()
    held: list[dict[str, Tensor]] = []
    x, before = torch.ones(3, 5), state_of(network)
    method, optimizer = method_of(name), sgd(network)
    method.begin(4)

    def closure() -> Tensor:
        held.append(state_of(network))
        return network(x)[0].square().mean()  # type: ignore[no-any-return]

    for _ in range(3):
        method.step(closure, network, optimizer)
    after = state_of(network)
    for weight in ("beside.weight", "frozen.weight"):
        assert torch.equal(after[weight], before[weight])
        moved = any(not torch.equal(seen[weight], before[weight]) for seen in held)
        # an ascent goes along gradients, and these have none; a device is not better for a frozen weight
        assert moved == (name in ("rwp", "two-point-rwp", "m-rwp", "arwp", "sam-rwp", "noise-injection")), weight
    assert not torch.equal(after["used.weight"], before["used.weight"])


@pytest.mark.parametrize("name", PERTURBING)
def test_the_noise_reaches_the_loss(name: str) -> None:
    """The loss that a step returns is the one at perturbed weights, wherever there are any."""
    network = smooth()
    clean = float(points_loss(network)().detach())
    method = method_of(name)
    method.begin(3)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.0)
    losses = {float(method.step(points_loss(network), network, optimizer)) for _ in range(2)}
    assert losses != {clean}


@pytest.mark.parametrize("make", [tied, small, smooth])
def test_a_perturbed_network_computes_what_an_evaluation_of_that_chip_does(make: Callable[[], nn.Module]) -> None:
    network = make().eval()
    x = {"tied": TOKENS, "small": IMAGES, "smooth": POINTS}[make.__name__]
    tile = TileSize(4, 4)
    weights = AnalogWeights.of(network, x, OnTiles(tile=tile))
    mapping = map_model(network, tile, x)
    folded = FoldedNetwork(network, mapping, x)
    folded.load(Chip(mapping, dp.load_preset("pcm-nandakumar-2019"), seed=-1, chip=3, read_outs=ONE_READ_OUT), 86_400.0)
    drawn = as_noise("pcm-nandakumar-2019@1d").draw(weights, Key(0, 3))
    with weights.holding(drawn), torch.no_grad():
        torch.testing.assert_close(network(x), folded(x), rtol=1e-5, atol=1e-5)
        assert not torch.allclose(network(x), FoldedNetwork(make().eval(), mapping, x)(x), rtol=1e-3, atol=1e-3)


# --- what is measured ---


def test_realised_noise_is_relative_to_the_columns_of_the_tiles() -> None:
    torch.manual_seed(0)
    network = nn.Linear(8, 400, bias=False)
    with torch.no_grad():
        network.weight[:, :4] *= 10
    weights = AnalogWeights.of(network, torch.ones(1, 8), OnTiles(tile=TileSize(4, 512)))
    realised = weights.realised(as_noise("gaussian:0.1").draw(weights, Key(0, 0)))
    # 3,200 errors, |z| < 5.2: false alarm 2e-7
    assert realised[""] == pytest.approx(0.1, rel=5.2 / (2 * 3200) ** 0.5)
    assert weights.realised({"": network.weight.detach()}) == {"": 0.0}
    with torch.no_grad():
        network.weight[0] = 0.0  # a column without weights has no error, and is no division by zero
    assert weights.realised({"": network.weight.detach()}) == {"": 0.0}


def test_noise_that_the_weights_type_rounds_away_is_none() -> None:
    network = smooth().bfloat16()
    weights = AnalogWeights.of(network, torch.ones(1, 5, dtype=torch.bfloat16))
    near = {name: p.detach().float() * (1 + 1e-5) for name, p in weights.parameters.items()}
    assert set(weights.realised(near).values()) == {0.0}


def test_the_norm_of_several_tensors() -> None:
    parts = {"a": torch.tensor([3.0]), "b": torch.tensor([[4.0]])}
    assert float(norm(parts)) == 5.0
    assert float(norm({})) == 0.0
    assert float(norm({"a": torch.full((4,), 1e4, dtype=torch.float16)})) == 2e4  # beyond what half precision squares
    assert norm({"a": torch.ones(3, dtype=torch.float64)}).dtype == torch.float64


def test_the_random_state_is_put_back() -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    with random_state_kept(seed=5):
        first = torch.rand(3)
    with random_state_kept(seed=5):
        assert torch.equal(first, torch.rand(3))
    assert torch.equal(before, torch.get_rng_state())
