"""Settings of aihwkit's configurations that are no periphery's: each that acts is named, with what to use here."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

import pytest
from aihwkit.inference import (
    GlobalDriftCompensation,
    PCMLikeNoiseModel,
    ReRamCMONoiseModel,
    ReRamWan2022NoiseModel,
)
from aihwkit.inference.compensation.drift import PerColumnDriftCompensation
from aihwkit.inference.noise.base import BaseNoiseModel
from aihwkit.inference.noise.hermes import HermesNoiseModel
from aihwkit.simulator.configs import InferenceRPUConfig, SingleRPUConfig, TorchInferenceRPUConfig, UnitCellRPUConfig
from aihwkit.simulator.configs.devices import SoftBoundsDevice
from aihwkit.simulator.parameters.enums import WeightClipType, WeightModifierType, WeightRemapType
from aihwkit.simulator.parameters.inference import WeightModifierParameter
from aihwkit.simulator.parameters.mapping import MappingParameter
from aihwkit.simulator.presets import PCMPreset, ReRamESPreset, StandardHWATrainingPreset, TikiTakaEcRamPreset

from driftproof import load_preset
from driftproof._compensation import as_compensation
from driftproof.periphery import periphery_from_rpu_config

PERIPHERY = ("forward", "pre_post", "act_quant_config")


def beyond(config: Any) -> dict[str, str]:
    """Return the settings that are no periphery's: name → value and reason."""
    lines = (line.split(" = ", 1) for line in periphery_from_rpu_config(config)[1])
    return {name: rest for name, rest in lines if name.split(".")[0] not in PERIPHERY}


def mapped_as_here() -> Any:
    """Return a configuration that scales weights as driftproof does."""
    config = InferenceRPUConfig()
    config.mapping.weight_scaling_omega, config.mapping.weight_scaling_columnwise = 1.0, True
    return config


ALWAYS = {"noise_model", "drift_compensation", "mapping.max_input_size, mapping.max_output_size"}


def test_a_configuration_as_here_names_device_compensation_and_tile_only() -> None:
    named = beyond(mapped_as_here())
    assert named.keys() == ALWAYS
    assert "prog_noise_scale=1.0" in named["noise_model"]
    assert named["noise_model"].endswith("choose the device: pcm-nandakumar-2019")
    assert beyond(InferenceRPUConfig()).keys() == ALWAYS | {"mapping.weight_scaling_omega"}


@pytest.mark.parametrize(
    ("model", "preset"),
    [
        (PCMLikeNoiseModel(), "pcm-nandakumar-2019"),
        (HermesNoiseModel(), "pcm-hermes-2"),
        (HermesNoiseModel(), "pcm-hermes-1"),
        (ReRamWan2022NoiseModel(), "reram-wan-2022"),
        (ReRamCMONoiseModel(), "reram-cmo-2pct"),
        (ReRamCMONoiseModel(), "reram-cmo-02pct"),
    ],
)
def test_noise_models_are_named_with_the_preset_of_their_law(model: Any, preset: str) -> None:
    config = mapped_as_here()
    config.noise_model = model
    assert preset in beyond(config)["noise_model"]
    load_preset(preset)


def test_constants_of_noise_models_are_named() -> None:
    config = mapped_as_here()
    config.noise_model = PCMLikeNoiseModel(read_noise_scale=0.5)
    assert "aihwkit's own constants; read_noise_scale = 0.5 would need" in beyond(config)["noise_model"]

    class Mine(BaseNoiseModel):  # type: ignore[misc]
        def __init__(self, sigma: float) -> None:
            super().__init__()
            self.sigma = sigma

    config.noise_model = Mine(0.25)
    assert "sigma=0.25" in beyond(config)["noise_model"]
    assert "no preset with its law" in beyond(config)["noise_model"]


@pytest.mark.parametrize(
    ("compensation", "text"),
    [(None, "none"), (GlobalDriftCompensation(), "tile"), (PerColumnDriftCompensation(), "column")],
)
def test_drift_compensations_are_named(compensation: Any, text: str) -> None:
    config = mapped_as_here()
    config.drift_compensation = compensation
    assert beyond(config)["drift_compensation"].endswith(f": compensation={text!r}")
    as_compensation(text)


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("digital_bias", False, "biases are digital here"),
        ("weight_scaling_omega", 0.6, "largest weight of each column"),
        ("weight_scaling_columnwise", False, "scale='layer'"),
        ("weight_scaling_lr_compensation", True, "once the network is digital"),
        ("learn_out_scaling", True, "once the network is digital"),
        ("max_input_size", 256, r"256, 512: tile=TileSize(rows=256, columns=512)"),
        ("max_output_size", 0, "as large as the largest layer"),
    ],
)
def test_mapping_is_named(name: str, value: Any, shown: str) -> None:
    config = mapped_as_here()
    setattr(config.mapping, name, value)
    assert [name for name in beyond(config) if name not in ALWAYS] == (
        [] if name.startswith("max_") else [f"mapping.{name}"]
    )
    assert any(shown in text for text in beyond(config).values())


