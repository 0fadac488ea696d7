"""No setting of an aihwkit configuration is left out in silence: each is changed in turn, and taken over or listed."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Iterator
from enum import Enum
from operator import attrgetter
from typing import Any

import pytest
from aihwkit.inference import GlobalDriftCompensation, PCMLikeNoiseModel
from aihwkit.inference.compensation.base import BaseDriftCompensation
from aihwkit.simulator.configs import (
    FloatingPointRPUConfig,
    InferenceRPUConfig,
    SingleRPUConfig,
    TorchInferenceRPUConfig,
)
from aihwkit.simulator.configs.configs import QuantizedTorchInferenceRPUConfig, TorchInferenceRPUConfigIRDropT
from aihwkit.simulator.parameters.enums import WeightClipType, WeightModifierType
from aihwkit.simulator.presets import PCMPreset, StandardHWATrainingPreset, TikiTakaEcRamPreset

import driftproof as dp


def noisy() -> Any:
    """Return a configuration in which every group is switched on."""
    config = StandardHWATrainingPreset()
    config.modifier.type, config.modifier.std_dev = WeightModifierType.ADD_NORMAL, 0.05
    config.clip.type = WeightClipType.LAYER_GAUSSIAN
    return config


def perfect() -> Any:
    config = TorchInferenceRPUConfig()
    config.forward.is_perfect = True
    return config


CONFIGS: dict[str, Callable[[], Any]] = {
    "inference": InferenceRPUConfig,
    "hardware-aware": noisy,
    "perfect": perfect,
    "wires in time": TorchInferenceRPUConfigIRDropT,
    "quantised": QuantizedTorchInferenceRPUConfig,
    "pulses": SingleRPUConfig,
    "floating point": FloatingPointRPUConfig,
}


def settings_of(group: Any, prefix: str = "") -> Iterator[str]:
    """Yield the dotted name of every setting of a configuration; of pulsed devices the name of the device."""
    fields = [one.name for one in dataclasses.fields(group)] if dataclasses.is_dataclass(group) else list(vars(group))
    for name in fields:
        value = getattr(group, name)
        inner = dataclasses.is_dataclass(value) or isinstance(value, PCMLikeNoiseModel) or name == "g_converter"
        if inner:
            yield from settings_of(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


def changed(value: Any) -> list[Any]:
    """Return other values of the same kind; a setting may refuse the first."""
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, Enum):
        return [one for one in type(value) if one != value][:2]
    if isinstance(value, int):
        return [value + 3]
    if isinstance(value, float):
        return [value * 0.75 + 0.0703125]
    if isinstance(value, str):
        return [f"{value}x"]
    if isinstance(value, list):
        return [[*value[:-1], (value[-1] if value else 0.0) + 0.25]]
    if isinstance(value, type):
        return [type("OfAUser", (value,), {})]
    if value is None:
        return ["something"]
    return [None]


def names(found: Any) -> list[str]:
    return [part for text in found.not_taken_over for part in text.partition(" = ")[0].split(", ")]


def outcome(found: Any) -> Any:
    """Return the numbers that are taken over, without any text of ours."""
    device = found.device and found.device.sha256
    return device, found.periphery.sha256, str({**found.settings, "periphery": ""}), found.noise, str(found.clip)


PLAIN = InferenceRPUConfig()
FULL = list(settings_of(PLAIN))
GROUPS = ("forward", "pre_post", "mapping", "modifier", "clip", "remap")
# what the other configurations have besides, or where they decide otherwise
PATHS = {
    "inference": FULL,
    "hardware-aware": [path for path in FULL if "backward" not in path and "update" not in path],
}
PATHS["perfect"] = [path for path in FULL if path.startswith(("forward", "pre_post"))]
PATHS["wires in time"] = [path for path in settings_of(TorchInferenceRPUConfigIRDropT()) if path not in FULL]
PATHS["quantised"] = [path for path in settings_of(QuantizedTorchInferenceRPUConfig()) if path not in FULL]
PATHS["pulses"] = [path for path in settings_of(SingleRPUConfig()) if path.startswith(("device", "update"))]
PATHS["floating point"] = list(settings_of(FloatingPointRPUConfig()))


def at(config: Any, path: str) -> tuple[Any, str]:
    """Return the group of a setting, and the setting's own name."""
    owner, _, name = path.rpartition(".")
    return (attrgetter(owner)(config) if owner else config), name


def changed_to(config: Any, path: str, value: Any) -> Any:
    """Return what is taken over if one setting is changed."""
    other = copy.deepcopy(config)
    setattr(*at(other, path), value)
    return dp.from_aihwkit(other)


@pytest.mark.parametrize("kind", CONFIGS)
def test_every_setting_is_taken_over_or_listed(kind: str) -> None:
    """Changed from aihwkit's default, a setting is listed, or other numbers are taken over, or it is as here.

    aihwkit's default may differ from what is done here and be listed (iterative bound management). A value that is done
    here then takes it off the list, and nothing is left to say.
    """
    config, silent = CONFIGS[kind](), []
    plain = dp.from_aihwkit(config)
    for path in PATHS[kind]:
        group, name = at(config, path)
        usual = getattr(group, name) if kind != "hardware-aware" else getattr(*at(PLAIN, path))
        without = plain if usual == getattr(group, name) else changed_to(config, path, usual)
        for value in changed(usual):
            found = changed_to(config, path, value)
            listed = [one for one in names(found) if path == one or path.startswith(f"{one}.")]
            same = outcome(found) == outcome(without) and sorted(names(found)) == sorted(names(without))
            if not listed and same:
                silent.append(f"{path} = {value}")
    assert not silent


def test_there_are_many_settings_and_some_are_taken_over() -> None:
    assert len(FULL) > 120
    assert all(PATHS.values())
    assert {"forward.out_noise", "noise_model.drift_scale", "mapping.max_input_size"} <= set(FULL)


@pytest.mark.parametrize("config", [PCMPreset(), TikiTakaEcRamPreset(), SingleRPUConfig()])
def test_devices_that_are_trained_by_pulses_are_listed_with_what_to_do(config: Any) -> None:
    found = dp.from_aihwkit(config)
    assert found.device is None
    (text,) = (text for text in found.not_taken_over if text.startswith("device = "))
    assert "choose a device, and train with dp.train" in text


def test_what_a_user_adds_or_misspells_is_listed() -> None:
    config = InferenceRPUConfig()
    config.forward.out_nose = 5
    config.noise_modle = None
    config.noise_model.prog_noise_scal = 2.0
    config.modifier.std_deviation = 0.1
    assert {"forward.out_nose", "noise_modle", "noise_model.prog_noise_scal", "modifier.std_deviation"} <= set(
        names(dp.from_aihwkit(config))
    )


def test_an_unknown_compensation_is_listed_and_not_guessed() -> None:
    class Mine(BaseDriftCompensation):  # type: ignore[misc]
        pass

    config = InferenceRPUConfig(drift_compensation=Mine())
    found = dp.from_aihwkit(config)
    assert found.compensation is None
    assert "compensation" not in found.settings
    assert "drift_compensation" in names(found)
    config.drift_compensation = GlobalDriftCompensation()
    assert dp.from_aihwkit(config).settings["compensation"] == "tile"


def test_a_configuration_is_not_changed() -> None:
    config = noisy()
    before = str(config)
    dp.from_aihwkit(config)
    assert str(config) == before
