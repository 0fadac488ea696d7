"""Networks in wrappers, with inputs of any kind, and those that no noise can be put on."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

import driftproof as dp
from driftproof._errors import DriftproofError
from driftproof.training import OnTiles
from training.small import (
    NAMES,
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


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("wrapper", ["compile", "parallel", "compiled layer"])
def test_wrapped_networks_train_as_the_network_does(name: str, wrapper: str) -> None:
    bare, inner = small(), small()
    wrapped: Any = inner
    if wrapper == "compile":
        wrapped = torch.compile(inner, backend="eager")
    elif wrapper == "parallel":
        wrapped = nn.DataParallel(inner)
    else:
        inner.fc = torch.compile(inner.fc, backend="eager")  # type: ignore[assignment]
    for network, model in ((bare, bare), (inner, wrapped)):
        torch.manual_seed(2)
        method, optimizer = method_of(name), sgd(network)
        method.begin(3)
        for _ in range(3):
            method.step(images_loss(model), model, optimizer)
        assert list(method.weights.parameters) == ["conv", "fc"]  # type: ignore[union-attr]
    for a, b in zip(bare.parameters(), inner.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-7)


def test_a_compiled_network_sees_the_clean_table_and_the_perturbed_array() -> None:
    bare, inner = tied(), tied()
    wrapped: Any = torch.compile(inner, backend="eager")
    tied_loss(wrapped)().backward()  # type: ignore[no-untyped-call]  # compiled before the method has seen it
    for network, model in ((bare, bare), (inner, wrapped)):
        method, optimizer = method_of("rwp"), sgd(network)
        for _ in range(3):
            method.step(tied_loss(model), model, optimizer)
    for a, b in zip(bare.parameters(), inner.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-7)


def test_a_closure_may_call_the_network_inside_its_wrapper() -> None:
    inner = smooth()
    model = nn.DataParallel(inner)
    method_of("rwp").step(points_loss(inner), model, sgd(inner))


def test_inputs_by_place_and_by_name() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(3, 2), nn.Linear(4, 2)

        def forward(self, left: Tensor, right: Tensor) -> Tensor:
            return self.a(left) + self.b(right)  # type: ignore[no-any-return]

    torch.manual_seed(0)
    network, left, right = Two(), torch.ones(2, 3), torch.ones(2, 4)
    for closure in (
        lambda: network(left, right).square().mean(),
        lambda: network(left=left, right=right).square().mean(),
    ):
        method = method_of("rwp")
        method.step(closure, network, sgd(network))
        assert list(method.weights.parameters) == ["a", "b"]  # type: ignore[union-attr]
    with pytest.raises(DriftproofError, match=r"by place and by name; call method\.prepare"):
        method_of("rwp").step(lambda: network(left, right=right).square().mean(), network, sgd(network))
    method = method_of("rwp")
    method.prepare(network, {"left": left, "right": right})
    method.step(lambda: network(left, right=right).square().mean(), network, sgd(network))


class Words(nn.Module):
    """A look-up table with sparse gradients, a recurrent layer, attention, and a layer whose pass is made again."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.table = nn.Embedding(5, 4, sparse=True)
        self.recurrent = nn.LSTM(4, 4, batch_first=True)
        self.attention = nn.MultiheadAttention(4, 2, batch_first=True)
        self.inner, self.head = nn.Linear(4, 4), nn.Linear(4, 5)

    def forward(self, tokens: Tensor) -> Tensor:
        hidden = self.recurrent(self.table(tokens))[0]
        hidden = hidden + self.attention(hidden, hidden, hidden, need_weights=False)[0]
        return self.head(checkpoint(lambda x: torch.tanh(self.inner(x)), hidden, use_reentrant=False))  # type: ignore[no-any-return]