def test_every_field_of_the_mapping_is_named_if_it_is_changed() -> None:
    """A field of another version, too: the fields are read from the class, not from a table."""
    for one in fields(MappingParameter):
        config = mapped_as_here()
        old = getattr(config.mapping, one.name)
        setattr(config.mapping, one.name, not old if isinstance(old, bool) else old + 1)
        assert any(one.name in name for name in beyond(config))
        assert beyond(config) != beyond(mapped_as_here())


@pytest.mark.parametrize("kind", [k for k in WeightModifierType if k != WeightModifierType.NONE], ids=lambda k: k.value)
def test_modifiers_of_every_kind_are_named(kind: WeightModifierType) -> None:
    config = mapped_as_here()
    config.modifier.type, config.modifier.std_dev = kind, 0.07
    named = beyond(config)
    assert named["modifier.type"].startswith(f"{kind.value}: it acts while aihwkit trains only")
    assert named["modifier.std_dev"].startswith("0.07")
    config.modifier.enable_during_test = True
    assert "in every test" in beyond(config)["modifier.type"]


def test_every_field_of_a_modifier_at_test_time_is_named() -> None:
    for one in fields(WeightModifierParameter):
        config = mapped_as_here()
        config.modifier.enable_during_test, config.modifier.type = True, WeightModifierType.ADD_NORMAL
        old = getattr(config.modifier, one.name)
        if one.name == "type":
            continue
        new: Any = not old if isinstance(old, bool) else [1.0] if isinstance(old, list) else old + 0.125
        if one.name == "enable_during_test":
            new = True
        setattr(config.modifier, one.name, new)
        assert f"modifier.{one.name}" in beyond(config)


def test_dropped_connections_alone_are_named() -> None:
    config = mapped_as_here()
    config.modifier.pdrop = 0.1
    assert "modifier.pdrop" in beyond(config)


def test_clipping_and_remapping_are_named() -> None:
    config = mapped_as_here()
    config.clip.sigma = 3.0  # without a type it does nothing
    assert beyond(config).keys() == ALWAYS
    config.clip.type = WeightClipType.LAYER_GAUSSIAN
    config.remap.type = WeightRemapType.LAYERWISE_SYMMETRIC
    named = beyond(config)
    assert "clip=PERCENTILE" in named["clip.sigma"]
    assert "scale='column' or 'layer'" in named["remap.type"]


@pytest.mark.parametrize(
    ("config", "kind"),
    [
        (SingleRPUConfig(device=SoftBoundsDevice(dw_min=0.01)), "SoftBoundsDevice(dw_min=0.01)"),
        (UnitCellRPUConfig(), "UnitCell("),
        (PCMPreset(), "PCMPresetUnitCell("),
        (TikiTakaEcRamPreset(), "TransferCompound("),
    ],
)
def test_devices_that_are_trained_by_pulses_are_named(config: Any, kind: str) -> None:
    named = beyond(config)["device"]
    assert named.startswith(kind)
    assert "\n" not in named
    assert "choose a device, and train with dp.train" in named


def test_presets_name_what_they_set() -> None:
    assert "dw_min=0.00135" in beyond(ReRamESPreset())["device"]  # the default of the preset, not of its device
    named = beyond(StandardHWATrainingPreset())
    assert {"clip.type", "remap.type", "mapping.learn_out_scaling", "noise_model", "drift_compensation"} <= named.keys()


def test_settings_of_other_versions_and_misspelt_ones_are_named() -> None:
    @dataclass
    class Later(TorchInferenceRPUConfig):  # type: ignore[misc]
        line_loss: float = 0.0
        wires: WeightModifierParameter = field(default_factory=WeightModifierParameter)

    config = Later()
    assert not {"line_loss", "wires"} & {name.split(".")[0] for name in beyond(config)}
    config.line_loss, config.wires.res = 0.5, 0.25
    assert beyond(config)["line_loss"].startswith("0.5")
    assert "wires.res" in beyond(config)
    config.noise_modle = None
    assert "did you mean noise_model?" in beyond(config)["noise_modle"]
    config.update.desired_bl = 7
    config.backward.out_noise = 0.3
    assert {"update.desired_bl", "backward.out_noise"} <= beyond(config).keys()
    assert "trains only" in beyond(config)["backward.out_noise"]
