"""The fast backend: it computes what the network and the tiles compute, or it refuses."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Self

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from driftproof._chip import Chip
from driftproof._errors import DriftproofError
from driftproof._mapping import TileSize, map_model
from driftproof._presets import load_preset
from driftproof.evaluation._backends import TilesNetwork
from driftproof.evaluation._folded import FoldedNetwork
from driftproof.evaluation._folding import foldable_norms
from driftproof.zoo import resnet20


def lively(model: nn.Module) -> nn.Module:
    """BatchNorm with statistics that matter, so that a fold that is forgotten or done twice shows."""
    source = torch.Generator().manual_seed(5)
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            size = module.num_features
            module.running_mean = torch.randn(size, generator=source) * 0.3
            module.running_var = torch.rand(size, generator=source) + 0.5
            if module.weight is not None:
                module.weight.data = torch.rand(size, generator=source) + 0.5
                module.bias.data = torch.randn(size, generator=source) * 0.3
    return model.eval()


class Views(nn.Module):
    """view() wants one memory order: channels-last would break it."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.fc = nn.Conv2d(3, 4, 3), nn.Linear(4 * 36, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        outputs: torch.Tensor = self.fc(F.relu(self.conv(x)).view(len(x), -1))
        return outputs


class Branches(nn.Module):
    """The convolution's output is read twice: its BatchNorm must not be folded."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.conv(x)
        outputs: torch.Tensor = (self.norm(y) + y).mean((2, 3))
        return outputs


class Shared(nn.Module):
    """One convolution before two BatchNorms."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.one, self.two = nn.Conv2d(2, 2, 3, padding=1), nn.BatchNorm2d(2), nn.BatchNorm2d(2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        outputs: torch.Tensor = self.two(self.conv(self.one(self.conv(x)))).mean((2, 3))
        return outputs


class Untraceable(nn.Module):
    """Python decides by the numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.fc, self.norm = nn.Linear(6, 4), nn.BatchNorm1d(4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.norm(self.fc(x))
        outputs: torch.Tensor = y if y.sum() > 0 else y * 2
        return outputs


CASES: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...], int]] = {
    "resnet20": (resnet20, (3, 3, 32, 32), 19),
    "linear": (lambda: nn.Sequential(nn.Linear(6, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 3)), (5, 6), 1),
    "sequence": (lambda: nn.Sequential(nn.Linear(6, 4), nn.BatchNorm1d(4)), (5, 4, 6), 0),
    "conv1d": (lambda: nn.Sequential(nn.Conv1d(2, 4, 3, bias=False), nn.BatchNorm1d(4), nn.Flatten()), (5, 2, 9), 1),
    "conv3d": (
        lambda: nn.Sequential(nn.Conv3d(1, 4, 2), nn.BatchNorm3d(4, affine=False), nn.Flatten()),
        (2, 1, 4, 4, 4),
        1,
    ),
    "views": (Views, (3, 3, 8, 8), 0),
    "branches": (Branches, (3, 1, 8, 8), 0),
    "shared": (Shared, (3, 2, 8, 8), 0),
    "untraceable": (Untraceable, (3, 6), 0),
    "no statistics": (
        lambda: nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4, track_running_stats=False), nn.Flatten()),
        (3, 1, 8, 8),
        0,
    ),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("preset", ["ideal", "pcm-nandakumar-2019"])
def test_folded_computes_what_effective_weights_in_the_network_compute(case: str, preset: str) -> None:
    torch.manual_seed(0)
    make, shape, folds = CASES[case]
    model = make()
    if case not in ("no statistics",):
        model = lively(model)
    x = torch.randn(shape)
    mapping = map_model(model)
    network = FoldedNetwork(model, mapping, x)
    assert len(network.norms) == folds
    chip = Chip(mapping, load_preset(preset), seed=0, chip=0)
    network.load(chip, 86400.0)
    plain = copy.deepcopy(model).eval()
    for name in mapping.weights:
        plain.get_submodule(name).weight.data = chip.weight(name, 86400.0)
    with torch.no_grad():
        wanted = plain(x)
    got = network(x)
    assert float((got - wanted).abs().max() / wanted.abs().max()) < 1e-5


@pytest.mark.parametrize("case", ["resnet20", "linear", "conv1d", "views", "shared"])
@pytest.mark.parametrize("preset", ["pcm-nandakumar-2019", "reram-wan-2022"])
@pytest.mark.parametrize("compensation", ["none", "tile", "column", "exact"])
def test_folded_and_tiles_give_the_same_logits(case: str, preset: str, compensation: str) -> None:
    torch.manual_seed(0)
    make, shape, _ = CASES[case]
    model, x = lively(make()), torch.randn(shape)
    mapping = map_model(model)
    folded, tiles = FoldedNetwork(model, mapping, x), TilesNetwork(model, mapping)
    chip = Chip(mapping, load_preset(preset), seed=0, chip=1, compensation=compensation)
    for t_s in (1.0, 86400.0):
        folded.load(chip, t_s)
        tiles.load(chip, t_s)
        a, b = folded(x), tiles(x)
        assert float((a - b).abs().max() / b.abs().max()) < 1e-5


def test_channels_last_is_taken_where_the_network_runs_so() -> None:
    torch.manual_seed(0)
    model = resnet20().eval()
    assert FoldedNetwork(model, map_model(model), torch.randn(3, 3, 32, 32)).layout == torch.channels_last
    views = Views().eval()
    assert FoldedNetwork(views, map_model(views), torch.randn(3, 3, 8, 8)).layout is None


def test_the_given_network_stays_as_it_was() -> None:
    model = lively(CASES["linear"][0]())
    before = copy.deepcopy(model.state_dict())
    network = FoldedNetwork(model, map_model(model), torch.randn(5, 6))
    network.load(Chip(map_model(model), load_preset("gaussian:1"), seed=0, chip=0), 1.0)
    assert isinstance(model.get_submodule("1"), nn.BatchNorm1d)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_batchnorm_in_training_statistics_is_not_folded() -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2, track_running_stats=False)).eval()
    assert foldable_norms(model, torch.randn(1, 1, 8, 8)) == {}


def test_a_fold_that_goes_wrong_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    model = lively(Branches())
    monkeypatch.setattr("driftproof.evaluation._folded.foldable_norms", lambda *_: {"conv": "norm"})
    x = torch.randn(3, 1, 8, 8)
    network = FoldedNetwork(model, map_model(model), x)
    assert network.norms == {}
    with torch.no_grad():
        assert float((network(x) - model(x)).abs().max()) < 1e-5


def test_another_networks_mapping_is_refused() -> None:
    model, other = resnet20().eval(), resnet20().eval()
    with pytest.raises(DriftproofError, match="off by"):
        FoldedNetwork(model, map_model(other), torch.randn(2, 3, 32, 32))


class ReadsWeights(nn.Module):
    """Penalises its own weights: reads a convolution's and a BatchNorm's parameters directly."""

    def __init__(self, which: str) -> None:
        super().__init__()
        self.conv, self.norm, self.which = nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), which

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        extra = self.conv.weight.mean() if self.which == "conv" else self.norm.weight.mean()
        outputs: torch.Tensor = self.norm(self.conv(x)).mean((2, 3)) + extra
        return outputs


class OneNormTwice(nn.Module):
    """Two convolutions before one BatchNorm."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.norm = nn.Conv2d(2, 2, 3), nn.Conv2d(2, 2, 3), nn.BatchNorm2d(2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        outputs: torch.Tensor = self.norm(self.b(self.norm(self.a(x)))).mean((2, 3))
        return outputs


