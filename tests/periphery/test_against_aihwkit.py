"""aihwkit's torch-based tile with the same settings gives the same floats, bit for bit."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from aihwkit.exceptions import ConfigError
from aihwkit.nn import AnalogConv2d, AnalogLinear
from aihwkit.simulator.configs import InferenceRPUConfig, TorchInferenceRPUConfig
from aihwkit.simulator.tiles.analog_mvm import AnalogMVM
from torch import Tensor, nn

from driftproof import DriftproofError
from driftproof.periphery import DynamicRange, Periphery, StaticRange, load_periphery
from driftproof.periphery._aihwkit_fields import aihwkit_forward, aihwkit_input_range
from driftproof.periphery._converters import (
    adc,
    adc_codes,
    converter_step,
    dac,
    dynamic_range,
    mvm_noise_variances,
    output_factor,
)
from driftproof.periphery._settings import IRDrop, WeightNoise
from periphery.output_noise import add_output_noise

STANDARD = load_periphery("standard")
QUIET = STANDARD.without_noise()
STATIC, DYNAMIC = StaticRange(method="maximum"), DynamicRange()


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def configured(config: Any, periphery: Periphery, reach: float | None = None) -> Any:
    for name, value in aihwkit_forward(periphery).items():
        setattr(config.forward, name, type(getattr(config.forward, name))(value))
    for name, value in aihwkit_input_range(periphery, reach).items():
        setattr(config.pre_post.input_range, name, value)
    config.drift_compensation = None
    config.mapping.weight_scaling_omega = 1.0
    config.mapping.weight_scaling_columnwise = True
    config.mapping.learn_out_scaling = False
    return config


def linear(config: Any, weight: Tensor) -> Any:
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=False)
    layer.weight.data = weight
    return AnalogLinear.from_digital(layer, config).eval()


def awkward_inputs(reach: float) -> Tensor:
    """Return inputs [N, 24] inside and beyond a range: at it, at levels and ties, zeros, tiny and huge."""
    levels = torch.arange(-130, 131, dtype=torch.float32) * (reach / 127)
    ties = torch.arange(-260, 261, dtype=torch.float32) * (reach / 254)
    special = torch.tensor([0.0, -0.0, reach, -reach, 1e-30, -1e-30, 1e30, -1e30, math.nextafter(reach, 0)])
    flat = torch.cat([levels, ties, special])
    rows = flat[: len(flat) // 24 * 24].view(-1, 24)
    return torch.cat([rows, reach * numbers(300, 24), torch.zeros(2, 24), 0.01 * reach * numbers(20, 24, seed=1)])


BITS = [(8, 8, 10.0), (6, 9, 12.0), (2, 3, 3.7), (None, 8, 10.0), (8, None, 1.5), (8, None, None), (None, None, None)]


@pytest.mark.parametrize(("dac_bits", "adc_bits", "full_scale"), BITS)
@pytest.mark.parametrize("reach", [1.0, 2.7182817, 0.3])
def test_static_mvm_is_equal_bit_for_bit(
    dac_bits: int | None, adc_bits: int | None, full_scale: float | None, reach: float
) -> None:
    periphery = QUIET.with_changes(input_range=STATIC, dac_bits=dac_bits, adc_bits=adc_bits, adc_full_scale=full_scale)
    config = configured(TorchInferenceRPUConfig(), periphery, reach)
    module = linear(config, numbers(17, 24, seed=2))
    tile = next(module.analog_tiles())
    x = awkward_inputs(reach)
    x = x[x.abs().amax(1) < 1e20] if adc_bits is None else x
    with torch.no_grad():
        theirs = module(x)
        net, scale = tile.tile.get_weights(), tile.get_mapping_scales()
        ours = adc(dac(x, reach, periphery) @ net.T, periphery) * (output_factor(reach, periphery) * scale)
    assert net.abs().max() == 1
    assert torch.equal(ours, theirs)


@pytest.mark.parametrize(("dac_bits", "adc_bits", "full_scale"), BITS)
def test_dynamic_mvm_is_equal_bit_for_bit(dac_bits: int | None, adc_bits: int | None, full_scale: float | None) -> None:
    periphery = QUIET.with_changes(input_range=DYNAMIC, dac_bits=dac_bits, adc_bits=adc_bits, adc_full_scale=full_scale)
    config = configured(TorchInferenceRPUConfig(), periphery)
    x, net = awkward_inputs(1.0), numbers(17, 24, seed=2).clamp(-1, 1)
    theirs = AnalogMVM.matmul(net, x, config.forward, is_test=True)
    reach = dynamic_range(x)
    ours = adc(dac(x, reach, periphery) @ net.T, periphery) * output_factor(reach, periphery)
    assert torch.equal(ours, theirs)
    assert not theirs[(x == 0).all(1)].any()


def test_codes_are_those_of_the_tile() -> None:
    config = configured(TorchInferenceRPUConfig(), QUIET, 1.0)
    x, net = awkward_inputs(1.0), 3 * numbers(17, 24, seed=2)  # saturates
    theirs = AnalogMVM.matmul(net, x, config.forward, is_test=True)
    codes = adc_codes(dac(x, 1.0, QUIET) @ net.T, QUIET)
    assert torch.equal(codes, (theirs / converter_step(8, 10.0)).round().int())
    assert int(codes.abs().max()) == 127
    assert int((codes.abs() == 127).sum()) > 10


def test_ties_at_the_adc_are_decided_alike() -> None:
    halves = QUIET.with_changes(adc_full_scale=63.5, dac_bits=None)
    config = configured(TorchInferenceRPUConfig(), halves, 1.0)
    y = torch.arange(-300, 300)[:, None] / 4  # every second one is a tie between two levels
    theirs = AnalogMVM.matmul(100 * torch.eye(1), y / 100, config.forward, is_test=True)
    ours = adc((y / 100) @ (100 * torch.eye(1)), halves)
    assert torch.equal(ours, theirs)
    assert len(torch.unique(ours)) > 200


@pytest.mark.parametrize("bits", [2, 5, 8, 11])
@pytest.mark.parametrize("full_scale", [10.0, 12.0, 28.7, 28.9, 0.3])  # 127 steps of 28.7/127 are below 28.7 in float32
def test_outputs_next_to_every_threshold_are_decided_alike(bits: int, full_scale: float) -> None:
    periphery = QUIET.with_changes(adc_bits=bits, adc_full_scale=full_scale)
    most = 2 ** (bits - 1)
    thresholds = (torch.arange(-most - 2, most + 2) + 0.5) * converter_step(bits, full_scale)
    near = [thresholds]
    for direction in (-torch.inf, torch.inf):
        one = thresholds
        for _ in range(3):
            one = torch.nextafter(one, torch.tensor(direction))
            near.append(one)
    y = torch.cat(near)
    config = configured(TorchInferenceRPUConfig(), periphery, 1.0)
    _, theirs = AnalogMVM._finalize_output(y, config.forward)
    assert torch.equal(adc(y, periphery), theirs)


@pytest.mark.parametrize("input_range", [STATIC, DYNAMIC])
def test_noise_comes_before_the_adc_as_in_the_tile(input_range: StaticRange | DynamicRange) -> None:
    periphery = STANDARD.with_changes(input_range=input_range)
    config = configured(TorchInferenceRPUConfig(), periphery, 1.0 if input_range is STATIC else None)
    x, net = numbers(40, 24).clamp(-1, 1), numbers(17, 24, seed=2).clamp(-1, 1)
    torch.manual_seed(7)
    theirs = AnalogMVM.matmul(net, x, config.forward, is_test=True)
    torch.manual_seed(7)
    reach = dynamic_range(x) if input_range is DYNAMIC else 1.0
    y = dac(x, reach, periphery) @ net.T
    noisy = adc(add_output_noise(y, torch.randn_like(y), periphery), periphery)
    assert torch.equal(noisy * output_factor(reach, periphery), theirs)
    assert not torch.equal(noisy, adc(y, periphery))


def test_partial_sums_of_tiles_are_quantised_before_they_are_added() -> None:
    config = configured(TorchInferenceRPUConfig(), QUIET)
    config.mapping.max_input_size, config.mapping.max_output_size = 16, 512
    module = linear(config, numbers(5, 30, seed=2))
    x, ranges = numbers(50, 30), [1.5, 2.5]
    y = torch.zeros(50, 5)
    start = 0
    with torch.no_grad():
        for tile, reach in zip(module.analog_tiles(), ranges, strict=True):
            tile.set_input_range(reach)
            rows = slice(start, start + tile.in_size)
            start = rows.stop
            part = adc(dac(x[:, rows], reach, QUIET) @ tile.tile.get_weights().T, QUIET)
            y += part * (output_factor(reach, QUIET) * tile.get_mapping_scales())
        assert torch.equal(module(x), y)


def test_the_vectors_of_a_convolution_are_its_unfolded_patches() -> None:
    periphery = QUIET.with_changes(input_range=DYNAMIC)
    layer = nn.Conv2d(3, 5, 3, stride=2, padding=1, bias=False)
    layer.weight.data = numbers(5, 3, 3, 3)
    module = AnalogConv2d.from_digital(layer, configured(TorchInferenceRPUConfig(), periphery)).eval()
    tile = next(module.analog_tiles())
    x = numbers(4, 3, 9, 9, seed=1)
    patches = nn.functional.unfold(x, 3, padding=1, stride=2).transpose(1, 2)  # [N, positions, in]
    with torch.no_grad():
        reach = dynamic_range(patches)
        y = adc(dac(patches, reach, periphery) @ tile.tile.get_weights().T, periphery)
        y = y * output_factor(reach, periphery) * tile.get_mapping_scales()
        assert torch.equal(module(x), y.transpose(1, 2).reshape(4, 5, 5, 5))


def test_the_ideal_periphery_is_perfect() -> None:
    ideal = load_periphery("ideal")
    config = configured(TorchInferenceRPUConfig(), ideal)
    weight, x = numbers(5, 30), 100 * numbers(9, 30, seed=1)
    assert config.forward.is_perfect
    torch.testing.assert_close(linear(config, weight)(x), x @ weight.T, rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize("input_range", [STATIC, DYNAMIC])
def test_the_compiled_tile_takes_the_same_fields(input_range: StaticRange | DynamicRange) -> None:
    """Its sums round otherwise, so a code in many thousands may be its neighbour."""
    periphery = QUIET.with_changes(input_range=input_range)
    reach = 3.0 if input_range is STATIC else None
    weight, x = numbers(64, 128), 2 * numbers(200, 128, seed=1)
    ours = linear(configured(TorchInferenceRPUConfig(), periphery, reach), weight)(x)
    compiled = linear(configured(InferenceRPUConfig(), periphery, reach), weight)(x)
    assert float((ours != compiled).float().mean()) < 0.001


EXACT = QUIET.with_changes(input_range=STATIC, dac_bits=None, adc_bits=None, adc_full_scale=None)


def test_wire_drop_of_the_compiled_tile_is_in_units_of_its_parameters() -> None:
    """y_i − s c_i Σ_j ŵ_ij x̂_j (1 − (1 − j/n)²), c = a (a (0.05 a − 0.2) + 0.5), a_i = n/ratio Σ_j |ŵ_ij x̂_j|."""
    weight, x = numbers(16, 256), numbers(8, 256, seed=1).clamp(-1, 1)
    wires = IRDrop(scale=0.7, conductance_ratio=1e5)
    module = linear(configured(InferenceRPUConfig(), EXACT.with_changes(ir_drop=wires), 1.0), weight)
    net = weight / weight.abs().amax(1, keepdim=True)
    a = x.abs() @ net.abs().T * (256 / 1e5)
    c = a * (a * (0.05 * a - 0.2) + 0.5)
    along = 1 - (1 - torch.arange(256) / 256) ** 2
    expected = (x @ net.T - 0.7 * c * ((x * along) @ net.T)) * weight.abs().amax(1)
    torch.testing.assert_close(module(x), expected, rtol=1e-4, atol=1e-3)
    assert float((c * ((x * along) @ net.T)).abs().max()) > 0.05


@pytest.mark.parametrize("law", ["constant", "pcm-read"])
def test_weight_noise_of_the_compiled_tile_has_our_variances(law: str) -> None:
    noise = WeightNoise.model_validate({"law": law, "sigma": 0.1})
    noisy = EXACT.with_changes(mvm_weight_noise=noise)
    weight, x = numbers(5, 40), numbers(40, seed=1).clamp(-1, 1)
    largest = weight.abs().amax(1)
    with torch.no_grad():
        y = linear(configured(InferenceRPUConfig(), noisy, 1.0), weight)(x.expand(20_000, 40)) / largest
    variances = mvm_noise_variances(weight / largest[:, None], noisy)
    assert variances is not None
    torch.testing.assert_close(y.var(dim=0), variances @ x.square(), rtol=0.06, atol=0)


def test_the_torch_based_tile_refuses_wire_drop_and_weight_noise() -> None:
    for change in ({"ir_drop": IRDrop()}, {"mvm_weight_noise": WeightNoise(law="constant", sigma=0.1)}):
        with pytest.raises(ConfigError, match="not supported in torch tile"):
            linear(configured(TorchInferenceRPUConfig(), QUIET.with_changes(**change), 3.0), numbers(4, 4))


def test_every_field_is_one_of_aihwkits_and_of_its_type() -> None:
    periphery = STANDARD.with_changes(ir_drop=IRDrop(), mvm_weight_noise=WeightNoise(law="constant", sigma=0.1))
    config = InferenceRPUConfig()
    for chosen in (periphery, STANDARD, load_periphery("ideal")):
        assert aihwkit_forward(chosen).keys() <= vars(config.forward).keys()
        assert aihwkit_input_range(chosen).keys() <= vars(config.pre_post.input_range).keys()
    # all that differs from the neutral settings is set: nothing of aihwkit's own defaults is left on
    forward = configured(InferenceRPUConfig(), QUIET).forward
    assert (forward.bound_management.value, forward.noise_management.value) == ("None", "None")
    assert (forward.out_noise, forward.w_noise_type.value, forward.ir_drop) == (0.0, "None", 0.0)


def test_a_value_belongs_to_a_static_range() -> None:
    with pytest.raises(DriftproofError, match="only a static or a given range has a value"):
        aihwkit_input_range(QUIET.with_changes(input_range=DYNAMIC), 2.0)
