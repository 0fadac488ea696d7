"""Networks between converters: both backends give the same codes and the same noise, and the slow way agrees."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import driftproof as dp
from driftproof._chip import Chip
from driftproof._inputs import call, count, select
from driftproof._mapping import TileSize, map_model
from driftproof._outputs import main_output
from driftproof.arrays import input_ranges
from driftproof.evaluation._backends import TilesNetwork
from driftproof.evaluation._folded import FoldedNetwork
from driftproof.periphery import DynamicRange, Periphery, StaticRange, load_periphery
from driftproof.periphery._converters import adc, dac, dynamic_range
from driftproof.periphery._settings import IRDrop, WeightNoise
from numbering import following

STANDARD = load_periphery("standard").with_changes(input_range=StaticRange(method="maximum"))
DYNAMIC = STANDARD.with_changes(input_range=DynamicRange())
PERIPHERIES = {"static": STANDARD, "dynamic": DYNAMIC}

X = torch.randn(4, 6, 9, 7, generator=torch.Generator().manual_seed(0))
SEQUENCE = torch.randn(4, 5, 27, generator=torch.Generator().manual_seed(1))
LAYERS: dict[str, tuple[Any, Tensor]] = {
    "linear": (lambda: nn.Linear(27, 11), SEQUENCE),
    "conv": (lambda: nn.Conv2d(6, 8, 3, padding=1, stride=2), X),
    "grouped": (lambda: nn.Conv2d(6, 8, 3, padding=1, groups=2), X),
    "depthwise": (lambda: nn.Conv2d(6, 6, 3, groups=6), X),
    "transposed": (lambda: nn.ConvTranspose2d(6, 4, 3, stride=2, padding=1, groups=2), X),
    "lstm": (lambda: nn.Sequential(nn.LSTM(27, 9, batch_first=True), First(), nn.Linear(9, 3)), SEQUENCE),
    "attention": (lambda: nn.TransformerEncoderLayer(27, 3, 16, batch_first=True), SEQUENCE),
}


class First(nn.Module):
    def forward(self, x: tuple[Tensor, Any]) -> Tensor:
        return x[0]


def backends(name: str, periphery: Periphery, tile: TileSize, preset: str = "gaussian:0.05") -> tuple[Any, Any, Tensor]:
    torch.manual_seed(0)
    make, x = LAYERS[name]
    network = make().eval()
    mapping = map_model(network, tile, x)
    ranges = input_ranges(network, mapping, periphery, [x])
    folded = FoldedNetwork(network, mapping, x, periphery=periphery, ranges=ranges)
    tiles = TilesNetwork(network, mapping, periphery, ranges)
    chip = Chip(mapping, dp.load_preset(preset), seed=0, chip=0)
    for backend in (folded, tiles):
        backend.load(chip, 1.0)
    return folded, tiles, x


@pytest.mark.parametrize("tile", [TileSize(), TileSize(20, 5)], ids=["one tile", "many tiles"])
@pytest.mark.parametrize("kind", PERIPHERIES)
@pytest.mark.parametrize("name", LAYERS)
def test_backends_give_the_same_outputs_without_noise(name: str, kind: str, tile: TileSize) -> None:
    folded, tiles, x = backends(name, PERIPHERIES[kind].without_noise(), tile)
    fast, slow = main_output(folded(x)), main_output(tiles(x))
    # a rounded sum at a code's edge may fall on either side: a difference of a whole code, seldom
    same = (fast - slow).abs() <= 1e-5 * slow.abs().max()
    assert float(same.float().mean()) > (0.999 if name not in ("lstm", "attention") else 0.97)
    digital = call(LAYERS[name][0]().eval(), x)
    assert main_output(digital).shape == fast.shape


@pytest.mark.parametrize("tile", [TileSize(), TileSize(20, 5)], ids=["one tile", "many tiles"])
@pytest.mark.parametrize("kind", PERIPHERIES)
@pytest.mark.parametrize("name", LAYERS)
def test_noise_is_the_same_on_both_backends_and_in_any_batch(name: str, kind: str, tile: TileSize) -> None:
    folded, tiles, x = backends(name, PERIPHERIES[kind], tile)
    whole = main_output(folded(x))
    quiet = main_output(backends(name, PERIPHERIES[kind].without_noise(), tile)[0](x))
    moved = float((whole - quiet).abs().mean())
    assert moved > 0
    assert float((main_output(tiles(x)) - whole).abs().mean()) < moved / 20
    last = main_output(folded(select(x, slice(2, None)), following(2, select(x, slice(2, None)))))
    assert float((last - whole[2:]).abs().mean()) < moved / 20
    assert float((main_output(folded(x, following(7, x))) - whole).abs().mean()) > moved / 3


@pytest.mark.parametrize(
    "noise", [None, WeightNoise(law="constant", sigma=0.02), WeightNoise(law="pcm-read", sigma=0.05)]
)
@pytest.mark.parametrize("preset", ["sonos-agrawal-2022", "gaussian:0.05"])
@pytest.mark.parametrize("kind", PERIPHERIES)
def test_weight_noise_comes_before_the_adc_on_both_backends(kind: str, preset: str, noise: Any) -> None:
    periphery = PERIPHERIES[kind].with_changes(mvm_weight_noise=noise, output_noise=0.0)
    folded, tiles, x = backends("grouped", periphery, TileSize(20, 5), preset)
    fast = folded(x)
    assert float((tiles(x) - fast).abs().mean()) < 2e-3 * float(fast.abs().mean())
    quiet = noise is None and preset != "sonos-agrawal-2022"
    assert torch.equal(folded(x, following(9, x)), fast) == quiet


def slow_linear(chip: Chip, periphery: Periphery, x: Tensor, ranges: tuple[float, ...]) -> Tensor:
    """One vector, one tile at a time: DAC, product, ADC; then the sum over tiles, scale and compensation."""
    reading, mapped = chip.read("", 1.0), chip.weights[""]
    out = torch.zeros(len(x), len(reading.net))
    for n, vector in enumerate(x):
        for split, rows in enumerate(mapped.rows):
            piece = vector[rows]
            reach = dynamic_range(piece[None])[0] if not ranges else torch.tensor([ranges[split]])
            for columns in mapped.columns:
                sums = reading.net[columns, rows] @ dac(piece, reach, periphery)
                factor = reading.scale[split, columns] * reading.alpha[split, columns]
                out[n, columns] += adc(sums, periphery) * reach * factor
    return out


@pytest.mark.parametrize("kind", PERIPHERIES)
def test_the_slow_way_agrees(kind: str) -> None:
    periphery = PERIPHERIES[kind].without_noise().with_changes(adc_bits=5, adc_full_scale=3.0)
    torch.manual_seed(0)
    network, x = nn.Linear(27, 11), torch.randn(30, 27)
    mapping = map_model(network, TileSize(10, 4), x)
    ranges = input_ranges(network, mapping, periphery, [x[:10]])  # the others may go beyond
    chip = Chip(mapping, dp.load_preset("pcm-nandakumar-2019"), seed=0, chip=0)
    folded = FoldedNetwork(network, mapping, x, periphery=periphery, ranges=ranges)
    folded.load(chip, 1.0)
    wanted = slow_linear(chip, periphery, x, ranges.get("", ())) + network.bias.detach()
    same = (folded(x) - wanted).abs() < 1e-5
    assert float(same.float().mean()) > 0.99
    exact = x @ network.weight.detach().T + network.bias.detach()
    assert float((wanted - exact).abs().max()) > 0.05


def test_partial_sums_are_quantised_before_they_are_added() -> None:
    coarse = STANDARD.without_noise().with_changes(adc_bits=2, adc_full_scale=1.0, dac_bits=None)
    network = nn.Linear(4, 1, bias=False)
    network.weight.data[:] = 1.0
    x = torch.tensor([[0.4, 0.0, 0.4, 0.0]])
    for tile, wanted in ((TileSize(4, 4), 1.0), (TileSize(2, 4), 0.0)):
        mapping = map_model(network, tile, x)
        folded = FoldedNetwork(network, mapping, x, periphery=coarse, ranges={"": (1.0,) * (4 // tile.rows)})
        folded.load(Chip(mapping, dp.load_preset("ideal"), seed=0, chip=0, compensation="none"), 0.0)
        assert float(folded(x)) == wanted


def test_scales_norms_and_bias_act_after_the_adc() -> None:
    torch.manual_seed(0)
    coarse = STANDARD.without_noise().with_changes(adc_bits=3, adc_full_scale=2.0)
    network = nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3)).eval()
    network.get_buffer("1.running_mean").fill_(0.3)
    x = torch.randn(2, 1, 8, 8)
    mapping = map_model(network, example=x)
    ranges = input_ranges(network, mapping, coarse, [x])
    folded = FoldedNetwork(network, mapping, x, periphery=coarse, ranges=ranges)
    assert folded.norms == {"0": "1"}  # its factor multiplies the codes
    folded.load(Chip(mapping, dp.load_preset("gaussian:0.05"), seed=0, chip=0), 1.0)
    y = folded(x)
    # seven codes at most in each channel, wherever norm and bias have moved them
    assert all(len(y[:, channel].unique()) <= 7 for channel in range(3))
    assert len(network(x)[:, 0].unique()) > 50


def test_layers_left_digital_have_no_converters() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3)).eval()
    x = torch.randn(9, 6)
    mapping = map_model(network, example=x)
    ranges = input_ranges(network, mapping, STANDARD, [x])
    folded = FoldedNetwork(network, mapping, x, periphery=STANDARD, ranges=ranges)
    chip = Chip(mapping, dp.load_preset("gaussian:0.05"), seed=0, chip=0)
    folded.load(chip, 1.0, digital=("0", "2"))
    with torch.no_grad():
        torch.testing.assert_close(folded(x), network(x), rtol=1e-5, atol=1e-6)
        folded.load(chip, 1.0, digital=("0",))
        assert float((folded(x) - network(x)).abs().max()) > 1e-3


def test_missing_ranges_and_impossible_wishes_are_said() -> None:
    network, x = nn.Linear(3, 2), torch.randn(4, 3)
    mapping = map_model(network, example=x)
    with pytest.raises(dp.DriftproofError, match=r"one for each of 1 tile rows; got 0"):
        FoldedNetwork(network, mapping, x, periphery=STANDARD)
    with pytest.raises(dp.DriftproofError, match="compiled tile"):
        FoldedNetwork(network, mapping, x, periphery=DYNAMIC.with_changes(ir_drop=IRDrop()))
    with pytest.raises(dp.DriftproofError, match="calibration=INPUTS"):
        dp.convert(network, "ideal", periphery="standard")


def test_a_converted_network_between_converters() -> None:
    torch.manual_seed(0)
    network, x = nn.Sequential(nn.Linear(30, 20), nn.ReLU(), nn.Linear(20, 4)), torch.randn(50, 30)
    analog = dp.convert(network, "pcm-nandakumar-2019", example=x, periphery=STANDARD, tile=TileSize(16, 16))
    assert analog.ranges["0"] == (float(x[:, :15].abs().max()), float(x[:, 15:].abs().max()))
    chip = dp.program(analog).drift("1h")
    folded = FoldedNetwork(network, analog.mapping, x, periphery=STANDARD, ranges=analog.ranges)
    folded.load(Chip(analog.mapping, dp.load_preset("pcm-nandakumar-2019"), seed=0, chip=0), 3600.0)
    with torch.no_grad():
        fast, slow = folded(x), chip.model(x)
        digital = network(x)
    assert float((fast - slow).abs().mean()) < 0.02 * float((fast - digital).abs().mean())


def test_wire_drop_runs_on_the_compiled_tile() -> None:
    torch.manual_seed(0)
    network, x = nn.Sequential(nn.Linear(30, 20), nn.ReLU(), nn.Linear(20, 4)), torch.randn(50, 30)
    mapping = map_model(network, example=x)
    quiet = DYNAMIC.without_noise().with_changes(adc_bits=None, adc_full_scale=None, dac_bits=None)
    chip = Chip(mapping, dp.load_preset("gaussian:0.01"), seed=0, chip=0)
    outputs = []
    for scale in (1e-6, 1.0, 8.0):
        tiles = TilesNetwork(network, mapping, quiet.with_changes(ir_drop=IRDrop(scale=scale)))
        tiles.load(chip, 1.0)
        outputs.append(tiles(x))
    folded = FoldedNetwork(network, mapping, x)
    folded.load(chip, 1.0)
    none, physical, strong = (float((found - folded(x)).abs().mean()) for found in outputs)
    assert 20 * none < physical
    assert 4 * physical < strong
    assert count(x) == 50


class Slim(nn.Module):
    """Multiplies by parts of a convolution's weight, and by a view of another one."""

    def __init__(self) -> None:
        super().__init__()
        self.c, self.d = nn.Conv2d(4, 6, 3), nn.Conv2d(6, 5, 2)

    def forward(self, x: Tensor) -> Tensor:
        y = torch.cat([nn.functional.conv2d(x, self.c.weight[:3]), nn.functional.conv2d(x, self.c.weight[3:])], 1)
        return nn.functional.unfold(y, 2).mT @ self.d.weight.flatten(1).t()


@pytest.mark.parametrize("kind", PERIPHERIES)
def test_views_of_a_convolutions_weight_go_through_the_converters(kind: str) -> None:
    torch.manual_seed(0)
    net, x = Slim().eval(), torch.randn(3, 4, 8, 8)
    around = PERIPHERIES[kind].without_noise().with_changes(adc_bits=4)
    mapping = map_model(net, TileSize(), x, all_analog=True)
    ranges = input_ranges(net, mapping, around, [x])
    chip = Chip(mapping, dp.load_preset("ideal"), seed=0, chip=0)
    folded, tiles = (
        FoldedNetwork(net, mapping, x, periphery=around, ranges=ranges),
        TilesNetwork(net, mapping, around, ranges),
    )
    for backend in (folded, tiles):
        backend.load(chip, 1.0)
    with torch.no_grad():
        off = float((tiles(x) - net(x)).abs().mean())
    assert off > 0.05
    assert float((folded(x) - tiles(x)).abs().mean()) < off / 20
    assert {name for name, shares in folded.diagnostics().items() if shares} == {"c", "d"}