class AlwaysTraining(nn.BatchNorm2d):
    """A BatchNorm that uses the batch's statistics in eval mode too."""

    def train(self, mode: bool = True) -> Self:
        return super().train(True)


def hooked() -> nn.Module:
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten())
    model[0].register_forward_hook(lambda _, __, y: y * 2)
    return model


@pytest.mark.parametrize(
    ("make", "shape"),
    [
        (lambda: ReadsWeights("conv"), (3, 1, 8, 8)),
        (lambda: ReadsWeights("norm"), (3, 1, 8, 8)),
        (OneNormTwice, (3, 2, 8, 8)),
        (hooked, (3, 1, 8, 8)),
    ],
)
def test_what_must_not_fold_does_not(make: Callable[[], nn.Module], shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    model, x = lively(make()), torch.randn(shape)
    network = FoldedNetwork(model, map_model(model), x)
    assert network.norms == {}
    with torch.no_grad():
        assert float((network(x) - model(x)).abs().max()) < 1e-5


def test_half_precision_networks() -> None:
    torch.manual_seed(0)
    for dtype in (torch.bfloat16, torch.float64):
        model, x = lively(CASES["linear"][0]()).to(dtype), torch.randn(5, 6).to(dtype)
        network = FoldedNetwork(model, map_model(model), x)
        with torch.no_grad():
            assert float((network(x) - model(x)).abs().max() / model(x).abs().max()) < 0.05


def test_a_network_that_is_random_in_eval_mode_is_refused_for_that() -> None:
    model = nn.Sequential(nn.Linear(6, 4))
    model.register_forward_hook(lambda _, __, y: F.dropout(y, 0.5))
    with pytest.raises(DriftproofError, match="two passes"):
        FoldedNetwork(model, map_model(model), torch.randn(5, 6))


def test_parts_inside_wrappers() -> None:
    torch.manual_seed(0)
    inner = nn.DataParallel(nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4)))
    model, x = lively(nn.Sequential(inner, nn.Flatten(), nn.Linear(144, 3))), torch.randn(2, 1, 8, 8)
    network = FoldedNetwork(model, map_model(model, example=x), x)
    with torch.no_grad():
        assert float((network(x) - model(x)).abs().max()) < 1e-5


def test_tiles_follow_a_new_chip_at_the_same_time() -> None:
    torch.manual_seed(0)
    model, x = lively(CASES["linear"][0]()), torch.randn(5, 6)
    mapping = map_model(model, TileSize(4, 3))
    folded, tiles = FoldedNetwork(model, mapping, x), TilesNetwork(model, mapping)
    for number in (0, 1):
        chip = Chip(mapping, load_preset("pcm-nandakumar-2019"), seed=0, chip=number)
        folded.load(chip, 1.0)
        tiles.load(chip, 1.0)
        assert float((folded(x) - tiles(x)).abs().max() / folded(x).abs().max()) < 1e-5


def test_a_batch_is_computed_in_parts_that_fit_the_cache_and_put_together() -> None:
    torch.manual_seed(0)
    model, x = lively(resnet20()), torch.randn(150, 3, 32, 32)
    network = FoldedNetwork(model, map_model(model), x[:8])
    assert network.at_once == 128  # 16 x 32 x 32 float32 activations per image, 8 MiB
    with torch.no_grad():
        wanted = model(x)
    assert float((network(x) - wanted).abs().max() / wanted.abs().max()) < 1e-5
