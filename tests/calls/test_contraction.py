"""Products in any form of writing are the same numbers as ``F.linear`` with views of the weight."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from driftproof._calls.contraction import as_linear


def drawn(draw: random.Random, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(draw.randrange(2**31)), dtype=torch.float64)


def sizes(draw: random.Random, count: int) -> list[int]:
    return [draw.randint(1, 4) for _ in range(count)]


def matmul(draw: random.Random) -> tuple[Any, ...]:
    m, k, n = sizes(draw, 3)
    one, other = sizes(draw, draw.randint(0, 2)), sizes(draw, draw.randint(0, 2))
    shared = min(len(one), len(other))
    for place in range(1, shared + 1):
        one[-place], other[-place] = draw.choice([(2, 2), (1, 3), (3, 1)])
    left = [k] if draw.random() < 0.2 else [*one, m, k]
    right = [k] if draw.random() < 0.2 else [*other, k, n]
    return draw.choice([torch.matmul, Tensor.matmul, Tensor.__matmul__]), drawn(draw, *left), drawn(draw, *right)


def batched(draw: random.Random) -> tuple[Any, ...]:
    b, m, k, n = sizes(draw, 4)
    one, other = drawn(draw, b, m, k), drawn(draw, b, k, n)
    if draw.random() < 0.5:  # the same matrix for the whole batch, in memory once
        one = drawn(draw, m, k).expand(b, m, k)
    return torch.bmm, one, other


def inner(draw: random.Random) -> tuple[Any, ...]:
    m, k, n = sizes(draw, 3)
    functions: list[Any] = [torch.inner, F.linear]
    return draw.choice(functions), drawn(draw, m, k), drawn(draw, n, k)


def vector(draw: random.Random) -> tuple[Any, ...]:
    m, k, _ = sizes(draw, 3)
    return torch.mv, drawn(draw, m, k), drawn(draw, k)


def tensordot(draw: random.Random) -> tuple[Any, ...]:
    a, b, c, d = sizes(draw, 4)
    if draw.random() < 0.5:
        return torch.tensordot, drawn(draw, a, b, c), drawn(draw, b, c, d), 2
    return torch.tensordot, drawn(draw, a, b, c), drawn(draw, d, c, b), ([1, 2], [2, 1])


EQUATIONS = [
    "ij,jk->ik",
    "ij,jk",
    "ni,oi->on",
    "...i,oi->...o",
    "...ij,jk",
    "bnd,hdk->bhnk",
    "bhnk,hdk->bnd",
    "bix,iox->box",
    "bij,kij->bk",
    "bij,kji->bk",
    "bij,oj->bo",
    "a b, b c -> c a",
    "bi,oi,po->bp",
    "bk,kio,bi->bo",
]


def einsum(draw: random.Random) -> tuple[Any, ...]:
    equation = draw.choice(EQUATIONS)
    length = {letter: draw.randint(1, 4) for letter in "abcdefghijklmnopqrstuvwxyz"}
    terms = equation.replace(" ", "").partition("->")[0].split(",")
    shapes = [[2, 3] * ("..." in term) + [length[letter] for letter in term.replace("...", "")] for term in terms]
    return torch.einsum, equation, *(drawn(draw, *shape) for shape in shapes)


KINDS: dict[str, Callable[[random.Random], tuple[Any, ...]]] = {
    "matmul": matmul,
    "bmm": batched,
    "inner": inner,
    "mv": vector,
    "tensordot": tensordot,
    "einsum": einsum,
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_result_is_torchs_own(kind: str) -> None:
    rewritten = 0
    for seed in range(60):
        function, *args = KINDS[kind](random.Random(f"{kind} {seed}"))
        tensors = [part for part in args if isinstance(part, Tensor)]
        for weight in tensors:
            compute = as_linear(function, args, {}, lambda part, weight=weight: _shares(part, weight))  # type: ignore[misc]
            if compute is not None:
                wanted, got = function(*args), compute()
                assert got.shape == wanted.shape
                torch.testing.assert_close(got, wanted, rtol=1e-12, atol=1e-12)
                rewritten += 1
    assert rewritten >= 40


def _shares(part: Tensor, weight: Tensor) -> bool:
    return part.untyped_storage().data_ptr() == weight.untyped_storage().data_ptr()


@pytest.mark.parametrize("name", ["addmm", "addmv", "addbmm", "baddbmm"])
@pytest.mark.parametrize("factors", [{}, {"alpha": 2.0, "beta": 0.5}, {"beta": 0}])
@pytest.mark.parametrize("in_place", [False, True])
def test_what_is_added_is_added(name: str, factors: dict[str, float], in_place: bool) -> None:
    draw = random.Random(name)
    b, m, k, n = 3, 4, 2, 5
    batch = (b,) if "bmm" in name else ()
    one = drawn(draw, *batch, m, k)
    other = drawn(draw, k) if name == "addmv" else drawn(draw, *batch, k, n)
    added = drawn(draw, *((m,) if name == "addmv" else (m, n) if name != "baddbmm" else (b, m, n)))
    function = getattr(Tensor, f"{name}_") if in_place else getattr(torch, name)
    wanted = getattr(torch, name)(added, one, other, **factors)
    target = added.clone()
    compute = as_linear(function, [target, one, other], dict(factors), lambda part: part is one)
    assert compute is not None
    torch.testing.assert_close(compute(), wanted, rtol=1e-12, atol=1e-12)
    assert torch.equal(target, added) != in_place or not bool((wanted != added).any())


def test_a_chain_of_matrices() -> None:
    draw = random.Random(0)
    parts = [drawn(draw, 2, 3), drawn(draw, 3, 4), drawn(draw, 4, 5)]
    for weights in ([1], [2], [1, 2], [0], [0, 1], [0, 2]):
        compute = as_linear(
            torch.linalg.multi_dot,
            [parts],
            {},
            lambda part, w=weights: any(part is parts[at] for at in w),  # type: ignore[misc]
        )
        assert compute is not None
        torch.testing.assert_close(compute(), torch.linalg.multi_dot(parts), rtol=1e-12, atol=1e-12)


NO_MATRIX_PRODUCTS: dict[str, tuple[Any, ...]] = {
    "one by one": (torch.einsum, "ij,ij->ij", torch.ones(2, 3), torch.ones(2, 3)),
    "an outer product": (torch.einsum, "i,jk->ijk", torch.ones(2), torch.ones(3, 4)),
    "a diagonal": (torch.einsum, "ij,kk->ij", torch.ones(2, 3), torch.ones(4, 4)),
    "a row alone": (torch.einsum, "bi,bi->b", torch.ones(2, 3), torch.ones(2, 3)),
    "integers": (torch.matmul, torch.ones(2, 3, dtype=torch.int64), torch.ones(3, 2, dtype=torch.int64)),
    "another function": (torch.add, torch.ones(2), torch.ones(2)),
}


@pytest.mark.parametrize("kind", NO_MATRIX_PRODUCTS)
def test_what_is_no_matrix_product_stays_as_it_is(kind: str) -> None:
    function, *args = NO_MATRIX_PRODUCTS[kind]
    assert as_linear(function, args, {}, lambda part: part is args[-1]) is None


def test_two_weights_are_no_product_of_inputs() -> None:
    assert as_linear(torch.matmul, [torch.ones(2, 2), torch.ones(2, 2)], {}, lambda _: True) is None
