"""Reads in converter codes are the reads step by step, but for codes that rounding moves across a threshold."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import driftproof as dp
from driftproof._calls.geometry import geometry_of
from driftproof._chip import Chip
from driftproof._mapping import TileSize, map_model
from driftproof.arrays import AnalogArray, _code_steps, input_ranges
from driftproof.periphery import DynamicRange, Periphery, StaticRange, load_periphery
from driftproof.periphery._counts import Counts
from driftproof.periphery._settings import WeightNoise

STATIC = load_periphery("standard").with_changes(input_range=StaticRange(method="quantile", quantile=0.99))
PERIPHERIES: dict[str, Periphery] = {
    "static": STATIC,
    "static, 4 bits": STATIC.with_changes(dac_bits=4, adc_bits=5, adc_full_scale=3.0),
    "static, no noise": STATIC.with_changes(output_noise=0.0),
    "static, exact DAC": STATIC.with_changes(dac_bits=None),
    "static, ADC that only clips": STATIC.with_changes(adc_bits=None, adc_full_scale=1.0),
    "static, no ADC": STATIC.with_changes(adc_bits=None, adc_full_scale=None),
    "static, weight noise": STATIC.with_changes(mvm_weight_noise=WeightNoise(law="pcm-read", sigma=0.1)),
}
PERIPHERIES |= {
    name.replace("static", "dynamic"): periphery.with_changes(input_range=DynamicRange())
    for name, periphery in PERIPHERIES.items()
}
WHOLE, HALVES = TileSize(), TileSize(45, 5)


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


LAYERS: dict[str, tuple[Callable[[], nn.Module], Tensor]] = {
    "linear": (lambda: nn.Linear(50, 11), numbers(40, 50)),
    "linear of sequences": (lambda: nn.Linear(50, 11), numbers(10, 7, 50)),
    "conv": (lambda: nn.Conv2d(10, 8, 3), numbers(6, 10, 9, 7)),
    "padded": (lambda: nn.Conv2d(10, 8, 3, padding=(1, 2)), numbers(6, 10, 9, 7)),
    "strided": (lambda: nn.Conv2d(10, 8, 3, stride=2, padding=1), numbers(6, 10, 9, 7)),
    "wide": (lambda: nn.Conv2d(10, 8, 3, dilation=(1, 2), padding=2), numbers(6, 10, 9, 7)),
    "same": (lambda: nn.Conv2d(10, 8, (3, 1), padding="same"), numbers(6, 10, 9, 7)),
    "one by one": (lambda: nn.Conv2d(50, 8, 1, stride=2), numbers(6, 50, 9, 7)),
    "grouped": (lambda: nn.Conv2d(10, 8, 3, padding=1, groups=2), numbers(6, 10, 9, 7)),
    "depthwise": (lambda: nn.Conv2d(10, 20, 3, padding=1, groups=10), numbers(6, 10, 9, 7)),
    "behind a ReLU": (lambda: nn.Conv2d(10, 8, 3, padding=1), numbers(6, 10, 9, 7).relu()),
    "zeros": (lambda: nn.Conv2d(10, 8, 3, padding=1), torch.zeros(6, 10, 9, 7)),
}


def both_ways(name: str, periphery: Periphery, tile: TileSize, preset: str = "pcm-nandakumar-2019") -> tuple[Any, ...]:
    """Return the outputs in codes and step by step, the array, and the largest step of an output."""
    torch.manual_seed(0)
    make, x = LAYERS[name]
    layer = make().eval()
    mapping = map_model(layer, tile, x)
    array = AnalogArray(
        mapping.weights[""],
        geometry=geometry_of(layer),
        periphery=periphery,
        ranges=input_ranges(layer, mapping, periphery, [x])
        if x.any()
        else {"": (1.0,) * len(mapping.weights[""].rows)},
    )
    codes = array.in_codes(geometry_of(layer))
    assert codes is not None
    chip = Chip(mapping, dp.load_preset(preset), seed=0, chip=0)
    with torch.no_grad():
        array.load(chip.read("", 86400.0))
        slow = array.matmul(x)
        shares = array.counts.shares()
        array.counts.clear()
        array.passes.begin(range(len(x)))
        before = x.clone()
        fast = codes(x, None)
    assert torch.equal(x, before)
    for kind, share in array.counts.shares().items():
        assert share == pytest.approx(shares[kind], abs=2e-3), kind
    assert array.counts.shares().keys() == shares.keys()
    return fast, slow, array


@pytest.mark.parametrize("tile", [WHOLE, HALVES], ids=["one tile", "row splits"])
@pytest.mark.parametrize("periphery", PERIPHERIES)
@pytest.mark.parametrize("layer", LAYERS)
def test_codes_give_what_single_steps_give(layer: str, periphery: str, tile: TileSize) -> None:
    fast, slow, _ = both_ways(layer, PERIPHERIES[periphery], tile)
    assert fast.shape == slow.shape
    scale = float(slow.abs().max()) or 1.0
    apart = (fast - slow).abs() / scale
    # of 1,000 to 5,000 outputs, a flipped code of the DAC or ADC moves one by a step, and no other
    assert float((apart > 1e-5).float().mean()) < 0.004
    assert float(apart.max()) < 0.25


@pytest.mark.parametrize("tile", [WHOLE, HALVES], ids=["one tile", "row splits"])
@pytest.mark.parametrize("layer", LAYERS)
def test_compiled_loops_and_operators_agree_to_the_last_bit(
    layer: str, tile: TileSize, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, periphery in PERIPHERIES.items():
        compiled, _, array = both_ways(layer, periphery, tile)
        with monkeypatch.context() as patch:
            asked: list[str] = []
            patch.setattr(_code_steps, "loops", asked.append)
            chained, _, other = both_ways(layer, periphery, tile)
        assert asked, "the loops were not asked for"
        assert torch.equal(compiled, chained), name
        assert array.counts.shares() == other.counts.shares(), name


def test_nan_stays_nan() -> None:
    """A network whose inputs are NaN must not get numbers from the converters."""
    x = torch.full((3, 8), torch.nan)
    counts = Counts()
    dac = _code_steps.Dac.of(STATIC)
    assert _code_steps.drive(x, 1.0, dac, counts).isnan().all()
    adc = _code_steps.Adc.of(STATIC)
    after = _code_steps.After(factor=torch.ones(8), relu=True)
    assert _code_steps.convert(x.clone(), None, None, adc, after, counts).isnan().all()
    assert _code_steps.largest(x).isnan().all()


def test_a_variance_that_rounding_leaves_below_zero_counts_as_zero() -> None:
    adc = _code_steps.Adc.of(PERIPHERIES["static, no ADC"].with_changes(output_noise=0.0))
    sums, normals = numbers(4, 8), numbers(4, 8, seed=1)
    after = _code_steps.After(factor=torch.ones(8))
    variances = torch.full((4, 8), -1e-9)
    found = _code_steps.convert(sums.clone(), normals, variances, adc, after, Counts())
    assert torch.equal(found, sums)


def test_a_network_without_compiled_loops_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUMBA_DISABLE_JIT", "1")
    code = """
