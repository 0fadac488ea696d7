"""The analog share is a share of everything that a network multiplies; what is left is counted, named and told."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import driftproof as dp
from driftproof._errors import DriftproofError, DriftproofWarning
from driftproof._mapping.leftover import HIDDEN, KERNELS, THREADS
from driftproof._shares import ACTIVATIONS, share_text

WIDTH, SAMPLES = 32, 6
HEAD = WIDTH * 4
MATRIX = WIDTH * WIDTH
X = torch.randn(SAMPLES, WIDTH, generator=torch.Generator().manual_seed(0))
HELD = torch.randn(WIDTH, WIDTH, generator=torch.Generator().manual_seed(1)) / 8


@torch.library.custom_op("driftproof_tests::product", mutates_args=())
def product(x: Tensor, weight: Tensor) -> Tensor:
    return x @ weight


class Subclass(Tensor):
    """A tensor of another class."""


class Net(nn.Module):
    """Something multiplies, and then a head."""

    fixed: Tensor
    codes: Tensor
    sparse: Tensor

    def __init__(self, function: Callable[[Net, Tensor], Tensor]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.head, self.function = nn.Linear(WIDTH, 4, bias=False), function
        self.register_buffer("fixed", HELD.clone())
        self.register_buffer("codes", torch.randint(-7, 8, (WIDTH, WIDTH), dtype=torch.int8))
        self.register_buffer("sparse", torch.eye(WIDTH).to_sparse())
        self.plain, self.listed = HELD.clone(), [{"a": HELD.clone()}]
        self.matrix = nn.Parameter(HELD.clone())
        self.complex = nn.Parameter(HELD.to(torch.complex64))
        self.vector, self.maker = nn.Parameter(torch.randn(WIDTH)), nn.Linear(4, MATRIX, bias=False)
        self.array = HELD.numpy().copy()

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.function(self, x))  # type: ignore[no-any-return]


def in_numpy(net: Net, x: Tensor) -> Tensor:
    return torch.from_numpy(x.detach().numpy() @ net.matrix.detach().numpy())


def dequantised(net: Net, x: Tensor) -> Tensor:
    return F.linear(x, net.codes.float() * 0.1)


def made(net: Net, x: Tensor) -> Tensor:
    kernel = net.maker(x[:, :4].mean(0)).view(WIDTH, WIDTH)
    return F.linear(x, kernel)


def with_vector(net: Net, x: Tensor) -> Tensor:
    return (x @ net.vector)[:, None] * x


def in_inference_mode(net: Net, x: Tensor) -> Tensor:
    with torch.inference_mode():
        return x @ net.fixed


def scaled_copies(net: Net, x: Tensor) -> Tensor:
    copies = x[:, :, None].expand(-1, -1, WIDTH).clone()
    copies *= net.matrix
    return copies.sum(1)


def rows_one_by_one(net: Net, x: Tensor) -> Tensor:
    return torch.stack([(x * row).sum(-1) for row in net.matrix], 1)


def numbers_in_loops(net: Net, x: Tensor) -> Tensor:
    return torch.stack([sum((x[:, i] * net.matrix[i, j] for i in range(WIDTH)), x[:, 0]) for j in range(WIDTH)], 1)


def weighted_bags(net: Net, x: Tensor) -> Tensor:
    return F.embedding_bag(torch.arange(WIDTH).repeat(len(x), 1), net.matrix, per_sample_weights=x, mode="sum")


def in_int8(net: Net, x: Tensor) -> Tensor:
    return torch._weight_int8pack_mm(x.bfloat16(), net.codes, torch.ones(WIDTH, dtype=torch.bfloat16)).float()


def by_branches(net: Net, x: Tensor) -> Tensor:
    return torch.cond(torch.tensor(True), lambda y: y @ HELD, lambda y: y, (x,))  # type: ignore[no-any-return]


# how a product is written: (the name in its row, its multiply-accumulates a sample, None if they cannot be counted)
LEFT: dict[str, tuple[Callable[[Net, Tensor], Tensor], str, int | None]] = {
    "a buffer": (lambda n, x: x @ n.fixed, "fixed", MATRIX),
    "a buffer from the left": (lambda n, x: (n.fixed @ x.t()).t(), "fixed", MATRIX),
    "integer codes": (dequantised, "codes", MATRIX),
    "a sparse buffer": (lambda n, x: torch.sparse.mm(n.sparse, x.t()).t(), "sparse", MATRIX),
    "an attribute": (lambda n, x: x @ n.plain, "plain", MATRIX),
    "an attribute in a list": (lambda n, x: x @ n.listed[0]["a"], "listed[0]['a']", MATRIX),
    "a tensor of the module's file": (lambda n, x: x @ HELD, "(tensors kept elsewhere)", MATRIX),
    "a NumPy array": (lambda n, x: x @ torch.from_numpy(n.array), "(tensors kept elsewhere)", MATRIX),
    "a vector": (with_vector, "vector", WIDTH),
    "complex weights": (lambda n, x: (x.to(torch.complex64) @ n.complex).real, "complex", 4 * MATRIX),
    "numbers one by one": (lambda n, x: (x[:, :, None] * n.matrix).sum(1), "matrix", MATRIX),
    "a kernel of inputs": (made, KERNELS, MATRIX),
    "a weight that inputs change": (lambda n, x: F.linear(x, n.matrix * x.mean()), KERNELS, MATRIX),
    "an operator of another package": (lambda n, x: product(x, n.matrix), "matrix", None),
    "numbers that leave torch": (in_numpy, "matrix", None),
    "a buffer in inference mode": (in_inference_mode, "fixed", MATRIX),
    "a buffer that is added to": (lambda n, x: torch.addmm(x, x, n.fixed), "fixed", MATRIX),
    "a buffer and a subclass": (lambda n, x: x.as_subclass(Subclass) @ n.fixed, "fixed", MATRIX),
    "code in a branch": (by_branches, "(tensors kept elsewhere)", MATRIX),
    "copies of inputs one by one": (scaled_copies, "matrix", MATRIX),
    "addcmul": (lambda n, x: x.new_zeros(()).addcmul(x[:, :, None], n.matrix).sum(1), "matrix", MATRIX),
    "division": (lambda n, x: (x[:, :, None] / n.matrix).sum(1), "matrix", MATRIX),
    "vmap one by one": (lambda n, x: torch.vmap(lambda v: (v[:, None] * n.matrix).sum(0))(x), "matrix", MATRIX),
    "rows one by one": (rows_one_by_one, "matrix", MATRIX),
    "numbers in loops": (numbers_in_loops, "matrix", MATRIX),
    "cosines": (lambda n, x: F.cosine_similarity(x[:, None], n.fixed, dim=-1), "fixed", MATRIX),
    "weighted bags": (weighted_bags, "matrix", MATRIX),
    "a system of equations": (lambda n, x: torch.linalg.solve(n.fixed, x.t()).t(), "aten::_linalg_solve_ex", None),
    "int8 weights": (in_int8, "aten::_weight_int8pack_mm", None),
    "distances": (lambda n, x: torch.cdist(x, n.matrix), "matrix", MATRIX),
}


@pytest.mark.parametrize("kind", LEFT)
def test_what_is_left_is_counted_named_and_refused(kind: str) -> None:
    function, name, macs = LEFT[kind]
    mapping = dp.map_model(Net(function).eval(), example=X)
    rows = {entry.name: entry for entry in mapping.layers}
    assert (rows[name].macs_per_input, rows[name].unasked, rows[name].analog) == (macs, True, False)
    assert rows[name].reason
    share = mapping.analog_macs
    if macs is None:
        assert share is None
        assert name in share_text(mapping.layers)
    else:
        analog = sum(entry.macs_per_input or 0 for entry in mapping.layers if entry.analog)
        assert share is not None
        assert share == pytest.approx(analog / (analog + macs))
        assert share < 1
    with pytest.raises(DriftproofError, match="all_analog"):
        dp.map_model(Net(function).eval(), example=X, all_analog=True)
    others = [f"!{entry.name}" for entry in mapping.layers if entry.unasked]
    dp.map_model(Net(function).eval(), example=X, where=others, all_analog=True)


@pytest.mark.parametrize("kind", ["a buffer", "an attribute", "numbers one by one"])
def test_evaluations_and_trainings_say_it(kind: str) -> None:
    function, name, _ = LEFT[kind]
    data = X, torch.arange(SAMPLES) % 4
    calls: list[Callable[[], Any]] = [
        lambda: dp.evaluate(Net(function).eval(), data, presets="gaussian:0.1", times="1s", chips=1, progress=False),
        lambda: dp.convert(Net(function).eval(), "ideal", example=X),
        lambda: dp.train(Net(function), data, method=dp.RWP(noise="gaussian:0.1"), epochs=1, batch_size=6),
    ]
    for call in calls:
        with pytest.warns(DriftproofWarning, match="stays digital") as caught:
            call()
        assert any(name in str(warning.message) for warning in caught)


def test_products_of_activations_are_counted_and_not_refused() -> None:
    layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True).eval()
    mapping = dp.map_model(layer, example=torch.randn(3, 5, 16), all_analog=True)
    row = next(entry for entry in mapping.layers if entry.name == ACTIVATIONS)
    assert row.macs_per_input == 2 * 5 * 5 * 16
    weights = 5 * (4 * 16 * 16 + 2 * 16 * 32)
    assert mapping.analog_macs == pytest.approx(weights / (weights + 2 * 5 * 5 * 16))
    assert mapping.analog_macs_with_weights == 1
    assert "of all multiply-accumulates and 100.0 % of those with weights" in share_text(mapping.layers)


def test_code_that_cannot_be_watched_is_counted_as_a_whole() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scripted = torch.jit.script(nn.Linear(WIDTH, WIDTH))
    mapping = dp.map_model(nn.Sequential(scripted, nn.Linear(WIDTH, 4)).eval(), example=X)
    assert next(entry for entry in mapping.layers if entry.name == HIDDEN).macs_per_input == MATRIX
    assert mapping.analog_macs == pytest.approx(HEAD / (HEAD + MATRIX))


NO_PRODUCTS: dict[str, Callable[[Net, Tensor], Tensor]] = {
    "a gain": lambda n, x: x * n.vector,
    "positions": lambda n, x: x + n.fixed[: len(x)],
    "a mask": lambda n, x: x.masked_fill(n.plain[: len(x)] > 0, 0.0),
    "a table": lambda n, x: x + n.plain[(x[:, 0] > 0).long()],
    "a constant made of buffers": lambda n, x: x + (n.fixed @ n.plain).mean(),
    "state that is written": lambda n, x: x,
}


@pytest.mark.parametrize("kind", NO_PRODUCTS)
def test_what_is_no_product_raises_no_alarm(kind: str) -> None:
    mapping = dp.map_model(Net(NO_PRODUCTS[kind]).eval(), example=X, all_analog=True)
    assert mapping.analog_macs == 1


def test_a_cache_is_the_networks_state_and_no_weight() -> None:
    def cached(net: Net, x: Tensor) -> Tensor:
        net.plain[: len(x)] = x
        return x @ net.plain.t()

    mapping = dp.map_model(Net(cached).eval(), example=X, all_analog=True)
    assert [entry.name for entry in mapping.layers if entry.unasked] == []
    assert mapping.analog_macs_with_weights == 1
    assert np.isclose(mapping.analog_macs or 0, HEAD / (HEAD + MATRIX))


def test_one_sample_counts_as_many_do() -> None:
    mapping = dp.map_model(Net(lambda n, x: (x[:, :, None] * n.matrix).sum(1)).eval(), example=X[:1])
    assert mapping.analog_macs == pytest.approx(HEAD / (HEAD + MATRIX))


def test_state_that_is_read_before_it_is_written_is_no_weight() -> None:
    def recurrent(net: Net, x: Tensor) -> Tensor:
        y = x @ net.fixed
        net.fixed.copy_(y.t() @ y)
        return y

    mapping = dp.map_model(Net(recurrent).eval(), example=X, all_analog=True)
    assert next(entry for entry in mapping.layers if entry.name == ACTIVATIONS).macs_per_input == 2 * MATRIX


def test_layers_in_other_threads_are_told() -> None:
    class Threaded(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.head = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, 4)

        def forward(self, x: Tensor) -> Tensor:
            with ThreadPoolExecutor(1) as pool:
                return self.head(pool.submit(self.body, x).result().detach())  # type: ignore[no-any-return]

    mapping = dp.map_model(Threaded().eval(), example=X)
    assert mapping.analog_macs is None
    assert next(entry for entry in mapping.layers if entry.name == THREADS).unasked


def test_attention_of_another_package_is_told_and_not_refused() -> None:
    class Scores(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return product(x, x.t()) @ x  # type: ignore[no-any-return]

    mapping = dp.map_model(nn.Sequential(Scores(), nn.Linear(WIDTH, 4)).eval(), example=X, all_analog=True)
    assert mapping.analog_macs is None
    assert "driftproof_tests::product" in share_text(mapping.layers)
