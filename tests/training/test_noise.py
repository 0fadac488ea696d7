"""What is put on the weights: the device's own errors at its time, of the tiles' own columns, never drawn twice.

Sampled moments are compared at |z| < 5.2: false alarm 2e-7 each; some 3,000 comparisons here, 6e-4 in all (once:
the draws are fixed).
"""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor, nn

import driftproof as dp
from driftproof._chip import Chip
from driftproof._devices import ONE_READ_OUT
from driftproof._errors import DriftproofError
from driftproof._mapping import TileSize, map_model
from driftproof._presets import load_preset
from driftproof.training import OnTiles
from driftproof.training import _closures as closures
from driftproof.training._noise import DeviceNoise, Key, Noise, as_noise
from driftproof.training._weights import AnalogWeights
from training.small import DRAWING, method_of, points_loss, sgd, smooth

Z = 5.2
DRAWS = 300
LAYERS: dict[str, tuple[nn.Module, tuple[int, ...]]] = {
    "linear": (nn.Linear(10, 6), (2, 10)),
    "conv": (nn.Conv2d(3, 5, 2), (2, 3, 4, 4)),
    "grouped": (nn.Conv2d(6, 8, 2, groups=2), (2, 6, 4, 4)),
    "depthwise": (nn.Conv1d(5, 5, 3, groups=5), (2, 5, 8)),
    "transposed": (nn.ConvTranspose2d(4, 6, 2), (2, 4, 4, 4)),
    "grouped transposed": (nn.ConvTranspose1d(4, 6, 3, groups=2), (2, 4, 8)),
}


def layer(kind: str) -> tuple[nn.Module, Tensor]:
    made, shape = LAYERS[kind]
    torch.manual_seed(0)
    made.reset_parameters()  # type: ignore[operator]
    with torch.no_grad():  # columns of very different size
        made.weight *= torch.logspace(-1, 1, made.weight.numel()).view_as(made.weight)  # type: ignore[arg-type, operator]
    return made, torch.ones(shape)


def columns(kind: str, weight: Tensor) -> Tensor:
    """The crossbar's matrix [outputs, inputs of a group], from what the layer's kind means, entry by entry."""
    module, _ = LAYERS[kind]
    if isinstance(module, nn.Linear):
        return weight
    assert isinstance(module, nn.modules.conv._ConvNd)
    groups, (kernel, places) = module.groups, (weight.shape[2:], math.prod(weight.shape[2:]))
    if not isinstance(module, nn.ConvTranspose1d | nn.ConvTranspose2d):
        return weight.reshape(weight.shape[0], -1)
    inputs, outputs = weight.shape[0] // groups, weight.shape[1]
    rows = []
    for group, out in itertools.product(range(groups), range(outputs)):
        taps = weight[group * inputs : (group + 1) * inputs, out].reshape(inputs, places)
        rows.append(taps.flip(1).reshape(-1))  # the kernel turned around
    assert len(kernel) in (1, 2)
    return torch.stack(rows)


