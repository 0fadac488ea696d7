"""Every method against its published formula, written out slowly; a small network in float64, several updates.

The update is w ← w − lr g; each reference returns g. Two layers without biases, so that all weights are analog, and
``W`` is the list of both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

import driftproof as dp
from driftproof.training._methods import Method
from driftproof.training._noise import Key, Noise
from driftproof.training._weights import AnalogWeights
from training.small import POINTS, VALUES, points_loss, smooth

type Weights = list[Tensor]
LR, STEPS, RHO = 0.1, 6, 0.3
FIRST, SECOND, ALL = slice(0, 4), slice(4, 8), slice(None)


class Known(Noise):
    """Noise that a test can draw, too."""

    def draw(self, weights: AnalogWeights, key: Key) -> dict[str, Tensor]:
        now = weights.parameters
        return {
            name: now[name].detach() + e for name, e in zip(now, known(list(now.values()), key.number), strict=True)
        }

    def __str__(self) -> str:
        return "known"


def known(weights: Any, number: int) -> Weights:
    source = torch.Generator().manual_seed(1000 + number)
    return [0.2 * torch.randn(w.shape, generator=source, dtype=torch.float64) for w in weights]


def number(step: int, micro: int = 0) -> int:
    """The key's number: 65,536 places for the micro-batches of each update."""
    return 65_536 * step + micro


def loss(weights: Weights, part: slice = ALL) -> Tensor:
    hidden = torch.tanh(POINTS[part].double() @ weights[0].T)
    return ((hidden @ weights[1].T - VALUES[part].double()) ** 2).mean()


def gradient(weights: Weights, part: slice = ALL) -> Weights:
    leaves = [w.clone().requires_grad_() for w in weights]
    return list(torch.autograd.grad(loss(leaves, part), leaves))


def plus(a: Weights, b: Weights, factor: float | Tensor = 1.0) -> Weights:
    return [x + factor * y for x, y in zip(a, b, strict=True)]


def dot(a: Weights, b: Weights) -> Tensor:
    return torch.stack([(x * y).sum() for x, y in zip(a, b, strict=True)]).sum()


def size(a: Weights) -> Tensor:
    return dot(a, a).sqrt()


def mean(a: Weights, b: Weights) -> Weights:
    return [(x + y) / 2 for x, y in zip(a, b, strict=True)]


# --- the formulas ---

type Reference = Callable[[Weights, int], Weights]


def sam_top(w: Weights, part: slice = ALL, rho: float = RHO) -> Weights:
    g = gradient(w, part)
    return plus(w, g, rho / size(g))


def sam(w: Weights, step: int) -> Weights:
    """Foret et al. 2021, equation 2 and algorithm 1."""
    return gradient(sam_top(w))


def sam_of_three_ascents(w: Weights, step: int) -> Weights:
    top = w
    for _ in range(3):
        g = gradient(top)
        top = plus(top, g, RHO / 3 / size(g))
    return gradient(top)


def asam(w: Weights, step: int, eta: float = 0.01) -> Weights:
    """Kwon et al. 2021, algorithm 1, with the element-wise T = |w| + η."""
    g = gradient(w)
    t = [x.abs() + eta for x in w]
    scaled = size([a * b for a, b in zip(t, g, strict=True)])
    return gradient([x + RHO * a * a * b / scaled for x, a, b in zip(w, t, g, strict=True)])


def gsam(w: Weights, step: int, alpha: float = 0.4) -> Weights:
    """Zhuang et al. 2022, algorithm 1."""
    g, p = gradient(w), gradient(sam_top(w))
    parallel = [dot(g, p) / dot(p, p) * x for x in p]
    return plus(p, plus(g, parallel, -1.0), -alpha)


class LookSAM:
    """Liu et al. 2022, algorithm 1."""

    def __init__(self, every: int = 3, alpha: float = 0.7) -> None:
        self.every, self.alpha = every, alpha
        self.across: Weights = []

    def __call__(self, w: Weights, step: int) -> Weights:
        g = gradient(w)
        if step % self.every:
            return plus(g, self.across, self.alpha * size(g) / size(self.across))
        s = gradient(sam_top(w))
        cosine = dot(g, s) / (size(g) * size(s))
        self.across = plus(s, g, -size(s) * cosine / size(g))
        return s


