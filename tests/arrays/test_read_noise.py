"""Read noise of single products: its law, its keys, and both backends."""

from __future__ import annotations

import copy
import math
from typing import cast

import pytest
import torch
from torch import Tensor, nn

import driftproof as dp
from driftproof._chip import Chip, Programmer
from driftproof._devices import ProgrammedArray
from driftproof._errors import DriftproofError
from driftproof._mapping import TileSize, map_model
from driftproof._presets import DevicePreset, load_preset
from driftproof.data import digits
from driftproof.evaluation._backends import TilesNetwork
from driftproof.evaluation._folded import FoldedNetwork
from driftproof.zoo import trained_digits_cnn
from numbering import following

SONOS = load_preset("sonos-agrawal-2022")
# Sampled moments are compared at |z| < 5.2: false alarm 2e-7 each, fewer than 100 comparisons here
Z = 5.2
DAY = 86400.0


def changed(preset: DevicePreset, **tables: object) -> DevicePreset:
    return DevicePreset.model_validate(preset.definition() | {"name": "changed"} | tables)


def sonos_sigma_us(g_us: Tensor) -> Tensor:
    """The published law once more: A (1 - exp(-I / B)) with A = 12.58 nA, B = 215.4 nA, at 0.1 V."""
    return 12.58037 * (1 - torch.exp(-g_us * 100 / 215.36557)) / 100


def loaded(
    model: nn.Module, preset: DevicePreset, example: Tensor, t_s: float = DAY, tile: TileSize | None = None
) -> tuple[FoldedNetwork, Chip]:
    mapping = map_model(model, tile)
    network = FoldedNetwork(model, mapping, example)
    chip = Chip(mapping, preset, seed=0, chip=0)
    network.load(chip, t_s)
    return network, chip


def assert_spread(sample: Tensor, sigma: Tensor) -> None:
    """Compare the mean and variance over the samples [N, …] with a normal law of mean 0."""
    n = len(sample)
    assert bool(((sample.mean(dim=0) / sigma).abs() < Z / math.sqrt(n)).all())
    assert bool(((sample.var(dim=0) / sigma**2 - 1).abs() < Z * math.sqrt(2 / n)).all())


@pytest.fixture(scope="module")
def linear() -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(12, 5)


def test_noise_has_the_variance_of_the_products_of_squares(linear: nn.Linear) -> None:
    x = torch.randn(1, 12)
    network, chip = loaded(linear, SONOS, x, tile=TileSize(7, 3))  # two splits with scales of their own
    quiet = chip.weight("", DAY) @ x[0] + linear.bias
    noise = (network(x.expand(20_000, 12)) - quiet).detach()
    plus, minus = chip.arrays[""].conductances(DAY)
    sigma = (sonos_sigma_us(plus).square() + sonos_sigma_us(minus).square()).sqrt() / 16
    reading = chip.read("", DAY)
    scaled = chip.weights[""].weight(sigma, reading.scale * reading.alpha)
    assert_spread(noise, (scaled.square() @ x[0].square()).sqrt())
    correlation = torch.corrcoef(noise.T) - torch.eye(5)
    assert float(correlation.abs().max()) < Z / math.sqrt(20_000)


def test_conductances_and_net_weights_are_free_of_it(linear: nn.Linear) -> None:
    array = Chip(map_model(linear), SONOS, seed=0, chip=0).arrays[""]
    assert torch.equal(array.net(DAY), array.net(DAY, read_noise=False))
    assert array.mvm_read_noise(DAY) is not None
    pcm = Chip(map_model(linear), load_preset("pcm-nandakumar-2019"), seed=0, chip=0).arrays[""]
    assert pcm.mvm_read_noise(DAY) is None
    assert not torch.equal(pcm.net(DAY), pcm.net(DAY, read_noise=False))


