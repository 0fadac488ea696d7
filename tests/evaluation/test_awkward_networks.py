"""Networks as they come: broken filters, outliers, other types, wrappers, stuck devices."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import nn

import driftproof as dp
from driftproof._chip import Chip
from driftproof._errors import DriftproofError
from driftproof._mapping import map_model, plain_copy
from driftproof.evaluation._backends import TilesNetwork
from driftproof.evaluation._folded import FoldedNetwork
from driftproof.laws._stuck import Stuck
from driftproof.periphery import DynamicRange, load_periphery

X = torch.randn(6, 3, 8, 8, generator=torch.Generator().manual_seed(0))
PCM = "pcm-nandakumar-2019"


def network() -> nn.Sequential:
    torch.manual_seed(0)
    made = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3, groups=4), nn.Flatten(), nn.Linear(128, 5)
    )
    return made.eval()


def both(model: nn.Module, preset: str = PCM, periphery: str = "ideal") -> tuple[torch.Tensor, torch.Tensor]:
    """Return the outputs of one chip at a day, folded and on tiles."""
    model = plain_copy(model)
    mapping = map_model(model, example=X)
    around = None
    if periphery == "dynamic":
        around = load_periphery("standard").with_changes(input_range=DynamicRange()).without_noise()
    chip = Chip(mapping, dp.load_preset(preset), seed=0, chip=0)
    folded = FoldedNetwork(model, mapping, X, periphery=around)
    tiles = TilesNetwork(model, mapping, around)
    folded.load(chip, 86400.0)
    tiles.load(chip, 86400.0)
    return folded(X), tiles(X)


@pytest.mark.parametrize("periphery", ["ideal", "dynamic"])
@pytest.mark.parametrize("fault", ["none", "zero filters", "dead channel", "outliers", "zero layer"])
def test_broken_weights(fault: str, periphery: str) -> None:
    model = network()
    with torch.no_grad():
        if fault == "zero filters":
            model.get_parameter("0.weight")[::2] = 0
        elif fault == "dead channel":
            model.get_parameter("0.weight")[1] = 0
            model.get_parameter("0.bias")[1] = -1
            model.get_buffer("1.running_mean")[1] = 0
        elif fault == "outliers":
            model.get_parameter("5.weight").view(-1)[::97] *= 10
        elif fault == "zero layer":
            model.get_parameter("3.weight").zero_()
    fast, slow = both(model, periphery=periphery)
    assert bool(torch.isfinite(fast).all())
    # with converters a sum at a code's edge may fall on either side
    assert float((fast - slow).abs().max() / slow.abs().max()) < (1e-5 if periphery == "ideal" else 0.02)


@pytest.mark.parametrize("preset", [PCM, "reram-wan-2022", "reram-cmo-2pct"])
def test_one_percent_of_the_devices_stuck(preset: str) -> None:
    model = network()
    mapping = map_model(model, example=X)
    plain = dp.load_preset(preset)
    stuck = plain.model_copy(update={"stuck": Stuck(at_g_min=0.003, at_g_max=0.003, at_random=0.004)})
    whole, faulty = (Chip(mapping, device, seed=0, chip=0) for device in (plain, stuck))
    changed = [float((whole.read(n, 1.0).net != faulty.read(n, 1.0).net).float().mean()) for n in mapping.weights]
    assert all(change > 0.002 for change in changed)
    folded, tiles = FoldedNetwork(model, mapping, X), TilesNetwork(model, mapping)
    for backend in (folded, tiles):
        backend.load(faulty, 1.0)
    assert float((folded(X) - tiles(X)).abs().max() / tiles(X).abs().max()) < 1e-5


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_folded_and_refused_on_tiles(dtype: torch.dtype) -> None:
    model, x = network().to(dtype), X.to(dtype)
    mapping = map_model(model, example=x)
    folded = FoldedNetwork(model, mapping, x)
    folded.load(Chip(mapping, dp.load_preset("ideal"), seed=0, chip=0, compensation="none"), 0.0)
    with torch.no_grad():
        wanted = model(x)
    assert folded(x).dtype == dtype
    assert float((folded(x) - wanted).abs().max() / wanted.abs().max()) < 8 * torch.finfo(dtype).eps
    with pytest.raises(DriftproofError, match=rf"layer 0 has {dtype} weights.*model\.float\(\)"):
        TilesNetwork(model, mapping)


def compiled_in_part(model: nn.Sequential) -> nn.Module:
    rest = torch.compile(model[1:])
    assert isinstance(rest, nn.Module)
    return nn.Sequential(model[0], rest)


@pytest.mark.parametrize("wrap", [nn.DataParallel, torch.compile, compiled_in_part], ids=lambda wrap: wrap.__name__)
def test_wrapped_networks_give_what_the_plain_one_gives(wrap: Callable[[nn.Sequential], nn.Module]) -> None:
    model = network()
    wrapped = wrap(copy.deepcopy(model))
    for a, b in zip(both(model), both(wrapped), strict=True):
        if isinstance(wrapped, nn.Sequential):  # its layers have other names, and so other devices
            assert a.shape == b.shape
        else:
            assert torch.equal(a, b)


def test_a_frozen_network_and_one_in_training_mode() -> None:
    frozen = network().requires_grad_(False)
    assert torch.equal(both(frozen)[0], both(network())[0])
    training = network().train()
    before = copy.deepcopy(training.state_dict())
    analog = dp.convert(training, PCM, example=X)
    dp.program(analog).drift("1d").model(X)
    assert training.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in training.state_dict().items())
    assert torch.equal(analog.model(X), dp.convert(network(), PCM, example=X).model(X))


def test_code_that_reads_a_weight_past_its_tiles_cannot_go_unnoticed() -> None:
    class Sly(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.sly = nn.Conv2d(3, 4, 3, groups=1, padding="same"), False

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = self.conv(x)
            outputs: torch.Tensor = y * self.conv.weight.mean() if self.sly else y
            return outputs

    model = Sly().eval()
    analog = dp.convert(model, "ideal", example=X)
    assert bool(torch.isfinite(analog.model(X)).all())
    assert isinstance(analog.model, Sly)
    analog.model.sly = True
    assert bool(analog.model(X).isnan().all())


def test_parts_of_a_converted_network_can_be_called_by_themselves() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), nn.LSTM(8, 4, batch_first=True)
    ).eval()
    x = torch.randn(2, 5, 8)
    analog = dp.convert(model, "ideal", example=x)
    assert isinstance(analog.model, nn.Sequential)
    with torch.no_grad():
        torch.testing.assert_close(analog.model[0](x), model[0](x), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(analog.model[1](x)[0], model[1](x)[0], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(
            analog.model.get_submodule("0.self_attn")(x, x, x)[0],
            model.get_submodule("0.self_attn")(x, x, x)[0],
            rtol=1e-4,
            atol=1e-5,
        )


def test_an_error_inside_a_converted_network_leaves_it_usable() -> None:
    model = nn.LSTM(8, 4, batch_first=True).eval()
    x = torch.randn(2, 5, 8)
    analog = dp.convert(model, "ideal", example=x)
    with torch.no_grad():
        wanted = analog.model(x)[0]
        with pytest.raises(RuntimeError):
            analog.model(torch.randn(2, 5, 7))
        assert torch.equal(analog.model(x)[0], wanted)
    assert torch.nn.functional.linear(torch.ones(1, 2), torch.ones(1, 2)).item() == 2
