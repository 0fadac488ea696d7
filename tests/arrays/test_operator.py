"""An array is a linear operator: what it multiplies by, from both sides, for every layout, preset and compensation."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import driftproof as dp
from arrays.layers import LAYERS, TILE, layer_of, numbers
from driftproof._calls import geometry_of
from driftproof._chip import Chip
from driftproof._errors import DriftproofError
from driftproof._mapping import map_model
from driftproof._presets import DevicePreset, preset_names
from driftproof.arrays import input_ranges
from driftproof.evaluation._backends import TilesNetwork
from driftproof.evaluation._folded import FoldedNetwork
from driftproof.periphery import DynamicRange, Periphery, StaticRange, load_periphery

YEAR = 31_557_600.0
COMPENSATIONS = ("none", "tile", "column", "exact:per=column")
STATIC = load_periphery("standard").with_changes(input_range=StaticRange(method="maximum"))
PERIPHERIES: dict[str, Periphery] = {
    "ideal": load_periphery("ideal"),
    "static": STATIC,
    "dynamic": STATIC.with_changes(input_range=DynamicRange()),
}
# sums of up to a few hundred float32 terms, each rounded to 6e-8 of its size
ROUNDING = 2e-6
# Sampled variances are compared at |z| < 5.2: false alarm 2e-7 each, a few hundred comparisons here
Z = 5.2


def chip_of(name: str, device: DevicePreset, compensation: str = "tile") -> tuple[Chip, nn.Module, Tensor]:
    layer, x = layer_of(name)
    return Chip(map_model(layer, TILE, x), device, seed=0, chip=1, compensation=compensation), layer, x


def applied(layer: nn.Module, weight: Tensor, x: Tensor) -> Tensor:
    """What torch's own layer computes in float64 with another weight and without bias."""
    bare: Any = copy.deepcopy(layer)
    bare.weight, bare.bias = nn.Parameter(weight.double(), requires_grad=False), None
    found: Tensor = bare(x.double())
    return found


def adjoint(layer: nn.Module, weight: Tensor, y: Tensor, size: tuple[int, ...]) -> Tensor:
    """What autograd says that the transpose of a layer with another weight is, in float64."""
    shape = (len(y), layer.in_features) if isinstance(layer, nn.Linear) else (len(y), layer.in_channels, *size)
    x = torch.zeros(*shape, dtype=torch.float64, requires_grad=True)  # type: ignore[arg-type]
    (found,) = torch.autograd.grad(applied(layer, weight, x), x, y.double())
    return found


@pytest.mark.parametrize("name", LAYERS)
def test_both_directions_read_the_same_conductances(name: str) -> None:
    """⟨y, A x⟩ = ⟨Aᵀ y, x⟩, and A is the layer with the chip's effective weight."""
    for seed, preset in enumerate(preset_names()):
        # every preset meets every compensation, over the layouts
        compensation = COMPENSATIONS[(seed + list(LAYERS).index(name)) % len(COMPENSATIONS)]
        # read noise that is new in every MVM makes two reads two operators
        chip, layer, x = chip_of(name, dp.load_preset(preset).without("read"), compensation)
        array, weight = chip.array("", YEAR, geometry=geometry_of(layer)), chip.weight("", YEAR)
        y = numbers(*layer(x).shape, seed=seed)
        forward, back = array.matmul(x), array.rmatmul(y, size=x.shape[2:])
        sizes = applied(layer, weight.abs(), x.abs())
        assert float((forward - applied(layer, weight, x)).abs().max()) <= ROUNDING * float(sizes.max())
        assert back.shape == x.shape
        left, right = (y.double() * forward).sum(), (back.double() * x).sum()
        assert float((left - right).abs()) <= ROUNDING * float((y.abs() * sizes).sum()), preset
        mapped = chip.weights[""]
        assert preset == "ideal" or float((weight - mapped.weight(mapped.target)).abs().max()) > 0


def test_the_smallest_inputs_are_taken_where_a_stride_leaves_a_choice() -> None:
    chip, layer, x = chip_of("strided", dp.load_preset("ideal"))
    array, y = chip.array("", 1.0, geometry=geometry_of(layer)), layer(x)
    small, wanted = array.rmatmul(y), array.rmatmul(y, size=x.shape[2:])
    assert [small.shape[2:], wanted.shape[2:]] == [(7, 9), (8, 9)]
    assert torch.equal(small, wanted[:, :, :7])


