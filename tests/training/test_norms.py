"""Running statistics of norms: moved by one pass of each micro-batch, the one that the policy names."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, get_args

import pytest
import torch
from torch import Tensor, nn

from driftproof._batch_norm import batch_norms, norms_with_statistics
from driftproof._errors import DriftproofWarning
from driftproof.training._methods import Method
from driftproof.training._norms import NormPolicy, recalibrate_norms, statistics_kept
from training.small import IMAGES, NAMES, PERTURBING, Small, equal, images_loss, method_of, rising, sgd, small

POLICIES = get_args(NormPolicy)
# several passes of one kind: that one of them moves the statistics has to be chosen
MORE: dict[str, Callable[..., Method]] = {
    "sam of three ascents": lambda **o: method_of("sam", ascent_steps=3, **o),
    "sam-rwp without an ascent": lambda **o: method_of("sam-rwp", rho=rising(), **o),
}


def make(name: str, norms: str) -> Method:
    method = MORE[name](norms=norms) if name in MORE else method_of(name, norms=norms)
    method.begin(100)
    return method


def statistics(norm: nn.Module) -> dict[str, Tensor]:
    return {name: buffer.clone() for name, buffer in norm.named_buffers()}


@dataclass
class Seen:
    """What a norm was given in one pass."""

    clean: bool
    mean: Tensor
    training: bool


@dataclass
class Watched:
    """A network whose BatchNorm has the last batch's mean as its running mean."""

    network: Small = field(default_factory=lambda: small(dropout=0.0))
    passes: list[Seen] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.network.norm.momentum = 1.0
        self.network.norm.register_forward_pre_hook(self._see)
        self.optimizer = sgd(self.network)

    def _see(self, norm: nn.Module, inputs: tuple[Tensor]) -> None:
        clean = torch.equal(self.network.conv.weight, self.at)
        self.passes.append(Seen(clean, inputs[0].detach().mean((0, 2, 3)), norm.training))

    def step(self, method: Method, closures: int = 1) -> None:
        self.at = self.network.conv.weight.detach().clone()
        method.step([images_loss(self.network)] * closures, self.network, self.optimizer)

    @property
    def moves(self) -> int:
        assert self.network.norm.num_batches_tracked is not None
        return int(self.network.norm.num_batches_tracked)


@pytest.mark.parametrize("name", [*NAMES, *MORE])
@pytest.mark.parametrize("policy", POLICIES)
def test_statistics_move_once_and_at_the_weights_that_the_policy_names(name: str, policy: str) -> None:
    watched, method = Watched(), make(name, policy)
    norm = watched.network.norm
    for _ in range(3):  # LookSAM ascends in one and not in the others; multi-step SAM begins with none
        watched.step(method)
        watched.passes.clear()
        before, moves = statistics(norm), watched.moves
        watched.step(method)
        after = statistics(norm)
        modes = {seen.training for seen in watched.passes}
        assert norm.training
        assert norm.momentum == 1.0
        if policy in ("recalibrate", "frozen"):
            assert equal(after, before)
            assert modes == {policy == "recalibrate"}
            continue
        assert modes == {True}
        assert watched.moves == moves + 1
        wanted = [seen for seen in watched.passes if seen.clean == (policy == "clean")]
        if all(seen.clean for seen in watched.passes):  # nothing was perturbed
            wanted = watched.passes
        # of several perturbed passes: the top of the ascent is the last, of two mirrored points it is the first
        chosen = wanted[0] if policy == "clean" or name == "two-point-rwp" else wanted[-1]
        torch.testing.assert_close(after["running_mean"], chosen.mean)
        others = [seen.mean for seen in watched.passes if seen is not chosen]
        assert not any(torch.allclose(after["running_mean"], other, rtol=1e-5, atol=1e-7) for other in others)


@pytest.mark.parametrize("name", PERTURBING)
@pytest.mark.parametrize("policy", POLICIES)
def test_the_method_has_passes_of_both_kinds_where_the_policy_wants_them(name: str, policy: str) -> None:
    watched, method = Watched(), make(name, policy)
    watched.step(method)
    watched.passes.clear()
    watched.step(method)
    kinds = {seen.clean for seen in watched.passes}
    if name == "looksam":  # between its ascents
        assert kinds == {True}
    else:
        assert kinds >= ({True, False} if policy == "clean" else {False})


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("policy", ["clean", "perturbed"])
def test_every_micro_batch_moves_them_once(name: str, policy: str) -> None:
    watched, method = Watched(), make(name, policy)
    watched.step(method, closures=2)
    for _ in range(2):
        before = watched.moves
        watched.step(method, closures=2)
        # m-RWP's two closures are one micro-batch
        assert watched.moves == before + (1 if name == "m-rwp" else 2)


