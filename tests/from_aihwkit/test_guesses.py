"""What users of aihwkit try first works, or is answered in a short message with the way."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from aihwkit.inference import GlobalDriftCompensation, PCMLikeNoiseModel
from aihwkit.nn.conversion import convert_to_analog
from aihwkit.simulator.configs import InferenceRPUConfig, TorchInferenceRPUConfig
from torch import nn

import driftproof as dp
from driftproof import DriftproofError
from driftproof.evaluation import Deployment
from driftproof.periphery import load_periphery

DATA = torch.zeros(4, 300), torch.zeros(4, dtype=torch.long)


def net() -> nn.Linear:
    return nn.Linear(300, 10)


def evaluate(**given: Any) -> Any:
    return dp.evaluate(net(), DATA, times="1s", chips=1, progress=False, **{"presets": "ideal"} | given)


load_any: Any = dp.load_device
convert_any: Any = dp.convert
preset_any: Any = dp.load_preset
rwp_any: Any = dp.RWP
GUESSES: dict[str, tuple[Callable[[], Any], str]] = {
    "presets": (lambda: evaluate(presets=[PCMLikeNoiseModel()]), "a PCMLikeNoiseModel came; .*device$"),
    "one preset": (lambda: evaluate(presets=PCMLikeNoiseModel()), "a PCMLikeNoiseModel came; .*device$"),
    "preset": (lambda: evaluate(presets=InferenceRPUConfig()), "a InferenceRPUConfig came; .*device$"),
    "load_device": (lambda: load_any(PCMLikeNoiseModel()), "a PCMLikeNoiseModel came; .*device$"),
    "convert": (lambda: convert_any(net(), TorchInferenceRPUConfig()), "a TorchInferenceRPUConfig came; .*device$"),
    "deployment": (lambda: Deployment(device=PCMLikeNoiseModel()), "a PCMLikeNoiseModel came; .*device$"),
    "load_preset": (lambda: preset_any(InferenceRPUConfig()), "a InferenceRPUConfig came; .*device$"),
    "compensation": (
        lambda: evaluate(compensation=GlobalDriftCompensation()),
        "a GlobalDriftCompensation came; .*compensation$",
    ),
    "noise": (lambda: rwp_any(noise=InferenceRPUConfig().modifier), "WeightModifierParameter; .*noise$"),
    "periphery": (lambda: evaluate(periphery=InferenceRPUConfig()), "a InferenceRPUConfig came; .*periphery$"),
    "load_periphery": (lambda: load_periphery(InferenceRPUConfig()), "a InferenceRPUConfig came; .*periphery$"),
}


@pytest.mark.parametrize("guess", GUESSES)
def test_objects_of_aihwkit_are_answered_with_the_way(guess: str) -> None:
    call, message = GUESSES[guess]
    with pytest.raises(DriftproofError, match=r"it is aihwkit's: give driftproof\.from_aihwkit\(…\)") as error:
        call()
    assert error.match(message)
    assert len(str(error.value)) < 250


@pytest.mark.parametrize("thing", [5, 0.1, object()])
def test_other_things_are_no_devices(thing: Any) -> None:
    with pytest.raises(DriftproofError, match=r"came; wanted a name such as pcm-nandakumar-2019, a file, or a device$"):
        load_any(thing)


def test_a_device_that_is_none_is_explained() -> None:
    """A noise model of a user's own has no device here, and ``presets=found.device`` is what the page writes."""

    class Mine(PCMLikeNoiseModel):  # type: ignore[misc]  # aihwkit has no types
        pass

    found = dp.from_aihwkit(InferenceRPUConfig(noise_model=Mine()))
    assert found.device is None
    assert any("or fit one to measurements" in text for text in found.not_taken_over)
    assert "or a device of your own: there is none for the noise model" in str(found)
    calls: list[Callable[[], object]] = [lambda: evaluate(presets=found.device), lambda: load_any(None)]
    for call in calls:
        with pytest.raises(
            DriftproofError, match=r"device is None where no device has .*name a preset, or fit or write"
        ):
            call()