@pytest.mark.parametrize("name", NAMES)
def test_recurrent_layers_attention_sparse_tables_and_checkpoints(name: str) -> None:
    network, held = Words(), []
    method, optimizer = method_of(name), torch.optim.SGD(network.parameters(), lr=0.1)
    method.begin(3)

    def closure() -> Tensor:
        held.append(state_of(network))
        return tied_loss(network)()

    for _ in range(2):
        before = state_of(network)
        held.clear()
        method.step(closure, network, optimizer, clip_norm=10.0)
    names = {"recurrent.weight_ih_l0", "recurrent.weight_hh_l0", "attention.in_proj_weight", "attention.out_proj"}
    assert set(method.weights.parameters) == names | {"inner", "head"}  # type: ignore[union-attr]
    moved = {key for seen in held for key, value in seen.items() if not torch.equal(value, before[key])}
    analog = names - {"attention.out_proj"} | {f"{layer}.weight" for layer in ("attention.out_proj", "inner", "head")}
    assert moved == (set() if name in ("plain", "looksam") else analog)  # LookSAM between its ascents
    assert network.table.weight.grad is not None
    assert network.table.weight.grad.is_sparse
    assert not equal(state_of(network), before)


# --- what is refused ---


@pytest.mark.parametrize("name", NAMES)
def test_a_network_on_tiles_is_refused(name: str) -> None:
    for network in (smooth(), nn.Sequential(nn.Conv1d(1, 2, 3), nn.Flatten(), nn.LazyLinear(2))):
        if not isinstance(network[0], nn.Linear):
            network(torch.ones(1, 1, 5))
        analog = dp.convert(network, "ideal").model
        with pytest.raises(
            DriftproofError, match=r"on analog tiles already: .* train the digital network .*, then convert it"
        ):
            method_of(name).step(points_loss(analog), analog, torch.optim.SGD(network.parameters(), lr=0.1))


def test_weights_that_are_computed_at_every_call_are_refused() -> None:
    class Standardised(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            return nn.functional.linear(x, self.weight - self.weight.mean(1, keepdim=True), self.bias)

    pruned = nn.Linear(5, 2)
    nn.utils.prune.l1_unstructured(pruned, "weight", 0.5)  # type: ignore[no-untyped-call]
    for layer in (
        nn.utils.parametrizations.weight_norm(nn.Linear(5, 2)),
        nn.utils.parametrizations.spectral_norm(nn.Linear(5, 2)),
        pruned,
        Standardised(5, 2),
    ):
        network = nn.Sequential(nn.Linear(5, 5), layer)
        with pytest.raises(DriftproofError, match=r"weights of 1 .*at every call .*remove_parametrizations.*where="):
            method_of("rwp").step(points_loss(network), network, sgd(network))
        method = method_of("rwp", on_tiles=OnTiles(where="0"))
        method.step(points_loss(network), network, sgd(network))
        assert list(method.weights.parameters) == ["0"]  # type: ignore[union-attr]


def test_parameters_that_were_replaced_are_noticed() -> None:
    """Noise on a parameter that the network has no more would be silently ignored."""
    network, method = smooth(), method_of("rwp")
    method.step(points_loss(network), network, sgd(network))
    network.load_state_dict(state_of(network))
    method.step(points_loss(network), network, sgd(network))
    network.load_state_dict(state_of(network), assign=True)
    with pytest.raises(DriftproofError, match=r"layer 0 has another parameter.*call method\.prepare"):
        method.step(points_loss(network), network, sgd(network))
    method.prepare(network, torch.ones(1, 5))
    method.step(points_loss(network), network, sgd(network))


def test_nothing_to_put_on_tiles_is_refused() -> None:
    network = nn.Sequential(nn.BatchNorm1d(5))
    with pytest.raises(DriftproofError):
        method_of("rwp").step(lambda: network(torch.ones(4, 5)).sum(), network, sgd(network))
    net = small()
    with pytest.raises(DriftproofError, match="did you mean fc"):
        method_of("rwp", on_tiles=OnTiles(where="fcc")).step(images_loss(net), net, sgd(net))