@pytest.mark.parametrize("name", NAMES)
def test_a_norm_that_is_frozen_already_stays_so(name: str) -> None:
    watched = Watched()
    watched.network.norm.eval()
    before = statistics(watched.network.norm)
    method = make(name, "clean")
    for _ in range(2):
        watched.step(method)
    assert equal(statistics(watched.network.norm), before)
    assert not watched.network.norm.training


def test_frozen_norms_work_with_their_running_statistics() -> None:
    network = small(dropout=0.0)
    with torch.no_grad():
        assert network.norm.running_mean is not None
        network.norm.running_mean += 3.0
    wanted = images_loss(network.eval())().detach()
    loss = method_of("plain", norms="frozen").step(images_loss(network.train()), network, sgd(network))
    torch.testing.assert_close(loss, wanted)


def test_norms_without_statistics_are_left_alone() -> None:
    kinds = [
        nn.BatchNorm2d(1),
        nn.BatchNorm2d(1, track_running_stats=False),
        nn.SyncBatchNorm(1),
        nn.InstanceNorm2d(1),
        nn.InstanceNorm2d(1, track_running_stats=True),
        nn.GroupNorm(1, 1),
    ]
    network = nn.Sequential(*kinds)
    assert norms_with_statistics(network) == [kinds[0], kinds[2], kinds[4]]
    assert batch_norms(network) == [kinds[0], kinds[2]]


def test_statistics_are_put_back_bit_for_bit() -> None:
    network = small()
    before = statistics(network.norm)
    with statistics_kept(norms_with_statistics(network)):
        network(IMAGES)
    assert equal(statistics(network.norm), before)
    with statistics_kept(norms_with_statistics(network), on_failure_only=True):
        network(IMAGES)
    moved = statistics(network.norm)
    assert not equal(moved, before)

    def fail() -> Any:
        with statistics_kept(norms_with_statistics(network), on_failure_only=True):
            network(IMAGES)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert equal(statistics(network.norm), moved)


def test_recalibrated_statistics_are_the_mean_of_the_batches() -> None:
    network = small(dropout=0.0)
    torch.manual_seed(4)
    before = torch.get_rng_state()
    recalibrate_norms(network, [IMAGES[:4], IMAGES[4:]])
    assert torch.equal(before, torch.get_rng_state())
    with torch.no_grad():
        activations = network.conv(IMAGES)
    torch.testing.assert_close(network.norm.running_mean, activations.mean((0, 2, 3)))
    variances = [activations[part].var((0, 2, 3)) for part in (slice(0, 4), slice(4, 8))]
    torch.testing.assert_close(network.norm.running_var, (variances[0] + variances[1]) / 2)


class Dropped(nn.Module):
    """Dropout before a norm: with it the norm sees a larger variance than in use."""

    def __init__(self) -> None:
        super().__init__()
        self.drop, self.norm, self.other = nn.Dropout(0.5), nn.BatchNorm2d(1), nn.BatchNorm2d(1)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.drop(x))  # type: ignore[no-any-return]


def test_recalibration_is_that_of_evaluations() -> None:
    """Without dropout, as the network is used; batches count by their samples; a norm that is not called stays."""
    network = Dropped().train()
    network.norm.eval()
    assert network.other.running_mean is not None
    network.other.running_mean.fill_(2.0)
    with pytest.warns(DriftproofWarning, match=r"does not reach other: .*keep their statistics"):
        recalibrate_norms(network, [IMAGES[:6], IMAGES[6:], IMAGES], batches=2)
    torch.testing.assert_close(network.norm.running_mean, IMAGES.mean((0, 2, 3)))
    wanted = (6 * IMAGES[:6].var((0, 2, 3)) + 2 * IMAGES[6:].var((0, 2, 3))) / 8
    torch.testing.assert_close(network.norm.running_var, wanted)
    assert network.other.running_mean.tolist() == [2.0]
    assert [module.training for module in (network, network.drop, network.norm, network.other)] == [
        True, True, False, True,
    ]  # fmt: skip
    assert network.norm.momentum == 0.1


def test_a_network_without_batch_norms_is_recalibrated_to_itself() -> None:
    norm = nn.InstanceNorm2d(1, track_running_stats=True)
    before = statistics(norm)
    recalibrate_norms(norm, [IMAGES])
    assert equal(statistics(norm), before)