def test_pcm_noise_can_be_told_to_be_new_in_every_product(linear: nn.Linear) -> None:
    pcm = load_preset("pcm-nandakumar-2019")
    preset = changed(pcm, read=pcm.definition()["read"] | {"new_every": "mvm"})
    x = torch.randn(1, 12)
    network, chip = loaded(linear, preset, x)
    noise = network(x.expand(20_000, 12)).detach()
    g = chip.arrays[""].conductances(DAY)
    programmed = chip.arrays[""].conductances(0.0)
    spread = torch.zeros_like(g[0])
    root = math.sqrt(math.log((DAY + 20 + 250e-9) / 500e-9))
    for now, before in zip(g, programmed, strict=True):
        q = (0.0088 * (before / 25).clamp(min=1e-9) ** -0.65).clamp(max=0.2)
        spread += (now * q * root / 25).square()
    reading = chip.read("", DAY)
    scaled = chip.weights[""].weight(spread.sqrt(), reading.scale * reading.alpha)
    assert_spread(noise - noise.mean(dim=0), (scaled.square() @ x[0].square()).sqrt())


def test_a_sample_has_its_noise_in_any_batch(linear: nn.Linear) -> None:
    x = torch.randn(10, 12)
    network, _ = loaded(linear, SONOS, x)
    whole = network(x)
    parts = torch.cat([network(x[:3]), network(x[3:4], [3]), network(x[4:], range(4, 10))])
    torch.testing.assert_close(parts, whole, rtol=1e-6, atol=1e-6)
    assert float((network(x, following(1, x)) - whole).abs().max()) > 1e-3  # other samples, other noise
    network.at_once = 4
    torch.testing.assert_close(network(x), whole, rtol=1e-6, atol=1e-6)


def test_noise_is_new_for_every_time_and_chip(linear: nn.Linear) -> None:
    # without programming noise, change in time and compensation, nothing else is new
    still = changed(SONOS, programming={"law": "none"})
    x, mapping = torch.randn(10, 12), map_model(linear)
    network = FoldedNetwork(linear, mapping, x)
    found = []
    for number, t_s in ((0, 1.0), (0, 2.0), (1, 1.0), (0, 1.0)):
        network.load(Chip(mapping, still, seed=0, chip=number, compensation="none"), t_s)
        found.append(network(x))
    assert torch.equal(found[0], found[3])
    assert not torch.allclose(found[0], found[1], atol=1e-4)
    assert not torch.allclose(found[0], found[2], atol=1e-4)