@pytest.mark.parametrize("kind", PERIPHERIES)
@pytest.mark.parametrize("name", LAYERS)
def test_the_folded_backend_computes_what_the_operator_says(name: str, kind: str) -> None:
    periphery = PERIPHERIES[kind]
    for preset in ("pcm-nandakumar-2019", "sonos-agrawal-2022"):
        chip, layer, x = chip_of(name, dp.load_preset(preset))
        ranges = input_ranges(layer, chip.mapping, periphery, [x])
        array = chip.array("", YEAR, geometry=geometry_of(layer), periphery=periphery, ranges=ranges)
        folded = FoldedNetwork(layer, chip.mapping, x, periphery=periphery, ranges=ranges)
        folded.load(chip, YEAR)
        assert isinstance(layer.bias, Tensor)
        bias = layer.bias.detach()
        bias = bias if isinstance(layer, nn.Linear) else bias.view(-1, *[1] * (x.dim() - 2))
        wanted = array.matmul(x) + bias
        off = (folded(x) - wanted).abs() > 1e-5 * wanted.abs().max()
        # a sum at the edge of a code may fall on either side
        assert float(off.float().mean()) <= (0.002 if kind != "ideal" else 0), (preset, kind)
        later = range(7, 7 + len(x))
        assert torch.equal(folded(x), folded(x, later)) == torch.equal(array.matmul(x), array.matmul(x, later))