@pytest.mark.parametrize("tile", [256, "256x256", dp.TileSize(256, 256)])
def test_tiles_are_numbers_texts_or_sizes(tile: Any) -> None:
    assert dp.map_model(net(), tile=tile).layers[0].tiles == 2
    assert dp.convert(net(), "ideal", tile=tile).layers[0].tiles == 2
    assert dp.MappingOptions(tile=tile).tile == dp.TileSize(256, 256)
    assert len(evaluate(tile=tile).cells()) == 3


@pytest.mark.parametrize("tile", [0, 0.5, (256, 256), True, "256"])
def test_other_tiles_are_refused(tile: Any) -> None:
    with pytest.raises(DriftproofError, match="tile"):
        dp.map_model(net(), tile=tile)


def test_messages_name_from_aihwkit(tmp_path: Path) -> None:
    analog = convert_to_analog(net(), InferenceRPUConfig())
    with pytest.raises(DriftproofError, match=r"driftproof\.from_aihwkit\(network\)\.network"):
        dp.convert(analog, "ideal")
    torch.save(analog.state_dict(), tmp_path / "aihwkit_sd.pt")
    from driftproof.zoo._weights import load_weights

    with pytest.raises(DriftproofError, match=r"from_aihwkit\(FILE, network\).*save_weights\(found\.network"):
        load_weights(net(), tmp_path / "aihwkit_sd.pt")


def test_what_was_found_reads_well() -> None:
    config = InferenceRPUConfig(noise_model=PCMLikeNoiseModel(prog_noise_scale=1.2))
    found = dp.from_aihwkit(config)
    text = repr(found)
    assert str(found) == text
    assert "noise_model         device pcm-nandakumar-2019 [prog_noise_scale=1.2]" in text
    assert "record = dp.evaluate(network, data, presets=found.device, **found.settings)" in text
    html = found._repr_html_()
    assert html.count("<tr>") == 2 + len(found.taken_over) + len(found.not_taken_over)
    assert "found.settings" in html
    assert "<td>forward.bound_management</td>" in html
    config.noise_model.prog_coeff = ["<script>"]
    assert "<script>" not in dp.from_aihwkit(config)._repr_html_()


def test_training_settings_make_a_new_method_each_time() -> None:
    from aihwkit.simulator.parameters.enums import WeightClipType, WeightModifierType

    config = InferenceRPUConfig()
    assert dp.from_aihwkit(config).training == {}
    config.clip.type, config.clip.sigma = WeightClipType.LAYER_GAUSSIAN, 3.0
    found = dp.from_aihwkit(config)
    assert str(found.clip) == "3 sigma of the layer"
    assert type(found.training["method"]) is dp.Plain
    config.modifier.type, config.modifier.std_dev = WeightModifierType.ADD_NORMAL, 0.1
    found = dp.from_aihwkit(config)
    assert found.noise == "gaussian-layer:0.1"
    config.mapping.weight_scaling_omega, config.mapping.weight_scaling_columnwise = 1.0, True
    assert dp.from_aihwkit(config).noise == "gaussian:0.1"
    config.modifier.rel_to_actual_wmax, config.modifier.assumed_wmax = False, 0.5
    assert dp.from_aihwkit(config).noise == "gaussian:0.05"
    config.modifier.type = WeightModifierType.MULT_NORMAL
    assert dp.from_aihwkit(config).noise is None
    config.modifier.rel_to_actual_wmax = True
    found = dp.from_aihwkit(config)
    assert found.noise == "gaussian-multiplicative:0.1"
    one, other = found.training["method"], found.training["method"]
    assert type(one) is dp.RWP
    assert one is not other
    assert one.clip == dp.ClipWeights(sigmas=3.0, per="layer")
    config.modifier.enable_during_test = True
    assert dp.from_aihwkit(config).noise is None
