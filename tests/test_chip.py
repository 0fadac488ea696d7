"""A chip of a whole network: its effective weights depend on its key alone."""

from __future__ import annotations

import pytest
import torch

from driftproof._chip import Chip
from driftproof._devices import ProgrammedArray
from driftproof._mapping import Mapping, TileSize, map_model, map_weight
from driftproof._presets import load_preset, preset_names
from driftproof.zoo import resnet20

TIMES = (1.0, 86400.0, 31536000.0)


@pytest.fixture(scope="module")
def mapping() -> Mapping:
    torch.manual_seed(0)
    return map_model(resnet20())


def weights(
    mapping: Mapping, preset: str, times: tuple[float, ...] = TIMES, seed: int = 0, compensation: str = "tile"
) -> dict[tuple[str, float], torch.Tensor]:
    chip = Chip(mapping, load_preset(preset), seed=seed, chip=4, compensation=compensation)
    return {(name, t): chip.weight(name, t) for t in times for name in mapping.weights}


@pytest.mark.parametrize("preset", preset_names())
@pytest.mark.parametrize("compensation", ["none", "tile", "column", "exact"])
def test_the_same_chip_with_one_and_two_threads_and_in_another_order(
    mapping: Mapping, preset: str, compensation: str
) -> None:
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = weights(mapping, preset, compensation=compensation)
        torch.set_num_threads(2)
        two = weights(mapping, preset, TIMES[::-1], compensation=compensation)
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(one[key], two[key]) for key in one)


def test_a_layer_has_the_same_devices_in_another_network(mapping: Mapping) -> None:
    torch.manual_seed(0)
    model = resnet20()
    model.add_module("linear", torch.nn.Identity())
    smaller = weights(map_model(model), "pcm-nandakumar-2019")
    whole = weights(mapping, "pcm-nandakumar-2019")
    assert len(smaller) < len(whole)
    assert all(torch.equal(whole[key], smaller[key]) for key in smaller)


def test_devices_do_not_depend_on_the_tile_size_but_scales_do(mapping: Mapping) -> None:
    torch.manual_seed(0)
    model = resnet20()
    small = map_model(model, TileSize(64, 16))
    one = Chip(mapping, load_preset("gaussian:0.1"), seed=0, chip=0)
    two = Chip(small, load_preset("gaussian:0.1"), seed=0, chip=0)
    name = "layer3.0.conv1"
    first, second = (chip.arrays[name] for chip in (one, two))
    assert isinstance(first, ProgrammedArray)
    assert isinstance(second, ProgrammedArray)
    assert first.first is not None
    assert second.first is not None
    assert torch.equal(first.first, second.first)
    error = [chip.weight(name, 1.0) - model.get_parameter(f"{name}.weight") for chip in (one, two)]
    # smaller tiles have smaller column maxima, and so smaller errors
    assert float(error[1].detach().std()) < float(error[0].detach().std())


def test_the_seed_makes_the_chip(mapping: Mapping) -> None:
    one, other = (weights(mapping, "pcm-nandakumar-2019", (1.0,), seed=seed) for seed in (0, 1))
    assert not any(torch.equal(one[key], other[key]) for key in one)


def test_the_reference_of_the_compensation_is_read_at_zero_without_read_noise() -> None:
    weight = torch.randn(30, 40, generator=torch.Generator().manual_seed(1))
    mapped = map_weight("fc", weight)
    chip = Chip(Mapping(TileSize(), (), {"fc": mapped}), load_preset("pcm-nandakumar-2019"), seed=0, chip=0)
    array = chip.arrays["fc"]
    later = array.net(0.0, read_out=chip.read_outs.calibration)
    wanted = array.net(0.0, read_noise=False).abs().mean() / later.abs().mean()
    assert float(chip.read("fc", 0.0).alpha[0, 0]) == pytest.approx(float(wanted), rel=1e-6)
    assert float(wanted) != 1.0
