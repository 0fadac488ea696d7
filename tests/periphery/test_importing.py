"""Peripheries from aihwkit's configurations: taken over where they can be, named where not, never silent."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import torch
from aihwkit.simulator.configs import InferenceRPUConfig, TorchInferenceRPUConfig
from aihwkit.simulator.configs.configs import (
    FloatingPointRPUConfig,
    QuantizedTorchInferenceRPUConfig,
    TorchInferenceRPUConfigIRDropT,
)
from aihwkit.simulator.parameters import IOParameters
from aihwkit.simulator.parameters.enums import (
    AnalogMVType,
    BoundManagementType,
    NoiseManagementType,
    WeightNoiseType,
)
from aihwkit.simulator.parameters.pre_post import InputRangeParameter
from aihwkit.simulator.presets import (
    EcRamPreset,
    FloatingPointPreset,
    GokmenVlasovPreset,
    PCMPreset,
    ReRamESPreset,
    StandardHWATrainingPreset,
    TikiTakaEcRamPreset,
)
from aihwkit.simulator.presets.utils import StandardIOParameters
from aihwkit.simulator.presets.web import WebComposerInferenceRPUConfig
from aihwkit.simulator.tiles.analog_mvm import AnalogMVM

from driftproof import DriftproofError
from driftproof.periphery import DynamicRange, StaticRange, load_periphery, periphery_from_rpu_config, write_periphery
from driftproof.periphery._aihwkit_fields import aihwkit_forward, aihwkit_input_range
from driftproof.periphery._converters import adc, dac, dynamic_range, output_factor
from driftproof.periphery._importing import _INPUT_RANGE, _OTHER_FORWARD, _TIME_DEPENDENT_WIRES
from driftproof.periphery._settings import IRDrop, WeightNoise

STANDARD = load_periphery("standard")
PRESETS = [
    *(StandardHWATrainingPreset, FloatingPointPreset, WebComposerInferenceRPUConfig, InferenceRPUConfig),
    *(TorchInferenceRPUConfig, QuantizedTorchInferenceRPUConfig, TorchInferenceRPUConfigIRDropT),
    *(PCMPreset, ReRamESPreset, EcRamPreset, GokmenVlasovPreset, TikiTakaEcRamPreset),
]


def names(left: list[str]) -> list[str]:
    """Return the settings of the periphery that were not taken over: the others are in test_beyond_periphery.py."""
    every = [line.split(" = ")[0] for line in left]
    return [name for name in every if name.split(".")[0] in ("forward", "pre_post", "act_quant_config")]


def clean() -> Any:
    """Return a configuration of which everything can be taken over."""
    config = TorchInferenceRPUConfig()
    config.forward.bound_management = BoundManagementType.NONE
    return config


def test_standard_is_aihwkits_standard_but_for_its_switches() -> None:
    """The source of ``standard``, checked against the installed aihwkit."""
    theirs, left = periphery_from_rpu_config(StandardHWATrainingPreset())
    assert theirs.ir_drop == IRDrop(scale=1.0)
    assert theirs.mvm_weight_noise == WeightNoise(law="pcm-read", sigma=0.0175)
    assert theirs.with_changes(ir_drop=None, mvm_weight_noise=None).sha256 == STANDARD.sha256
    assert names(left) == ["pre_post.input_range.learn_input_range"]
    same = clean()
    same.forward = StandardIOParameters()
    ours = STANDARD.with_changes(input_range=DynamicRange())
    assert periphery_from_rpu_config(same)[0].sha256 == ours.sha256


@pytest.mark.parametrize("preset", PRESETS, ids=lambda p: p.__name__)
def test_presets_are_imported_and_read_back(preset: Any, tmp_path: Path) -> None:
    periphery, left = periphery_from_rpu_config(preset())
    assert periphery.name == f"aihwkit-{preset.__name__.lower()}"
    assert load_periphery(write_periphery(periphery, tmp_path / "p.toml")) == periphery
    expected = {
        StandardHWATrainingPreset: ["pre_post.input_range.learn_input_range"],
        FloatingPointPreset: [],
        TorchInferenceRPUConfigIRDropT: ["forward.bound_management", "forward.ir_drop"],
    }.get(preset, ["forward.bound_management"])
    assert sorted(names(left)) == expected


def test_values_of_presets() -> None:
    shown = {preset.__name__: str(periphery_from_rpu_config(preset())[0]) for preset in PRESETS}
    assert shown["FloatingPointPreset"] == "ideal"
    assert shown["TorchInferenceRPUConfig"] == "7-bit in (dynamic), 9-bit out, full scale 12, noise 0.06"
    assert shown["PCMPreset"] == "7-bit in (dynamic), 9-bit out, full scale 20, noise 0.1"


@pytest.mark.parametrize("periphery", [STANDARD, STANDARD.with_changes(input_range=DynamicRange(), adc_bits=6)])
def test_there_and_back(periphery: Any) -> None:
    changed = periphery.with_changes(ir_drop=IRDrop(scale=0.5, conductance_ratio=1e5))
    for one in (periphery, changed, changed.with_changes(mvm_weight_noise=WeightNoise(law="constant", sigma=0.01))):
        config = InferenceRPUConfig()
        for name, value in aihwkit_forward(one).items():
            setattr(config.forward, name, type(getattr(config.forward, name))(value))
        for name, value in aihwkit_input_range(one).items():
            setattr(config.pre_post.input_range, name, value)
        back, left = periphery_from_rpu_config(config)
        assert back.sha256 == one.sha256
        assert names(left) == (
            ["pre_post.input_range.init_from_data"] if isinstance(one.input_range, StaticRange) else []
        )


def test_an_imported_periphery_does_what_the_configuration_does() -> None:
    config = clean()
    config.forward.out_noise = 0.0
    config.forward.out_res, config.forward.inp_res = 62, 1 / 14
    config.forward.out_bound = 2.5
    periphery, left = periphery_from_rpu_config(config)
    assert names(left) == []
    generator = torch.Generator().manual_seed(0)
    x, net = torch.randn(50, 30, generator=generator), torch.rand(9, 30, generator=generator) - 0.5
    theirs = AnalogMVM.matmul(net, x, config.forward, is_test=True)
    reach = dynamic_range(x)
    ours = adc(dac(x, reach, periphery) @ net.T, periphery) * output_factor(reach, periphery)
    assert torch.equal(ours, theirs)


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("inp_noise", 0.1, None),
        ("inp_sto_round", True, None),
        ("inp_asymmetry", 0.1, None),
        ("out_noise_std", 0.1, None),
        ("out_sto_round", True, None),
        ("out_scale", 2.0, None),
        ("out_asymmetry", 0.1, None),
        ("out_nonlinearity", 0.1, None),
        ("out_nonlinearity_std", 0.1, None),
        ("slope_calibration", 0.5, None),
        ("v_offset_std", 0.1, None),
        ("v_offset_w_min", 0.1, None),
        ("r_series", 0.1, None),
        ("w_read_asymmetry_dtod", 0.1, None),
        ("max_bm_factor", 3, None),
        ("max_bm_res", 0.5, None),
        ("bm_test_negative_bound", False, None),
        ("nm_thres", 0.5, "no upper limit"),
        ("ir_drop_g_ratio", 1e5, "ir_drop is 0"),
        ("inp_bound", 2.0, "from -1 to 1"),
        ("out_bound", 0.0, None),
        ("inp_res", 100, "6.672 bits; 7 bits here"),
        ("out_res", 1 / 100, "6.672 bits; 7 bits here"),
        ("out_res", 2**30, "30 bits are more than float32 has"),
        ("w_noise", 0.1, "w_noise_type is None"),
        ("mv_type", AnalogMVType.SPLIT_MODE, "one pass"),
        ("bound_management", BoundManagementType.ITERATIVE_WORST_CASE, "saturates"),
        ("noise_management", NoiseManagementType.NONE, "clipped at 1 in every layer"),
        ("noise_management", NoiseManagementType.MAX, "the largest"),
        ("noise_management", NoiseManagementType.AVERAGE_ABS_MAX, "the largest"),
        ("out_nose", 5, r"did you mean out_noise\?"),
    ],
)
def test_what_is_not_taken_over_is_named(name: str, value: Any, shown: str | None) -> None:
    config = clean()
    assert names(periphery_from_rpu_config(config)[1]) == []
    setattr(config.forward, name, value)
    _, left = periphery_from_rpu_config(config)
    assert names(left) == ["forward.out_res" if name == "out_bound" else f"forward.{name}"]
    assert shown is None or re.search(shown, left[0])


def test_no_setting_of_aihwkit_is_unknown() -> None:
    """Every field stands in a table, with aihwkit's own default where that means 'none of it'."""
    taken = set(aihwkit_forward(STANDARD))
    for field in fields(IOParameters):
        assert field.name in taken or _OTHER_FORWARD[field.name] == field.default
    assert {field.name for field in fields(InputRangeParameter)} == set(_INPUT_RANGE)
    extra = TorchInferenceRPUConfigIRDropT().forward
    for name, default in _TIME_DEPENDENT_WIRES.items():
        assert getattr(extra, name) == default


