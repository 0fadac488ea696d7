"""Networks on aihwkit tiles: they compute what the digital ones do, and chips live on them one by one."""

from __future__ import annotations

import copy
import sys

import pytest
import torch
from torch import nn

import driftproof as dp
from driftproof._chip import Chip
from driftproof._errors import DriftproofError
from driftproof._mapping import TileSize
from driftproof.periphery import DynamicRange, load_periphery
from driftproof.periphery._settings import IRDrop

LAYERS = [
    (nn.Linear(27, 11), (4, 27)),
    (nn.Linear(27, 11, bias=False), (4, 27)),
    (nn.Linear(27, 11), (2, 5, 27)),
    (nn.Conv1d(3, 7, 5, stride=2, padding=1, dilation=2), (2, 3, 31)),
    (nn.Conv1d(3, 7, 4, padding="same"), (2, 3, 31)),
    (nn.Conv2d(3, 8, 3, padding=1), (2, 3, 9, 7)),
    (nn.Conv2d(3, 8, (3, 2), stride=(2, 1), padding=(0, 1), dilation=(1, 2), bias=False), (2, 3, 9, 8)),
    (nn.Conv2d(3, 8, 4, padding="same"), (2, 3, 9, 7)),
    (nn.Conv2d(3, 8, 3, padding="valid"), (2, 3, 9, 7)),
    (nn.Conv3d(2, 5, 3, padding=1, stride=(1, 2, 1)), (2, 2, 5, 6, 4)),
    (nn.Conv3d(2, 5, (1, 2, 3), dilation=(1, 1, 2), bias=False), (2, 2, 5, 6, 7)),
    (nn.Conv2d(4, 8, 3, padding=1, padding_mode="reflect"), (2, 4, 9, 7)),
    (nn.Conv2d(4, 8, 3, padding=(1, 2), padding_mode="circular", groups=2), (2, 4, 9, 7)),
    (nn.Conv2d(12, 12, 3, groups=12), (2, 12, 6, 5)),
    (nn.Conv1d(24, 36, 3, groups=2, stride=2), (2, 24, 11)),
    (nn.ConvTranspose1d(4, 7, 3, stride=2), (2, 4, 11)),
    (nn.ConvTranspose2d(4, 6, (3, 2), stride=(2, 3), padding=1, output_padding=(1, 0), groups=2), (2, 4, 5, 6)),
    (nn.ConvTranspose3d(2, 3, 2, stride=2, dilation=2, bias=False), (1, 2, 3, 4, 3)),
]


def relative(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a - b).abs().max() / b.abs().max())


@pytest.mark.parametrize(("layer", "shape"), LAYERS, ids=lambda value: str(value)[:50])
@pytest.mark.parametrize("tile", [TileSize(), TileSize(16, 5)], ids=["one tile", "many tiles"])
def test_ideal_devices_equal_the_digital_layer(layer: nn.Module, shape: tuple[int, ...], tile: TileSize) -> None:
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    analog = dp.convert(layer, "ideal", tile=tile)
    chip = dp.program(analog).drift(1e6)
    with torch.no_grad():
        assert analog.model(x).shape == layer(x).shape
        assert relative(analog.model(x), layer(x)) < 1e-5
        assert relative(chip.model(x), layer(x)) < 1e-5


@pytest.mark.parametrize("compensation", ["none", "tile", "column", "exact"])
@pytest.mark.parametrize("preset", ["pcm-nandakumar-2019", "reram-wan-2022", "gaussian:0.1"])
@pytest.mark.parametrize("shape", [(27, 11), (3, 8, 3)])
def test_a_chip_on_tiles_multiplies_by_its_effective_weights(
    compensation: str, preset: str, shape: tuple[int, int] | tuple[int, int, int]
) -> None:
    torch.manual_seed(0)
    layer = nn.Linear(*shape) if len(shape) == 2 else nn.Conv2d(*shape)
    x = torch.randn(3, 27) if len(shape) == 2 else torch.randn(3, 3, 6, 6)
    with torch.no_grad():
        layer.weight[1] = 0  # a column without weights: its devices are noisy, and must not be heard
    analog = dp.convert(layer, preset, tile=TileSize(16, 5), compensation=compensation)
    programmed = dp.program(analog, seed=3, chip=2)
    chip = Chip(analog.mapping, dp.load_preset(preset), seed=3, chip=2, compensation=compensation)
    for t_s in (86400.0, 1.0, 31536000.0):
        reference = copy.deepcopy(layer)
        reference.weight.data = chip.weight("", t_s)
        with torch.no_grad():
            got, wanted = programmed.drift(t_s).model(x), reference(x)
        assert relative(got, wanted) < 1e-5
        assert relative(wanted, layer(x).detach()) > 1e-3
        if layer.bias is not None:
            assert torch.allclose(got[:, 1], layer.bias[1], atol=1e-6)