def slow_transposed(chip: Chip, layer: Any, y: Tensor, size: tuple[int, ...], around: Periphery, ranges: Any) -> Tensor:
    """A transposed read the slow way: one vector, one group, one tile, one row at a time; then sums in float64."""
    reading, mapped = chip.read("", YEAR), chip.weights[""]
    assert around.adc_full_scale is not None
    assert around.adc_bits is not None
    geometry = geometry_of(layer)
    # which inputs a row belongs to: the vectors of inputs that are their own numbers
    channels = y.new_zeros(0) if isinstance(layer, nn.Linear) else torch.zeros(1, layer.in_channels, *size)
    count = layer.in_features if isinstance(layer, nn.Linear) else channels.numel()
    names = torch.arange(1, count + 1, dtype=torch.float64)
    names = names[None] if isinstance(layer, nn.Linear) else names.view_as(channels)
    where = geometry.vectors(geometry.prepare(names))[0]  # [*positions, groups, rows]; 0 is padding
    where = where.reshape(-1, *where.shape[-2:]).long()
    driven = y if isinstance(layer, nn.Linear) else y.flatten(2).transpose(1, 2)  # [N, positions, out]
    driven = driven.reshape(len(y), -1, driven.shape[-1])
    found = torch.zeros(len(y), count + 1, dtype=torch.float64)
    width = mapped.target.shape[0] // mapped.layout.groups
    for n in range(len(y)):
        for place in range(driven.shape[1]):
            for split, rows in enumerate(mapped.rows):
                for number, columns in enumerate(mapped.columns):
                    for group in mapped.groups_of(columns):
                        mine = [c for c in range(columns.start, columns.stop) if c // width == group]
                        factor = reading.scale[split, mine] * reading.alpha[split, mine]
                        inputs = driven[n, place, mine] * factor
                        if ranges:
                            reach = ranges[split * len(mapped.columns) + number] * float(
                                reading.alpha[split, columns].max()
                            )
                            levels = (inputs.clamp(-reach, reach) / reach * 127).round() / 127
                        else:
                            reach = float(inputs.abs().max())
                            levels = (inputs / reach * 127).round() / 127 if reach else inputs
                        for row in range(rows.start, rows.stop):
                            total = float(levels.double() @ reading.net[mine, row].double())
                            step = 2 * around.adc_full_scale / (2**around.adc_bits - 2)
                            code = max(-around.adc_full_scale, min(around.adc_full_scale, round(total / step) * step))
                            found[n, where[place, group, row]] += code * reach
    inputs = found[:, 1:]
    return inputs.view(len(y), *((count,) if isinstance(layer, nn.Linear) else (layer.in_channels, *size)))


@pytest.mark.parametrize("kind", ["static", "dynamic"])
@pytest.mark.parametrize("name", ["linear", "strided", "grouped", "conv1d", "transposed, grouped"])
def test_a_transposed_read_between_converters_agrees_with_the_slow_way(name: str, kind: str) -> None:
    around = PERIPHERIES[kind].without_noise().with_changes(adc_bits=5, adc_full_scale=0.5)
    chip, layer, x = chip_of(name, dp.load_preset("pcm-nandakumar-2019"), "column")
    size, mapped = tuple(x.shape[2:]), chip.weights[""]
    y = numbers(*layer(x).shape, seed=4)[:2]
    # of other numbers than are driven later: some go beyond
    ranges = tuple(0.4 + 0.1 * (place % 3) for place in range(mapped.tiles)) if kind == "static" else ()
    array = chip.array(
        "",
        YEAR,
        geometry=geometry_of(layer),
        periphery=around,
        ranges={"": (1.0,) * len(mapped.rows), " (transposed)": ranges} if ranges else {},
    )
    found = array.rmatmul(y, size=size)
    wanted = slow_transposed(chip, layer, y, size, around, ranges)
    same = (found - wanted).abs() < 1e-4 * wanted.abs().max()
    assert found.is_contiguous()  # a network may call view on it
    assert float(same.float().mean()) > 0.98  # a sum at the edge of a code may fall on either side
    exact = chip.array("", YEAR, geometry=geometry_of(layer)).rmatmul(y, size=size)
    assert float((wanted - exact).abs().max()) > 0.03 * float(exact.abs().max())  # the converters did something
    shares = array.counts.shares()
    assert 0 < shares["saturated_outputs"] < 0.5
    assert ("saturated_inputs" in shares) == (kind == "static")


@pytest.mark.parametrize("kind", PERIPHERIES)
@pytest.mark.parametrize("name", ["linear", "conv", "grouped", "transposed"])
def test_noise_of_a_transposed_read(name: str, kind: str) -> None:
    """Variance Σ σ² (s α y)², summed over what meets at an input; and a sample has its noise in any batch."""
    chip, layer, x = chip_of(name, dp.load_preset("sonos-agrawal-2022"))
    size, reading = tuple(x.shape[2:]), chip.read("", YEAR)
    assert reading.noise is not None
    around = PERIPHERIES[kind]
    if kind != "ideal":  # exact converters: their rounding is no noise
        around = around.with_changes(dac_bits=None, adc_bits=None, adc_full_scale=None, output_noise=0.0)
    many, ranges = 4000, {"": (9.0,) * 99, " (transposed)": (9.0,) * chip.weights[""].tiles}
    ranges[""] = ranges[""][: len(chip.weights[""].rows)]
    array = chip.array("", YEAR, geometry=geometry_of(layer), periphery=around, ranges=ranges)
    y = numbers(1, *layer(x[:1]).shape[1:], seed=5)
    found = array.rmatmul(y.expand(many, *y.shape[1:]), size=size).double()
    variances = reading.noise.weights.square()
    spread = chip.weights[""].weight(variances, (reading.scale * reading.alpha).square())
    mean, wanted = adjoint(layer, chip.weight("", YEAR), y, size)[0], adjoint(layer, spread, y.square(), size)[0]
    seen = wanted > 1e-3 * wanted.max()
    z = (found.var(dim=0)[seen] / wanted[seen] - 1) / (2 / many) ** 0.5
    assert float(z.abs().max()) < Z
    z = (found.mean(dim=0) - mean)[seen] / (wanted[seen] / many).sqrt()
    assert float(z.abs().max()) < Z
    some = [3, 17, 1000]
    again = array.rmatmul(y.expand(3, *y.shape[1:]), samples=some, size=size)
    assert torch.allclose(again.double(), found[some], rtol=1e-5, atol=1e-6)


def test_a_transposed_read_wants_ranges_of_its_own() -> None:
    chip, layer, x = chip_of("linear", dp.load_preset("ideal"))
    ranges = input_ranges(layer, chip.mapping, STATIC, [x])
    array = chip.array("", 1.0, periphery=STATIC, ranges=ranges)
    array.matmul(x)
    with pytest.raises(DriftproofError, match=r"one for each of 9 tiles; got 0.*both directions"):
        array.rmatmul(numbers(5, 11))


class Both(nn.Module):
    """A layer whose weight feeds back."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(23, 11)

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.linear(self.fc(x), self.fc.weight.t())


def test_static_ranges_are_measured_in_each_direction() -> None:
    torch.manual_seed(0)
    net, x = Both(), numbers(40, 23)
    mapping = map_model(net, TILE, x)
    mapped = mapping.weights["fc"]
    ranges = input_ranges(net, mapping, STATIC, [x[:20], x[20:]])
    y = net.fc(x).detach()
    assert ranges["fc"] == tuple(float(x[:, rows].abs().max()) for rows in mapped.rows)
    assert ranges["fc (transposed)"] == tuple(
        float((y * mapped.scale[split])[:, columns].abs().max())
        for split in range(len(mapped.rows))
        for columns in mapped.columns
    )
    assert mapped.both_ways


class Twice(nn.Module):
    """Reads its array twice in each direction, and gives what the two reads differ by."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(23, 11)

    def forward(self, x: Tensor) -> Tensor:
        y = self.fc(x)
        back = [nn.functional.linear(y, self.fc.weight.t()) for _ in range(2)]
        return torch.cat([self.fc(x) - y, back[1] - back[0]], dim=1)


@pytest.mark.parametrize("kind", ["ideal", "dynamic"])
def test_every_read_of_a_pass_has_noise_of_its_own(kind: str) -> None:
    net, x, around = Twice().eval(), numbers(40, 23), PERIPHERIES[kind]
    chip = Chip(map_model(net, TILE, x), dp.load_preset("sonos-agrawal-2022"), seed=0, chip=0)
    folded = FoldedNetwork(net, chip.mapping, x, periphery=around)
    folded.load(chip, YEAR)
    apart = folded(x)
    assert float(apart[:, :11].abs().mean()) > 1e-3
    assert float(apart[:, 11:].abs().mean()) > 1e-3


class Standardised(nn.Module):
    """Makes its weight of a parameter at every call, and multiplies by it in both directions."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        weight = 2 * (self.conv.weight - self.conv.weight.mean())
        return nn.functional.conv_transpose2d(nn.functional.conv2d(x, weight), weight)


def test_a_made_weight_is_read_from_both_sides() -> None:
    torch.manual_seed(0)
    net, x = Standardised().eval(), numbers(5, 3, 6, 6)
    mapping = map_model(net, TILE, x)
    assert [(w.made, w.both_ways) for w in mapping.weights.values()] == [(True, True)]
    chip = Chip(mapping, dp.load_preset("pcm-nandakumar-2019"), seed=0, chip=0)
    folded, tiles = FoldedNetwork(net, mapping, x), TilesNetwork(net, mapping)
    for backend in (folded, tiles):
        backend.load(chip, YEAR)
    weight = chip.weight("conv", YEAR)
    wanted = nn.functional.conv_transpose2d(nn.functional.conv2d(x, weight), weight)
    assert torch.allclose(folded(x), wanted, atol=1e-5)
    assert torch.allclose(tiles(x), wanted, atol=1e-5)


class Made(nn.Module):
    """Makes a linear weight of a parameter, and multiplies by it as it is and transposed."""

    def __init__(self, symmetric: bool) -> None:
        super().__init__()
        self.fc, self.head, self.symmetric = nn.Linear(9, 9), nn.Linear(9, 3), symmetric

    def forward(self, x: Tensor) -> Tensor:
        weight = torch.tanh(self.fc.weight)
        weight = (weight + weight.t()) / 2 if self.symmetric else weight
        found: Tensor = self.head(nn.functional.linear(nn.functional.linear(x, weight), weight.t()))
        return found


@pytest.mark.parametrize("symmetric", [False, True])
def test_the_transpose_of_a_made_linear_weight_is_refused_by_name(symmetric: bool) -> None:
    """A chip's A is not symmetric, even if the weight is: A A would be taken for the transposed product."""
    entries = {e.name: e for e in map_model(Made(symmetric).eval(), TILE, numbers(5, 9)).layers}
    assert "the transpose of what the network's code makes of it" in entries["fc"].reason
    assert (entries["fc"].unasked, entries["head"].analog) == (True, True)


def test_devices_relative_to_the_layer_have_ranges_of_their_own() -> None:
    """A column of small weights that is driven hard: relative to the layer its input is 1/0.3 times as large."""
    torch.manual_seed(3)
    net, weak = Tied(), torch.tensor([1.0] * 6 + [0.3])
    net.weight.data = torch.randn(7, 12) * weak[:, None]
    x = torch.randn(200, 12) + 8 * net.weight.detach()[6] / net.weight.detach()[6].norm()
    around = STATIC.without_noise().with_changes(dac_bits=16, adc_bits=20, adc_full_scale=100.0)
    mapping = map_model(net, example=x)
    ranges = input_ranges(net, mapping, around, [x])
    with torch.no_grad():
        digital = net(x)
    for device in ("gaussian:0.000001", "gaussian-layer:0.000001"):
        chip = Chip(mapping, dp.load_preset(device), seed=0, chip=0)
        for backend in (
            FoldedNetwork(net, mapping, x, periphery=around, ranges=ranges),
            TilesNetwork(net, mapping, around, ranges),
        ):
            backend.load(chip, 1.0)
            assert float((backend(x) - digital).abs().max() / digital.abs().max()) < 1e-3, device


class Tied(nn.Module):
    """A parameter that is multiplied from both sides."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(7, 12))

    def forward(self, x: Tensor) -> Tensor:
        return (x @ self.weight.t()) @ self.weight