def rwp(w: Weights, step: int, strength: float = 1.5) -> Weights:
    return gradient(plus(w, known(w, number(step)), strength))


def two_point(w: Weights, step: int, strength: float = 1.5) -> Weights:
    e = known(w, number(step))
    return mean(gradient(plus(w, e, strength)), gradient(plus(w, e, -strength)))


def mixed(w: Weights, step: int, mix: float = 0.3) -> Weights:
    """Li et al. 2024, equation 8: two batches."""
    noisy, clean = gradient(plus(w, known(w, number(step))), FIRST), gradient(w, SECOND)
    return [mix * a + (1 - mix) * b for a, b in zip(noisy, clean, strict=True)]


class AdaptiveRWP:
    """Li et al. 2024, section 3.3: one v for each filter (a row of a linear layer's weight)."""

    def __init__(self, eta: float = 2.0, beta: float = 0.8) -> None:
        self.eta, self.beta, self.v = eta, beta, [torch.zeros(6, 1).double(), torch.zeros(2, 1).double()]

    def __call__(self, w: Weights, step: int) -> Weights:
        e = [e / (1 + self.eta * v).sqrt() for e, v in zip(known(w, number(step)), self.v, strict=True)]
        g = gradient(plus(w, e))
        self.v = [self.beta * v + (x**2).sum(1, keepdim=True) for v, x in zip(self.v, g, strict=True)]
        return g


def sam_rwp(w: Weights, step: int) -> Weights:
    return gradient(plus(sam_top(w), known(w, number(step)), 0.5))


def _cases() -> Iterator[tuple[str, Callable[[], Method], Callable[[], Reference]]]:
    noise = Known()
    yield "plain", lambda: dp.Plain(), lambda: lambda w, step: gradient(w)
    yield "sam", lambda: dp.SAM(rho=RHO), lambda: sam
    yield "three ascents", lambda: dp.SAM(rho=RHO, ascent_steps=3), lambda: sam_of_three_ascents
    yield "asam", lambda: dp.ASAM(rho=RHO), lambda: asam
    yield "asam without eta", lambda: dp.ASAM(rho=RHO, eta=0), lambda: partial(asam, eta=0.0)
    yield "gsam", lambda: dp.GSAM(rho=RHO, alpha=0.4), lambda: gsam
    yield "looksam", lambda: dp.LookSAM(rho=RHO, every=3), lambda: LookSAM()
    yield "rwp", lambda: dp.RWP(noise=noise, strength=1.5), lambda: rwp
    yield "two-point", lambda: dp.TwoPointRWP(noise=noise, strength=1.5), lambda: two_point
    yield "m-rwp", lambda: dp.MixedRWP(noise=noise, mix=0.3), lambda: mixed
    yield "arwp", lambda: dp.AdaptiveRWP(noise=noise, eta=2.0, beta=0.8), lambda: AdaptiveRWP()
    yield "sam-rwp", lambda: dp.SAMRWP(noise=noise, rho=RHO, strength=0.5), lambda: sam_rwp


CASES = {name: (method, reference) for name, method, reference in _cases()}