def parts(inputs: int, limit: int) -> list[slice]:
    """Nearly even parts of at most ``limit`` rows, the larger ones first."""
    count = math.ceil(inputs / limit)
    sizes = [inputs // count + (place < inputs % count) for place in range(count)]
    ends = list(itertools.accumulate(sizes))
    return [slice(end - size, end) for end, size in zip(ends, sizes, strict=True)]


def draws(noise: Noise, weights: AnalogWeights, count: int = DRAWS, seed: int = 0) -> list[Tensor]:
    return [noise.draw(weights, Key(seed, number))[""].clone() for number in range(count)]


def assert_spread(errors: Tensor, wanted: float) -> None:
    """Normal errors have mean 0 and this standard deviation."""
    n = errors.numel()
    assert abs(float(errors.mean())) < Z * wanted / math.sqrt(n)
    assert float(errors.square().mean()) == pytest.approx(wanted**2, rel=Z * math.sqrt(2 / n))


@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("rows", [4, 512])
def test_gaussian_noise_is_the_share_of_each_tile_columns_maximum(kind: str, rows: int) -> None:
    network, x = layer(kind)
    weights = AnalogWeights.of(network, x, OnTiles(tile=TileSize(rows, 4)))
    clean = columns(kind, network.weight.detach())  # type: ignore[operator]
    noisy = torch.stack([columns(kind, drawn) for drawn in draws(as_noise("gaussian:0.07"), weights)])
    standard = []
    for part in parts(clean.shape[1], rows):
        largest = clean[:, part].abs().amax(1)
        standard.append((noisy[:, :, part] - clean[:, part]) / largest[:, None])
        # each column of each tile alone ...
        for column in range(min(3, len(clean))):
            assert_spread(standard[-1][:, column], 0.07)
    together = torch.cat(standard, dim=2)
    assert_spread(together, 0.07)  # ... and all of them
    # no two devices and no two draws share their numbers
    flat = together.view(DRAWS, -1)
    correlation = torch.corrcoef(flat[:, : min(20, flat.shape[1])].T).fill_diagonal_(0)
    assert float(correlation.abs().max()) < Z / math.sqrt(DRAWS)
    assert len({tuple(row) for row in flat.tolist()}) == DRAWS


@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize(
    "preset", ["pcm-nandakumar-2019", "reram-wan-2022", "sonos-agrawal-2022", "gaussian-layer:0.1"]
)
def test_a_draw_is_a_chip_of_the_same_key_bit_for_bit(kind: str, preset: str) -> None:
    network, x = layer(kind)
    device, t_s = load_preset(preset), 86_400.0
    noise = DeviceNoise(device.at("1d"))
    weights = AnalogWeights.of(network, x, OnTiles(tile=TileSize(4, 4)))
    for number in (0, 65_537):
        drawn = noise.draw(weights, Key(3, number))[""]
        chip = Chip(map_model(network, TileSize(4, 4), x), device, seed=-4, chip=number, read_outs=ONE_READ_OUT)
        if preset.startswith("sonos"):  # its read noise is new in every product: drawn once for all of a pass
            assert not torch.equal(drawn, chip.weight("", t_s))
            assert torch.equal(noise.draw(weights, Key(3, number))[""], drawn)
        else:
            assert torch.equal(drawn, chip.weight("", t_s))


@pytest.mark.parametrize("preset", ["pcm-nandakumar-2019", "reram-wan-2022"])
def test_draws_have_the_mean_and_the_spread_of_an_evaluations_chips(preset: str) -> None:
    network, x = layer("linear")
    device = load_preset(preset)
    weights = AnalogWeights.of(network, x, OnTiles(tile=TileSize(4, 4)))
    clean = network.weight.detach()  # type: ignore[operator]
    chips = [Chip(weights.mapping, device, seed=0, chip=chip).weight("", 86_400.0) for chip in range(DRAWS)]
    ours, theirs = torch.stack(draws(DeviceNoise(device.at("1d")), weights)) - clean, torch.stack(chips) - clean
    assert not torch.equal(ours, theirs)
    difference = ours.mean(0) - theirs.mean(0)
    error = ((ours.var(0) + theirs.var(0)) / DRAWS).sqrt()
    assert float((difference / error).abs().max()) < Z
    for moment in (ours, theirs):
        assert float(moment.std()) > 0.01 * float(clean.std())
    # logarithms of spreads of nearly normal errors, with kurtosis from the draws themselves
    ratio = (ours.std(0) / theirs.std(0)).log()
    fourth = torch.cat([(e - e.mean(0)) / e.std(0) for e in (ours, theirs)]).pow(4).mean(0)
    assert float((ratio / ((fourth - 1) / (2 * DRAWS)).sqrt()).abs().max()) < Z


def test_read_noise_of_single_products_has_its_spread() -> None:
    device = load_preset("sonos-agrawal-2022")
    network, x = layer("linear")
    weights = AnalogWeights.of(network, x)
    errors = []
    for number in range(DRAWS):
        chip = Chip(weights.mapping, device, seed=-1, chip=number, read_outs=ONE_READ_OUT)
        reading = chip.read("", 3600.0)
        assert reading.noise is not None
        drawn = DeviceNoise(device.at("1h")).draw(weights, Key(0, number))[""]
        errors.append((drawn - chip.weight("", 3600.0)) / (reading.scale * reading.alpha).T / reading.noise.weights)
    assert_spread(torch.stack(errors).nan_to_num(), 1.0)


@pytest.mark.parametrize("strength", [0.25, 1.0, 2.0])
@pytest.mark.parametrize("name", ["rwp", "arwp", "m-rwp", "two-point-rwp"])
def test_the_error_is_the_strength_times_the_devices(name: str, strength: float) -> None:
    network = smooth()
    clean = [p.detach().clone() for p in network.parameters()]
    held: list[list[Tensor]] = []

    def closure() -> Tensor:
        held.append([p.detach().clone() for p in network.parameters()])
        return points_loss(network)()

    noise = as_noise("pcm-nandakumar-2019@1d")
    method_of(name, noise=noise, strength=strength, seed=5).step(closure, network, sgd(network, 0.0))
    drawn = noise.draw(AnalogWeights.of(network, torch.ones(1, 5)), Key(5, 0)).values()
    perturbed = next(weights for weights in held[1:] if not torch.equal(weights[0], clean[0]))
    for w, got, chip in zip(clean, perturbed, drawn, strict=True):
        torch.testing.assert_close(got - w, strength * (chip - w), rtol=1e-4, atol=1e-6)


def test_times_of_a_range_are_log_uniform_and_the_draws_are_of_that_time() -> None:
    noise = as_noise("pcm-nandakumar-2019@1h..1y")
    assert isinstance(noise, DeviceNoise)
    times = np.array([noise.time_s(Key(0, number)) for number in range(2000)])
    # Kolmogorov and Smirnov: false alarm 1e-6
    law = stats.uniform(math.log(3600), math.log(31_536_000 / 3600))
    assert stats.kstest(np.log(times), law.cdf).pvalue > 1e-6
    assert abs(float(np.corrcoef(np.log(times[:-1]), np.log(times[1:]))[0, 1])) < Z / math.sqrt(2000)
    network, x = layer("linear")
    weights = AnalogWeights.of(network, x)
    for number in (0, 7):
        chip = Chip(weights.mapping, load_preset("pcm-nandakumar-2019"), seed=-1, chip=number, read_outs=ONE_READ_OUT)
        drawn = noise.draw(weights, Key(0, number))[""]
        assert torch.equal(drawn, chip.weight("", float(times[number])))


def test_the_compensation_is_part_of_the_noise() -> None:
    network, x = layer("linear")
    weights, device = AnalogWeights.of(network, x), load_preset("pcm-nandakumar-2019")
    for compensation in ("none", "tile", "exact"):
        chip = Chip(weights.mapping, device, seed=-1, chip=0, compensation=compensation, read_outs=ONE_READ_OUT)
        drawn = DeviceNoise(device.at("1d", compensation=compensation)).draw(weights, Key(0, 0))[""]
        assert torch.equal(drawn, chip.weight("", 86_400.0))


@pytest.mark.parametrize(("text", "gamma"), [("norm", 0.01), ("max", 0.1), ("norm-layer", 0.01)])
def test_gaussian_noise_is_relative_to_a_whole_filter_or_layer(text: str, gamma: float) -> None:
    for kind in ("linear", "grouped transposed"):
        network, x = layer(kind)
        weights = AnalogWeights.of(network, x, OnTiles(tile=TileSize(4, 4)))
        clean = columns(kind, network.weight.detach())  # type: ignore[operator]
        noise = as_noise(f"{text}:{gamma}")
        assert str(noise) == f"{text}:{gamma}"
        noisy = torch.stack([columns(kind, drawn) for drawn in draws(noise, weights)])
        for number, column in enumerate(clean):
            size = {"norm": column.norm(), "max": column.abs().max(), "norm-layer": clean.norm()}[text]
            assert_spread((noisy[:, number] - column) / size, gamma)


def test_a_filter_on_one_tile_has_the_noise_of_its_column() -> None:
    network, x = layer("linear")
    weights = AnalogWeights.of(network, x)
    of_filter, of_column = (as_noise(f"{text}:0.1").draw(weights, Key(0, 0))[""] for text in ("max", "gaussian"))
    torch.testing.assert_close(of_filter, of_column)


def test_noise_is_drawn_around_the_weights_as_they_are_now() -> None:
    """A column whose largest weight has grown has larger errors."""
    network, x = layer("linear")
    weights, noise = AnalogWeights.of(network, x), as_noise("gaussian:0.1")
    with torch.no_grad():
        network.weight.copy_(torch.ones(6, 10))  # type: ignore[operator]
    first = noise.draw(weights, Key(0, 0))[""] - 1.0
    with torch.no_grad():
        network.weight[:, 0] = 4.0  # type: ignore[operator]
    second = noise.draw(weights, Key(0, 0))[""] - network.weight.detach()  # type: ignore[operator]
    torch.testing.assert_close(second[:, 1:], 4 * first[:, 1:], rtol=1e-4, atol=1e-5)


# --- no two draws are one ---


class Recorder(Noise):
    """Notes the keys that are drawn."""

    def __init__(self) -> None:
        self.keys: list[Key] = []

    def draw(self, weights: AnalogWeights, key: Key) -> dict[str, Tensor]:
        self.keys.append(key)
        return {name: p.detach() * 1.1 for name, p in weights.parameters.items()}

    def __str__(self) -> str:
        return "recorder"


@pytest.mark.parametrize("name", [name for name in DRAWING if name != "noise-injection"])
def test_updates_micro_batches_and_processes_never_share_a_key(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Key] = []
    for rank in range(3):
        monkeypatch.setattr(closures, "processes", lambda rank=rank: (rank, 3))
        network, noise = smooth(), Recorder()
        method = method_of(name, noise=noise)
        for _ in range(4):
            method.step([points_loss(network)] * 4, network, sgd(network))
        keys = list(dict.fromkeys(noise.keys))  # one micro-batch may ask for its draw again
        assert len(keys) == 4 * (2 if name == "m-rwp" else 4)
        seen += keys
    assert len(set(seen)) == len(seen)
    assert {key.seed for key in seen} == {0}


def test_more_micro_batches_than_an_update_has_keys_for_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(closures, "processes", lambda: (0, 40_000))
    network = smooth()
    with pytest.raises(DriftproofError, match="2 micro-batches in 40000 processes"):
        method_of("rwp").step([points_loss(network)] * 2, network, sgd(network))


def test_no_draw_is_a_chip_of_an_evaluation() -> None:
    """An evaluation's seeds are not negative, a draw's always are, whatever the training's seed."""
    assert [Key(seed, 0).chip_seed for seed in (0, 1, 2**40)] == [-1, -2, -1 - 2**40]
    with pytest.raises(DriftproofError, match="neither negative"):
        Key(-1, 0)
    network, x = layer("linear")
    weights = AnalogWeights.of(network, x)
    device = load_preset("pcm-nandakumar-2019")
    drawn = {seed: draws(DeviceNoise(device.at("1d")), weights, 4, seed) for seed in (0, 1)}
    for seed, number in itertools.product((0, 1), range(4)):
        chip = Chip(weights.mapping, device, seed=seed, chip=number).weight("", 86_400.0)
        assert not any(torch.equal(chip, draw) for draw in (*drawn[0], *drawn[1]))
    assert not any(torch.equal(a, b) for a in drawn[0] for b in drawn[1])
    with pytest.raises(DriftproofError, match="seed"):
        dp.evaluate(network, (x, torch.zeros(2)), presets=device, seed=-1)