import warnings
from driftproof._loops import loops
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    assert loops("driftproof.arrays._code_loops") is loops("driftproof._devices.philox_loop") is None
(only,) = caught
assert "NUMBA_DISABLE_JIT is set" in str(only.message), only.message
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_row_splits_of_half_channels_and_stages_go_step_by_step() -> None:
    layer = nn.Conv2d(10, 8, 3)
    mapping = map_model(layer, TileSize(44, 5), LAYERS["conv"][1])
    assert any(rows.stop % 9 for rows in mapping.weights[""].rows)
    array = AnalogArray(mapping.weights[""], geometry=geometry_of(layer), periphery=PERIPHERIES["dynamic"])
    assert array.in_codes(geometry_of(layer)) is None
    assert AnalogArray(mapping.weights[""], geometry=geometry_of(layer)).in_codes(geometry_of(layer)) is None


def test_a_folded_factor_a_bias_and_another_summand_come_after_the_adc() -> None:
    torch.manual_seed(0)
    layer, x = nn.Conv2d(10, 8, 3, padding=1), LAYERS["conv"][1]
    mapping = map_model(layer, HALVES, x)
    periphery = PERIPHERIES["static, no noise"]
    array = AnalogArray(
        mapping.weights[""],
        geometry=geometry_of(layer),
        periphery=periphery,
        ranges=input_ranges(layer, mapping, periphery, [x]),
    )
    codes = array.in_codes(geometry_of(layer))
    assert codes is not None
    factor, bias = torch.linspace(-1, 2, 8), torch.linspace(3, -3, 8)
    reading = Chip(mapping, dp.load_preset("gaussian:0.05"), seed=0, chip=0).read("", 1.0)
    with torch.no_grad():
        array.load(reading)
        array.passes.begin(range(len(x)))
        plain = codes(x, None)
        array.load(reading, factor)
        other = numbers(*plain.shape, seed=5)
        kept = other.clone()
        moved = codes(x, bias, other)
    assert torch.equal(other, kept)
    torch.testing.assert_close(moved, plain * factor.view(-1, 1, 1) + bias.view(-1, 1, 1) + other, rtol=1e-5, atol=1e-5)


def test_large_patches_are_cut_into_rows_of_positions(monkeypatch: pytest.MonkeyPatch) -> None:
    whole, _, _ = both_ways("padded", PERIPHERIES["dynamic"], WHOLE)
    monkeypatch.setattr("driftproof.arrays._dynamic_codes.PIECE", 500)
    pieces, _, _ = both_ways("padded", PERIPHERIES["dynamic"], WHOLE)
    torch.testing.assert_close(pieces, whole, rtol=1e-5, atol=1e-6)
