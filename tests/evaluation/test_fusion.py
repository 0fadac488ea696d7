"""Layers that are computed together with what follows them give what the network gives, and nothing else is fused."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import driftproof as dp
from driftproof._chip import Chip
from driftproof._mapping import map_model
from driftproof._side_by_side import side_by_side
from driftproof.arrays import input_ranges
from driftproof.evaluation import _kernels
from driftproof.evaluation._folded import FoldedNetwork
from driftproof.evaluation._fusion import FusedLayer
from driftproof.periphery import StaticRange, load_periphery

X = torch.randn(6, 3, 8, 8, generator=torch.Generator().manual_seed(0))
STATIC = load_periphery("standard").with_changes(input_range=StaticRange(method="maximum"))


class Block(nn.Module):
    """Two convolutions with norms, and a way to put a shortcut and a ReLU behind them."""

    def __init__(self, end: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.first, self.norm_1 = nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.second, self.norm_2 = nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.relu, self.end = nn.ReLU(inplace=True), end

    def forward(self, x: Tensor) -> Tensor:
        short = self.relu(self.norm_1(self.first(x)))
        return self.end(self.norm_2(self.second(short)), short)


def in_place(x: Tensor, short: Tensor) -> Tensor:
    x += short
    return F.relu(x)


def into_the_shortcut(x: Tensor, short: Tensor) -> Tensor:
    short += x
    return F.relu(short) + short


def written_between(x: Tensor, short: Tensor) -> Tensor:
    kept = short + 1
    short.mul_(3)
    return F.relu(x + kept) + short


ENDS: dict[str, tuple[Callable[[Tensor, Tensor], Tensor], int, int]] = {
    # what follows the second convolution; how many layers take a summand in, and how many a ReLU
    "x + short, relu": (lambda x, short: F.relu(x + short), 1, 2),
    "short + x, relu": (lambda x, short: torch.relu(short + x), 1, 2),
    "torch.add, method": (lambda x, short: torch.add(x, short).relu(), 1, 2),
    "x += short": (in_place, 1, 2),
    "no relu": (lambda x, short: x + short, 1, 1),
    "only relu": (lambda x, short: F.relu(x), 0, 2),
    "short += x": (into_the_shortcut, 1, 1),
    "a write in between": (written_between, 0, 1),
    "a factor": (lambda x, short: torch.add(x, short, alpha=2), 0, 1),
    "broadcast": (lambda x, short: F.relu(x + short.mean(dim=(2, 3), keepdim=True)), 0, 1),
    "used twice": (lambda x, short: F.relu(x + short) + x, 0, 1),
    "added to itself": (lambda x, short: x + x, 0, 1),
    "a number": (lambda x, short: F.relu(x + 1), 0, 1),
}


def folded(network: nn.Module, periphery: bool = False) -> FoldedNetwork:
    mapping = map_model(network, example=X)
    ranges = input_ranges(network, mapping, STATIC, [X]) if periphery else None
    return FoldedNetwork(network, mapping, X, periphery=STATIC if periphery else None, ranges=ranges)


def block(end: str) -> nn.Module:
    torch.manual_seed(0)
    network = Block(ENDS[end][0]).eval()
    for norm in (network.norm_1, network.norm_2):
        nn.init.normal_(norm.running_mean)  # type: ignore[arg-type]
        nn.init.uniform_(norm.running_var, 0.5, 2.0)  # type: ignore[arg-type]
    return network


@pytest.mark.parametrize("periphery", [False, True], ids=["ideal", "converters"])
@pytest.mark.parametrize("end", ENDS)
def test_fused_layers_compute_what_the_network_computes(end: str, periphery: bool) -> None:
    network, kept = block(end), X.clone()
    made = folded(network, periphery)
    assert made._fused is not None
    calls = [n for n in made._fused.graph.nodes if n.op == "call_module" and str(n.target).startswith("fused")]
    assert (sum(len(n.args) == 2 for n in calls), len(calls)) == (ENDS[end][1], 2)
    layers = [m for m in made._fused.modules() if isinstance(m, FusedLayer)]
    assert sum(layer.relu for layer in layers) == ENDS[end][2]
    with torch.no_grad():
        torch.testing.assert_close(made(X), network(X.clone()), rtol=1e-5, atol=1e-5)
    assert torch.equal(X, kept)


@pytest.mark.parametrize("end", ["x + short, relu", "a write in between"])
def test_chips_between_converters_agree_with_single_steps(end: str, monkeypatch: pytest.MonkeyPatch) -> None:
    network = block(end)
    fast = folded(network, periphery=True)
    assert fast.norms
    monkeypatch.setattr(FoldedNetwork, "_fusible", lambda *_: set())
    slow = folded(network, periphery=True)
    assert not slow.norms
    chip = Chip(map_model(network, example=X), dp.load_preset("pcm-nandakumar-2019"), seed=0, chip=0)
    for made in (fast, slow):
        made.load(chip, 3600.0)
    one, other = fast(X), slow(X)
    # a code may flip; a wrong factor, shift or summand would move all outputs
    assert float(((one - other).abs() > 1e-5 * other.abs().max()).float().mean()) < 0.02


def test_without_fused_convolutions_the_outputs_are_the_same_and_it_is_said_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    network = block("x + short, relu")
    with torch.no_grad():
        wanted = folded(network)(X)
    monkeypatch.setattr(_kernels, "FUSED", False)
    _kernels.tell_of_missing_kernels.cache_clear()
    with pytest.warns(dp.DriftproofWarning, match="no fused convolutions of oneDNN"):
        made = folded(network)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = folded(network)
    torch.testing.assert_close(made(X), wanted, rtol=1e-6, atol=1e-6)
    assert torch.equal(again(X), made(X))


def test_hooks_and_norms_to_be_recalibrated_stay() -> None:
    network = block("x + short, relu")
    network.get_submodule("second").register_forward_hook(lambda module, args, outputs: outputs * 2)
    made = folded(network)
    assert "second" in made._unfused
    with torch.no_grad():
        torch.testing.assert_close(made(X), network(X.clone()), rtol=1e-5, atol=1e-5)
    network, mapping = block("x + short, relu"), map_model(block("x + short, relu"), example=X)
    unfolded = FoldedNetwork(network, mapping, X, fold=False)
    unfolded.load(Chip(mapping, dp.load_preset("gaussian:0.1"), seed=0, chip=0), 1.0)
    before = unfolded(X)
    unfolded.recalibrate([X])
    assert float((unfolded(X) - before).abs().max()) > 1e-3


def test_parts_side_by_side_give_the_same_bits_as_one_after_the_other() -> None:
    network = block("x + short, relu")
    made = folded(network, periphery=True)
    made.load(Chip(map_model(network, example=X), dp.load_preset("gaussian:0.05"), seed=0, chip=0), 1.0)
    assert made.side_by_side
    x, threads = torch.cat([X] * 8), torch.get_num_threads()
    made.at_once = 5
    try:
        torch.set_num_threads(1)
        alone = made(x, range(100, 148))
        torch.set_num_threads(3)
        together = made(x, range(100, 148))
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(alone, together)  # the noise of a sample does not depend on what else is computed
    assert not torch.equal(alone[:6], alone[6:12])


def test_an_error_in_a_part_is_the_callers() -> None:
    def fail(part: int) -> int:
        if part == 2:
            raise ValueError("part two")
        return part

    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        with pytest.raises(ValueError, match="part two"):
            side_by_side(fail, range(4))
        names = side_by_side(lambda _: (threading.get_ident(), torch.get_num_threads()), range(8))
    finally:
        torch.set_num_threads(threads)
    assert {number for _, number in names} == {1}
    assert threading.get_ident() not in {name for name, _ in names}