class Net(nn.Module):
    """Convolutions with norms of both signs, stride, padding and a linear layer that is used twice."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 3, stride=2, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(6)
        self.line = nn.Conv1d(6, 8, 3, padding="same")
        self.fc = nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.norm(self.conv(x))).flatten(2)
        x = self.line(x).mean(dim=2)
        outputs: Tensor = self.fc(torch.relu(self.fc(x)))
        return outputs


@pytest.fixture(scope="module")
def net() -> nn.Module:
    torch.manual_seed(1)
    model = Net().eval()
    with torch.no_grad():
        model.norm.weight.uniform_(-1, 1)
        assert model.norm.running_var is not None
        assert model.norm.running_mean is not None
        model.norm.running_var.uniform_(0.5, 2)
        model.norm.running_mean.normal_()
    return model


@pytest.mark.parametrize("name", ["sonos-agrawal-2022", "offset with a reference column"])
def test_backends_draw_the_same_noise(net: nn.Module, name: str) -> None:
    cmo = load_preset("reram-cmo-2pct")
    preset = SONOS if name == SONOS.name else changed(cmo, read=cmo.definition()["read"] | {"new_every": "mvm"})
    tile, x = TileSize(10, 4), torch.randn(6, 3, 9, 9)
    mapping = map_model(net, tile)
    folded, tiles = FoldedNetwork(net, mapping, x), TilesNetwork(net, mapping)
    assert folded.norms
    chip = Chip(mapping, preset, seed=0, chip=0)
    outputs = []
    for network in (folded, tiles):
        network.load(chip, DAY)
        outputs.append(network(x, following(5, x)))
    torch.testing.assert_close(*outputs, rtol=1e-4, atol=1e-5)
    assert float((outputs[0] - folded(x, following(6, x))).abs().max()) > 1e-3  # there is noise


def test_calls_of_one_layer_are_independent() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(4, 4)

        def forward(self, x: Tensor) -> Tensor:
            return torch.cat([self.fc(x), self.fc(x)], dim=1)

    torch.manual_seed(2)
    network, _ = loaded(Twice(), SONOS, torch.randn(2, 4))
    y = network(torch.ones(5000, 4))
    assert not torch.equal(y[:, :4], y[:, 4:])
    assert float(torch.corrcoef(y[:, [0, 4]].T)[0, 1].abs()) < Z / math.sqrt(5000)
    assert torch.equal(network(torch.ones(5000, 4)), y)


def test_a_reference_columns_noise_is_common_to_all_outputs(linear: nn.Linear) -> None:
    cmo = load_preset("reram-cmo-2pct")
    preset = changed(cmo, read=cmo.definition()["read"] | {"new_every": "mvm"})
    x = torch.randn(1, 12)
    network, chip = loaded(linear, preset, x)
    noise = network(x.expand(20_000, 12)).detach()

    def sigma_us(g: Tensor) -> Tensor:
        return 0.0277316483 * g.log10() * math.sqrt(math.log((DAY + 1e-6) / 2e-6))

    array, reading = cast("ProgrammedArray", chip.arrays[""]), chip.read("", DAY)
    assert array.reference is not None
    scale = (reading.scale * reading.alpha)[0] * 2 / (88.2 - 9)
    own = sigma_us(array.conductances(DAY)[0]).square() @ x[0].square() * scale**2
    shared = (sigma_us(array.reference.conductances(DAY)[0])[0].square() @ x[0].square()).sqrt() * scale
    wanted = torch.diag(own) + torch.outer(shared, shared)
    found = torch.cov(noise.T)
    # the standard error of a covariance of normal numbers
    error = ((wanted.square() + torch.outer(wanted.diag(), wanted.diag())) / 20_000).sqrt()
    assert float(((found - wanted) / error).abs().max()) < Z
    assert float(shared[0] * shared[1] / error[0, 1]) > 5 * Z  # a missing reference would be seen


def test_samples_that_do_not_come_first_are_refused() -> None:
    class Mixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(4, 3)

        def forward(self, x: Tensor) -> Tensor:  # [N, 5, 4], but the layer sees [5, N, 4]
            outputs: Tensor = self.fc(x.transpose(0, 1)).mean(dim=0)
            return outputs

    torch.manual_seed(3)
    network, _ = loaded(Mixed(), SONOS, torch.randn(4, 5, 4))
    with pytest.raises(DriftproofError, match=r"layer 'fc' gives outputs \[5, 4, 3\] for 4 samples.* first dimension"):
        network(torch.randn(4, 5, 4))


def test_a_programmed_chip_counts_its_products(linear: nn.Linear) -> None:
    analog = dp.convert(linear, SONOS)
    chip = dp.program(analog)
    x = torch.ones(2, 12)
    assert torch.equal(chip.model(x), chip.model(x))  # the end of programming: nothing is read yet
    chip.drift("1d")
    first, second = chip.model(x), chip.model(x)
    assert not torch.allclose(first, second, atol=1e-4)
    assert torch.equal(torch.cat([first, second]), chip.drift("1d").model(torch.ones(4, 12)))
    other = copy.deepcopy(chip)
    assert torch.equal(other.drift("1d").model(x), first)


def test_the_evaluator_gives_the_same_cells_on_both_backends_and_any_batch_size() -> None:
    found = []
    for options in ({"batch_size": 250}, {"batch_size": 97}, {"backend": "tiles"}):
        record = dp.evaluate(
            trained_digits_cnn(), digits().head(200), presets=[SONOS], times=["0s", "1d"], chips=2, **options
        )
        found.append(record.cells()["value"].tolist())
    assert found[0] == found[1] == found[2]


def test_sonos_spreads_are_the_published_ones(linear: nn.Linear) -> None:
    array = Chip(map_model(linear), SONOS, seed=0, chip=0).arrays[""]
    plus, minus = array.conductances(DAY)
    wanted = (sonos_sigma_us(plus).square() + sonos_sigma_us(minus).square()).sqrt() / 16
    noise = array.mvm_read_noise(DAY)
    assert noise is not None
    torch.testing.assert_close(noise.weights, wanted)


def test_several_pairs_and_stuck_devices_have_their_share_of_it(linear: nn.Linear) -> None:
    pairs = changed(
        SONOS,
        conductance=SONOS.definition()["conductance"] | {"significance": [3.0, 1.0]},
        stuck={"at_g_max": 0.3},
    )
    array = Chip(map_model(linear), pairs, seed=0, chip=0).arrays[""]
    total = torch.zeros_like(array.target)
    stuck = 0
    for g, share in zip(array.conductances(DAY), (0.75, 0.75, 0.25, 0.25), strict=True):
        free = g != 16.0
        stuck += int((~free).sum())
        total += (sonos_sigma_us(g) * share / 16 * free).square()
    assert stuck > 20
    noise = array.mvm_read_noise(DAY)
    assert noise is not None
    torch.testing.assert_close(noise.weights, total.sqrt())


@pytest.mark.parametrize("shape", [(3, 12), (3, 4, 12)])
def test_a_reference_column_over_several_tiles(shape: tuple[int, ...]) -> None:
    """Own and common noise against their sum over the weights, one number drawn for each."""
    torch.manual_seed(4)
    layer = nn.Linear(12, 5)
    cmo = load_preset("reram-cmo-2pct")
    preset = changed(cmo, read=cmo.definition()["read"] | {"new_every": "mvm"})
    x = torch.randn(shape)
    network, chip = loaded(layer, preset, x, tile=TileSize(7, 3))
    reading = chip.read("", DAY)
    noise, scale = reading.noise, reading.scale * reading.alpha
    assert noise is not None
    assert noise.reference is not None
    quiet = torch.nn.functional.linear(x, chip.weight("", DAY), layer.bias)
    own = torch.nn.functional.linear(x.square(), chip.weights[""].weight(noise.weights.square(), scale.square())).sqrt()
    assert reading.samples is not None
    wanted = quiet + own * reading.samples.draw(tuple(own.shape), range(len(x)), "mvm", x.device)
    rows = chip.weights[""].rows
    common = torch.stack([(x[..., part].square() @ noise.reference[0, part].square()).sqrt() for part in rows], dim=-1)
    common = common * reading.samples.draw(tuple(common.shape), range(len(x)), "mvm-ref", x.device)
    torch.testing.assert_close(network(x), wanted - common @ scale, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_networks_in_half_precision(linear: nn.Linear, dtype: torch.dtype) -> None:
    half, x = copy.deepcopy(linear).to(dtype), torch.randn(1, 12).to(dtype)
    network, chip = loaded(half, SONOS, x)
    y = network((100 * x).expand(5000, 12))  # squares of these overflow float16
    assert y.dtype == dtype
    reading = chip.read("", DAY)
    assert reading.noise is not None
    spread = chip.weights[""].weight(reading.noise.weights.square(), (reading.scale * reading.alpha).square())
    wanted = (spread @ (100 * x[0].float()).square()).sqrt()
    rounding = y.float().abs().max() * torch.finfo(dtype).eps
    assert bool(((y.float().std(dim=0) - wanted).abs() < 0.06 * wanted + rounding).all())


def test_calls_by_name() -> None:
    class Named(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(4, 2)

        def forward(self, x: Tensor | None = None) -> Tensor:
            # aihwkit's layers call it x_input
            outputs: Tensor = self.fc(input=x) if type(self.fc) is nn.Linear else self.fc(x)
            return outputs

    torch.manual_seed(5)
    x = torch.ones(2, 4)
    for preset in ("ideal", SONOS):
        chip = dp.program(dp.convert(Named(), preset)).drift("1d")
        assert torch.equal(chip.model(x=x), chip.drift("1d").model(x))
    network, _ = loaded(Named(), SONOS, x)
    assert not torch.equal(network(x)[0], network(x)[1])


def test_a_spent_chip_does_not_read_another_ones_devices(linear: nn.Linear) -> None:
    mapping, programmer = map_model(linear), Programmer()
    spent = programmer.program(mapping, SONOS, seed=0, chip=0)
    fresh = Chip(mapping, SONOS, seed=0, chip=1).weight("", DAY)
    assert torch.equal(programmer.program(mapping, SONOS, seed=0, chip=1).weight("", DAY), fresh)
    with pytest.raises(KeyError):
        spent.weight("", DAY)
