"""An evaluation of what was taken over agrees with aihwkit's own inference of the same network."""

from __future__ import annotations

import statistics
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest
import torch
from aihwkit.inference import PCMLikeNoiseModel
from aihwkit.nn.conversion import convert_to_analog
from aihwkit.simulator.configs import TorchInferenceRPUConfig
from aihwkit.simulator.parameters.enums import BoundManagementType, NoiseManagementType
from torch import nn

import driftproof as dp
from driftproof.data import digits
from driftproof.zoo import trained_digits_cnn

CHIPS = 12
TIMES = (1.0, 1e6)
FAMILY_WISE = 1e-4
"""Chance of a false alarm of the file if both programs compute the same. Seeds are fixed: a run repeats."""


def analog_of(network: nn.Module) -> Any:
    """Return the network on aihwkit's tiles with a loud device, 8-bit converters, and input ranges as if learned."""
    config = TorchInferenceRPUConfig()
    config.noise_model = PCMLikeNoiseModel(prog_noise_scale=3.0, drift_scale=1.5)
    config.mapping.weight_scaling_omega, config.mapping.weight_scaling_columnwise = 1.0, True
    config.mapping.max_input_size = 128
    config.forward.inp_res = config.forward.out_res = 1 / 254
    config.forward.out_bound, config.forward.out_noise = 10.0, 0.04
    config.forward.bound_management = BoundManagementType.NONE
    config.forward.noise_management = NoiseManagementType.NONE
    config.pre_post.input_range.enable = True
    analog = convert_to_analog(network, config).eval()
    for number, tile in enumerate(analog.analog_tiles()):
        tile.set_input_range(2.0 + 0.5 * number)
    return analog


@pytest.fixture(scope="module")
def compared() -> dict[str, dict[float, list[float]]]:
    """Return ln of the mean squared error of each chip's logits: by aihwkit, by driftproof, by a wrong device."""
    network, data = trained_digits_cnn(), digits().head(200)
    x: Any = data.inputs
    analog = analog_of(network)
    found = dp.from_aihwkit(analog)
    (left,) = found.not_taken_over
    assert left.startswith(
        "drift_compensation = GlobalDriftCompensation(): aihwkit measures its factor by single reads"
    )
    with torch.no_grad():
        clean = network(x)
        theirs: dict[float, list[float]] = {t_s: [] for t_s in TIMES}
        torch.manual_seed(0)
        for _ in range(CHIPS):
            analog.program_analog_weights()
            for t_s in TIMES:
                analog.drift_analog_weights(t_s)
                theirs[t_s].append(float((analog(x) - clean).square().mean().log()))
    assert found.network is not None
    assert found.device is not None
    devices: dict[str, Any] = {"driftproof": found.device, "preset": "pcm-nandakumar-2019"}
    logs = {"aihwkit": theirs}
    for name, device in devices.items():
        record = dp.evaluate(
            found.network,
            (x, clean),
            presets=device,
            times=TIMES,
            chips=CHIPS,
            metric="mse",
            progress=False,
            **found.settings,
        )
        cells = record.cells()
        cells = cells[~cells["preset"].isin(["digital", "ideal-analog"])]
        logs[name] = {t_s: list(np.log(cells[cells["t_s"] == t_s]["value"])) for t_s in TIMES}
    return logs


def z_of(one: list[float], other: list[float]) -> float:
    assert len(one) == len(other) == CHIPS
    variance = (statistics.variance(one) + statistics.variance(other)) / CHIPS
    return float((statistics.mean(one) - statistics.mean(other)) / variance**0.5)


LIMIT = NormalDist().inv_cdf(1 - FAMILY_WISE / len(TIMES) / 2)


@pytest.mark.parametrize("t_s", TIMES)
def test_errors_of_the_logits_agree_with_aihwkits_inference(
    compared: dict[str, dict[float, list[float]]], t_s: float
) -> None:
    assert abs(z_of(compared["aihwkit"][t_s], compared["driftproof"][t_s])) < LIMIT


@pytest.mark.parametrize("t_s", TIMES)
def test_the_test_sees_a_device_without_the_noise_models_numbers(
    compared: dict[str, dict[float, list[float]]], t_s: float
) -> None:
    assert abs(z_of(compared["aihwkit"][t_s], compared["preset"][t_s])) > 2 * LIMIT