def network() -> nn.Sequential:
    torch.manual_seed(1)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 6 * 6, 10)
    ).eval()


def test_converting_and_programming_leave_the_given_network_as_it_was() -> None:
    model = network()
    before = copy.deepcopy(model.state_dict())
    analog = dp.convert(model, "pcm-nandakumar-2019")
    x = torch.randn(2, 1, 8, 8)
    with torch.no_grad():
        unprogrammed = analog.model(x)
        chip = dp.program(analog).drift(3600.0)
        assert torch.equal(analog.model(x), unprogrammed)
        assert relative(unprogrammed, model(x)) < 1e-5
        assert relative(chip.model(x), model(x)) > 1e-3
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


class Feedback(nn.Module):
    """A weight that is used in both directions."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(6, 9, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.linear(torch.tanh(self.fc(x)), self.fc.weight.t())


@pytest.mark.parametrize("periphery", ["ideal", "standard"])
def test_a_weight_used_both_ways_is_digital_before_programming(periphery: str) -> None:
    torch.manual_seed(0)
    model, x = Feedback(), torch.randn(5, 6)
    analog = dp.convert(model, "pcm-nandakumar-2019", example=x, periphery=periphery)
    with torch.no_grad():
        assert relative(analog.model(x), model(x)) < (1e-5 if periphery == "ideal" else 0.05)
        assert relative(dp.program(analog).drift("1d").model(x), model(x)) > 1e-3


def test_many_chips_live_side_by_side_and_keep_their_devices() -> None:
    analog = dp.convert(network(), "pcm-nandakumar-2019")
    x = torch.randn(2, 1, 8, 8)
    with torch.no_grad():
        first, second = dp.program(analog, chip=0), dp.program(analog, chip=1)
        one = first.drift(3600.0).model(x)
        two = second.drift(3600.0).model(x)
        assert relative(one, two) > 1e-3
        assert torch.equal(first.model(x), one)
        assert torch.equal(first.drift(1.0).drift(3600.0).model(x), one)
        assert torch.equal(dp.program(analog, chip=0).drift(3600.0).model(x), one)
    assert first.t_s == 3600.0


def test_every_tile_has_a_noise_object_of_its_own() -> None:
    analog = dp.convert(network(), "pcm-nandakumar-2019", tile=TileSize(50, 4))
    tiles = [tile for layer in analog.tiled.values() for tile, _, _ in layer.tiles]
    assert len(tiles) == sum(layer.tiles for layer in analog.layers) == 1 + 3 * 3
    assert len({id(tile.rpu_config.noise_model) for tile in tiles}) == len(tiles)
    assert all(tile.rpu_config.drift_compensation is None for tile in tiles)


def test_a_tile_that_holds_other_weights_is_noticed() -> None:
    analog = dp.convert(network(), "ideal")
    tile, _, _ = analog.tiled["4"].tiles[0]
    tile.tile.weight.data[0, 0] += 0.1
    with pytest.raises(RuntimeError, match=r"layer 4: .*weights.*off by 0\.1"):
        dp.program(analog)


def test_half_precision_is_refused_on_tiles() -> None:
    with pytest.raises(DriftproofError, match="bfloat16"):
        dp.convert(network().bfloat16(), "ideal")


def test_missing_aihwkit_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "aihwkit"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "aihwkit", None)
    with pytest.raises(DriftproofError, match="pip install aihwkit"):
        dp.convert(network(), "ideal")


@pytest.mark.parametrize("layer", [nn.Conv1d(3, 7, 5), nn.Conv1d(3, 6, 5, groups=3), nn.ConvTranspose1d(3, 7, 5)])
def test_unbatched_convolution(layer: nn.Module) -> None:
    x = torch.randn(3, 20)
    with torch.no_grad():
        assert relative(dp.convert(layer, "ideal").model(x), layer(x)) < 1e-5


def test_the_result_lists_every_layer() -> None:
    layers = dp.convert(network(), "ideal", example=torch.zeros(1, 1, 8, 8)).layers
    assert [
        (layer.name, layer.kind, layer.shape, layer.tiles, layer.mvms_per_input, layer.analog) for layer in layers
    ] == [
        ("0", "Conv2d", (4, 1, 3, 3), 1, 36, True),
        ("1", "BatchNorm2d", (4,), 0, None, False),
        ("4", "Linear", (10, 144), 1, 1, True),
    ]


def test_a_chip_stands_at_the_end_of_programming_before_it_drifts() -> None:
    layer = nn.Linear(27, 11, bias=False)
    with torch.no_grad():
        layer.weight[1] = 0
    analog = dp.convert(layer, "pcm-nandakumar-2019", tile=TileSize(16, 5))
    chip = dp.program(analog)
    mapped = analog.mapping.weights[""]
    wanted = mapped.weight(chip.chip.arrays[""].net(0.0, read_noise=False))
    x = torch.randn(4, 27)
    with torch.no_grad():
        assert relative(chip.model(x), x @ wanted.T) < 1e-5
        assert relative(chip.model(x), layer(x)) > 1e-3
        assert float(chip.model(x)[:, 1].abs().max()) == 0


@pytest.mark.parametrize("t_s", [-100.0, float("nan"), "later"])
def test_impossible_times_of_a_chip(t_s: float | str) -> None:
    with pytest.raises(DriftproofError, match="time"):
        dp.program(dp.convert(nn.Linear(3, 2), "ideal")).drift(t_s)


def test_parts_inside_wrappers_are_converted() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.DataParallel(nn.Conv2d(1, 2, 3)), nn.Flatten(), nn.Linear(72, 3)).eval()
    analog = dp.convert(model, "ideal")
    x = torch.randn(2, 1, 8, 8)
    assert [layer.name for layer in analog.layers] == ["0", "2"]
    with torch.no_grad():
        assert relative(analog.model(x), model(x)) < 1e-5


def test_a_chip_with_wire_drop_is_programmed_and_drifts() -> None:
    periphery = load_periphery("standard").with_changes(input_range=DynamicRange(), ir_drop=IRDrop())
    x = torch.randn(5, 20)
    analog = dp.convert(nn.Linear(20, 6), "pcm-nandakumar-2019", example=x, periphery=periphery)
    with torch.no_grad():
        outputs = dp.program(analog).drift("1d").model(x)
        assert bool(torch.isfinite(outputs).all())
        assert relative(outputs, analog.model(x)) < 0.5


@pytest.mark.parametrize("tile", [TileSize(10, 4), TileSize(512, 1), TileSize()], ids=str)
def test_a_chip_is_the_same_at_a_time_after_any_other_time(tile: TileSize) -> None:
    """Aihwkit's tiles write into the scales that they were given: those of the mapping are not theirs."""
    torch.manual_seed(3)
    layer, x = nn.Conv2d(6, 6, 3, groups=6).eval(), torch.randn(5, 6, 5, 4)
    analog = dp.convert(layer, "pcm-nandakumar-2019", example=x, tile=tile)
    scale = analog.mapping.weights[""].scale.clone()
    chip = dp.program(analog)
    first = chip.drift("1d").model(x)
    later = chip.drift("1y").model(x)
    assert torch.equal(chip.drift("1d").model(x), first)
    assert torch.equal(dp.program(analog).drift("1y").model(x), later)
    assert torch.equal(analog.mapping.weights[""].scale, scale)