@pytest.mark.parametrize("name", CASES)
def test_the_method_is_its_formula(name: str) -> None:
    method, reference = CASES[name][0](), CASES[name][1]()
    network = smooth().double()
    optimizer = torch.optim.SGD(network.parameters(), lr=LR)
    whole: Any = points_loss(network)
    if name == "m-rwp":
        whole = [points_loss(network, FIRST), points_loss(network, SECOND)]
    w = [p.detach().clone() for p in network.parameters()]
    for step in range(STEPS):
        method.step(whole, network, optimizer)
        w = plus(w, reference(w, step), -LR)
        for got, wanted in zip(network.parameters(), w, strict=True):
            torch.testing.assert_close(got.detach(), wanted, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("name", ["sam", "asam", "gsam", "looksam"])
def test_the_formulas_differ_from_each_other(name: str) -> None:
    """Each reference is far from the others and from plain training: agreeing with the right one means something."""
    references = {key: CASES[key][1]() for key in ("plain", "sam", "asam", "gsam", "looksam")}
    after = {}
    for key, reference in references.items():
        w = [p.detach().clone() for p in smooth().double().parameters()]
        for step in range(2):
            w = plus(w, reference(w, step), -LR)
        after[key] = w
    assert all(float(size(plus(after[name], w, -1.0))) > 1e-4 for key, w in after.items() if key != name)


@pytest.mark.parametrize("name", ["sam", "gsam", "looksam", "rwp", "arwp", "two-point"])
def test_micro_batches_have_a_perturbation_each_and_the_update_is_their_mean(name: str) -> None:
    """GSAM's and LookSAM's parts, and ARWP's v, are those of the whole update's gradient."""
    network = smooth().double()
    method = CASES[name][0]()
    optimizer = torch.optim.SGD(network.parameters(), lr=LR)
    w = [p.detach().clone() for p in network.parameters()]
    across, v = [torch.zeros_like(x) for x in w], [torch.zeros(6, 1).double(), torch.zeros(2, 1).double()]
    for step in range(4):
        method.step([points_loss(network, FIRST), points_loss(network, SECOND)], network, optimizer)
        e = known(w, number(step)), known(w, number(step, 1))
        clean = mean(gradient(w, FIRST), gradient(w, SECOND))
        top = mean(gradient(sam_top(w, FIRST), FIRST), gradient(sam_top(w, SECOND), SECOND))
        if name == "sam":
            g = top
        elif name == "gsam":
            parallel = [dot(clean, top) / dot(top, top) * x for x in top]
            g = plus(top, plus(clean, parallel, -1.0), -0.4)
        elif name == "looksam":
            if step % 3:
                g = plus(clean, across, 0.7 * size(clean) / size(across))
            else:
                g, across = top, plus(top, clean, -dot(top, clean) / dot(clean, clean))
        elif name == "two-point":
            g = mean(
                mean(gradient(plus(w, e[0], 1.5), FIRST), gradient(plus(w, e[0], -1.5), FIRST)),
                mean(gradient(plus(w, e[1], 1.5), SECOND), gradient(plus(w, e[1], -1.5), SECOND)),
            )
        else:
            strength = 1.5 if name == "rwp" else 1.0
            if name == "arwp":
                e = tuple([x / (1 + 2.0 * s).sqrt() for x, s in zip(one, v, strict=True)] for one in e)  # type: ignore[assignment]
            g = mean(gradient(plus(w, e[0], strength), FIRST), gradient(plus(w, e[1], strength), SECOND))
            v = [0.8 * s + (x**2).sum(1, keepdim=True) for s, x in zip(v, g, strict=True)]
        w = plus(w, g, -LR)
        for got, wanted in zip(network.parameters(), w, strict=True):
            torch.testing.assert_close(got.detach(), wanted, rtol=1e-11, atol=1e-12)


def test_digital_parameters_are_not_perturbed_but_trained_at_the_perturbed_point() -> None:
    network = smooth(bias=True).double()
    before = [p.detach().clone() for p in network.parameters()]
    seen: list[Weights] = []

    def closure() -> Tensor:
        seen.append([p.detach().clone() for p in network.parameters()])
        return points_loss(network)()

    dp.SAM(rho=RHO).step(closure, network, torch.optim.SGD(network.parameters(), lr=LR))
    clean, top = seen[-2:]
    assert all(torch.equal(a, b) for a, b in zip(clean, before, strict=True))
    assert [torch.equal(a, b) for a, b in zip(top, before, strict=True)] == [False, True, False, True]
    leaves = [p.clone().requires_grad_() for p in top]
    hidden = torch.tanh(POINTS.double() @ leaves[0].T + leaves[1])
    at_top = torch.autograd.grad(((hidden @ leaves[2].T + leaves[3] - VALUES.double()) ** 2).mean(), leaves)
    for p, b, g in zip(network.parameters(), before, at_top, strict=True):
        torch.testing.assert_close(p.detach(), b - LR * g, rtol=1e-11, atol=1e-12)


def test_weights_in_single_precision_follow_the_formula_too() -> None:
    network = smooth()
    method, optimizer = dp.SAM(rho=RHO), torch.optim.SGD(network.parameters(), lr=LR)
    w = [p.detach().double() for p in network.parameters()]
    for step in range(3):
        method.step(points_loss(network), network, optimizer)
        w = plus(w, sam(w, step), -LR)
    for got, wanted in zip(network.parameters(), w, strict=True):
        torch.testing.assert_close(got.detach().double(), wanted, rtol=1e-5, atol=1e-6)