@pytest.mark.parametrize("field", [f for f in fields(InputRangeParameter) if f.name != "enable"], ids=lambda f: f.name)
def test_input_range_settings_are_named(field: Any) -> None:
    config = clean()
    config.forward.noise_management = NoiseManagementType.NONE
    config.pre_post.input_range = InputRangeParameter(enable=True, learn_input_range=False)
    assert names(periphery_from_rpu_config(config)[1]) == []
    old = getattr(config.pre_post.input_range, field.name)
    new = "MovingStd" if old is None else (not old if isinstance(old, bool) else old + 1)
    setattr(config.pre_post.input_range, field.name, new)
    assert names(periphery_from_rpu_config(config)[1]) == [f"pre_post.input_range.{field.name}"]


def test_static_ranges() -> None:
    config = clean()
    config.forward.noise_management = NoiseManagementType.NONE
    config.pre_post.input_range = InputRangeParameter(enable=True, learn_input_range=False)
    for info, method in (("Max", "maximum"), ("CacheQuantile", "quantile"), ("MovingQuantile", "moving")):
        config.pre_post.input_range.calibration_info = info
        periphery, left = periphery_from_rpu_config(config)
        assert periphery.input_range == StaticRange.model_validate({"method": method})
        assert names(left) == []
    config.forward.noise_management = NoiseManagementType.ABS_MAX
    periphery, left = periphery_from_rpu_config(config)
    assert isinstance(periphery.input_range, StaticRange)
    assert names(left) == ["forward.noise_management"]
    config.forward.noise_management, config.forward.nm_thres = NoiseManagementType.CONSTANT, 2.5
    assert names(periphery_from_rpu_config(config)[1]) == ["forward.noise_management"]
    config.forward.is_perfect = True  # aihwkit still clips at the input range
    perfect, left = periphery_from_rpu_config(config)
    assert str(perfect) == "exact in (static), exact out"
    assert names(left) == []


def test_more_than_forward() -> None:
    config = QuantizedTorchInferenceRPUConfig()
    config.pre_post.periph_quant.n_bits = 8
    config.forward.w_noise_type = WeightNoiseType.ADDITIVE_CONSTANT
    config.forward.w_noise = 0.02
    periphery, left = periphery_from_rpu_config(config)
    assert periphery.mvm_weight_noise == WeightNoise(law="constant", sigma=0.02)
    assert names(left) == ["forward.bound_management", "pre_post.periph_quant.n_bits"]
    misspelt = clean()
    misspelt.pre_post.input_range.enabel = True
    assert "did you mean enable?" in periphery_from_rpu_config(misspelt)[1][0]


@pytest.mark.parametrize("wrong", [None, 3, torch.nn.Linear(1, 1), FloatingPointRPUConfig()])
def test_something_else_is_refused(wrong: Any) -> None:
    with pytest.raises(DriftproofError, match="aihwkit configuration with forward settings"):
        periphery_from_rpu_config(wrong)
