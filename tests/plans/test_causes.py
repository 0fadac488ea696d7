"""The drop by cause: one law after the other, on the same chips, ending with the device itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from driftproof._chip import Chip
from driftproof._errors import DriftproofError
from driftproof._mapping import MappingOptions, map_model
from driftproof._presets import DevicePreset, load_mix, load_preset, preset_names
from driftproof.data import digits
from driftproof.evaluation import Deployment, Evaluator, Trial
from driftproof.measured import load_measured, save_conductances
from driftproof.periphery import load_periphery
from driftproof.plans import causes
from driftproof.plans._causes import CAUSES, Causes, devices_by_cause
from driftproof.zoo import trained_digits_cnn
from plans.tensors import images

SOME = digits().head(150)
MODEL = trained_digits_cnn()
MAPPING = map_model(MODEL, example=images(SOME)[:1])
EVALUATOR = Evaluator(MODEL, SOME)


def asked(device: Any, t: str, chips: int, **conditions: Any) -> Causes:
    return causes(EVALUATOR, Deployment(device=device, **conditions), t, chips=chips)


def on_chips(device: str, t_s: float, chips: int) -> tuple[float, ...]:
    return tuple(EVALUATOR(Trial(Deployment(device=device), chip, t_s)).value for chip in range(chips))


@pytest.mark.parametrize("name", preset_names())
def test_with_all_causes_on_the_chips_are_those_of_the_preset_itself(name: str) -> None:
    preset = load_preset(name)
    variants = devices_by_cause(preset)
    assert tuple(variants) == CAUSES
    # made again from its definition, so that this does not rest on being the same object
    again = DevicePreset.model_validate(variants["faults"].definition())
    assert again.sha256 == preset.sha256
    for number in range(2):
        of_variant, of_preset = (Chip(MAPPING, device, seed=0, chip=number) for device in (again, preset))
        for t_s in (preset.validity.t_s[0], preset.validity.t_s[1]):
            for layer in MAPPING.weights:
                assert torch.equal(of_variant.weight(layer, t_s), of_preset.weight(layer, t_s))


@pytest.mark.parametrize("name", preset_names())
def test_mapping_alone_leaves_the_weights_as_they_are(name: str) -> None:
    chip = Chip(MAPPING, devices_by_cause(load_preset(name))["mapping and periphery"], seed=0, chip=0)
    for layer in MAPPING.weights:
        own = MODEL.get_parameter(f"{layer}.weight").detach()
        torch.testing.assert_close(chip.weight(layer, 86_400.0), own, atol=1e-5 * float(own.abs().max()), rtol=1e-4)


def test_the_drops_add_up_on_every_chip() -> None:
    preset = load_preset("pcm-hermes-1")
    faulty = DevicePreset.model_validate(preset.model_dump() | {"stuck": {"at_g_max": 0.02}})
    found = asked(faulty, "1y", chips=4)
    for chip in range(4):
        parts = sum(cause.drop.values[chip] for cause in found.causes)
        assert parts == pytest.approx(found.total.values[chip], abs=1e-9)
    assert found.total.mean > 1
    assert found.causes[-1].name == "faults"
    assert found.causes[-1].drop.mean > 0.5
    table = found.table()
    assert list(table["cause"]) == [*CAUSES, "all"]
    assert table["drop"][:-1].sum() == pytest.approx(table["drop"].iloc[-1])


def test_the_last_value_is_that_of_the_preset() -> None:
    found = asked("pcm-hermes-1", "1y", chips=3)
    assert found.causes[-1].values.values == on_chips("pcm-hermes-1", 31_536_000.0, 3)


def test_a_law_that_a_preset_does_not_have_costs_nothing() -> None:
    found = {cause.name: cause.drop.values for cause in asked("gaussian:0.5", "1d", chips=3).causes}
    assert sum(found["programming"]) > 3
    for name in ("mapping and periphery", "drift", "read noise", "faults"):
        assert found[name] == (0.0, 0.0, 0.0)


def test_of_a_table_in_time_programming_is_what_the_preset_does_at_its_earliest_time() -> None:
    at_first, at_last = (on_chips("reram-wan-2022", t_s, 4) for t_s in (1.0, 172_800.0))
    found = {cause.name: cause for cause in asked("reram-wan-2022", "2d", chips=4).causes}
    assert found["programming"].values.values == at_first
    assert found["drift"].values.values == at_last
    assert at_first != at_last


def test_finite_levels_are_programming() -> None:
    found = {cause.name: cause.drop.mean for cause in asked("levels:3", "1s", chips=1).causes}
    assert found["mapping and periphery"] == 0
    assert found["programming"] > 0.5


def test_a_mix_is_taken_apart_device_by_device() -> None:
    found = asked(load_mix("gaussian:0.3,fc1=reram-wan-2022"), "1d", chips=2)
    assert found.setting.device == "gaussian:0.3,fc1=reram-wan-2022"
    assert found.causes[1].drop.mean != 0


def test_measured_chips_cannot_be_taken_apart(tmp_path: Path) -> None:
    save_conductances(Chip(MAPPING, load_preset("pcm-nandakumar-2019"), seed=0, chip=0), tmp_path, "1s,1d", name="mine")
    with pytest.raises(DriftproofError, match="cannot be taken apart into causes"):
        asked(load_measured(tmp_path), "1s", chips=1)


def test_clipped_weights_are_mapping() -> None:
    clipped = MappingOptions(clip=40.0)
    found = {cause.name: cause.drop.mean for cause in asked("ideal", "1s", chips=1, mapping=clipped).causes}
    assert found.pop("mapping and periphery") > 5
    assert set(found.values()) == {0.0}


def test_converters_are_periphery() -> None:
    rough = load_periphery("standard").with_changes(adc_bits=2, dac_bits=2)
    calibration = digits("train").head(100)
    found = asked("pcm-nandakumar-2019", "1y", chips=2, periphery=rough, calibration=calibration)
    assert found.causes[0].drop.mean > 5
    assert found.setting.periphery == str(rough)
