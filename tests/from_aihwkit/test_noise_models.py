"""aihwkit's noise models as devices: their own numbers, device by device."""

from __future__ import annotations

import importlib
import math
from statistics import NormalDist
from typing import Any

import pytest
import torch
from torch import Tensor

import driftproof as dp
from driftproof._devices import program
from driftproof._from_aihwkit.noise_models import device_of
from driftproof._presets import DevicePreset

aihwkit: Any = pytest.importorskip("aihwkit.inference")
pcm: Any = importlib.import_module("aihwkit.inference.noise.pcm")
custom: Any = importlib.import_module("aihwkit.inference.noise.custom")
reram: Any = importlib.import_module("aihwkit.inference.noise.reram")
converters: Any = importlib.import_module("aihwkit.inference.converter.conductance")
pytestmark = pytest.mark.filterwarnings("ignore:.*__array_wrap__:DeprecationWarning")

N = 60_000
FAMILY_WISE = 1e-4
"""Chance of any false alarm in the comparison of all models, by Bonferroni's correction; seeds are fixed."""
R = (-1.0, -0.3, 0.0, 0.1, 0.5, 1.0)
DRIFT = {"g_lst": [0.0, 10.0, 25.0], "nu_mean_lst": [0.1, 0.08, 0.05], "nu_std_lst": [0.02, 0.01, 0.005]}

MODELS: dict[str, tuple[Any, str]] = {
    "PCM": (pcm.PCMLikeNoiseModel(), "pcm-nandakumar-2019"),
    "PCM, scaled": (
        pcm.PCMLikeNoiseModel(prog_noise_scale=1.2, read_noise_scale=0.5, drift_scale=1.5, t_0=30.0, t_read=1e-6),
        "pcm-nandakumar-2019 [t_0=30, t_read=1e-06, prog_noise_scale=1.2, read_noise_scale=0.5, drift_scale=1.5]",
    ),
    "PCM, 12.5 µS": (pcm.PCMLikeNoiseModel(g_max=12.5), "pcm-nandakumar-2019 [g_max=12.5]"),
    "PCM, own noise": (pcm.PCMLikeNoiseModel(prog_coeff=[0.5, 2.0]), "pcm-nandakumar-2019 [prog_coeff=[0.5, 2.0]]"),
    "PCM, g_min": (
        pcm.PCMLikeNoiseModel(g_converter=converters.SinglePairConductanceConverter(g_max=20.0, g_min=2.0)),
        "pcm-nandakumar-2019 [g_max=20, g_min=2]",
    ),
    "PCM, no drift, no read": (
        pcm.PCMLikeNoiseModel(drift_scale=0.0, read_noise_scale=0.0),
        "pcm-nandakumar-2019 [read_noise_scale=0, drift_scale=0]",
    ),
    "two pairs": (
        pcm.PCMLikeNoiseModel(g_converter=converters.DualPairConductanceConverter([1.0, 3.0])),
        "pcm-nandakumar-2019 [f_lst=[1.0, 3.0]]",
    ),
    "three pairs, largest first": (
        pcm.PCMLikeNoiseModel(g_converter=converters.NPairConductanceConverter([4.0, 2.0, 1.0])),
        "pcm-nandakumar-2019 [f_lst=[4.0, 2.0, 1.0]]",
    ),
    "own drift": (pcm.CustomDriftPCMLikeNoiseModel(DRIFT), ""),
    "Hermes 2": (aihwkit.HermesNoiseModel(), "pcm-hermes-2"),
    "Hermes 1": (aihwkit.HermesNoiseModel(num_devices=1, g_max=8.0), "pcm-hermes-1 [g_max=8]"),
    "state-independent": (custom.StateIndependentNoiseModel(), "aihwkit-state-independent"),
    "state-independent, own": (
        custom.StateIndependentNoiseModel(drift_nu_mean=0.06, read_noise_scale=0.3, prog_coeff=[0.3, 0.5, 0.1]),
        "aihwkit-state-independent [prog_coeff=[0.3, 0.5, 0.1], drift_nu_mean=0.06, read_noise_scale=0.3]",
    ),
    "Wan, 25 µS": (aihwkit.ReRamWan2022NoiseModel(noise_scale=0.5), "reram-wan-2022 [noise_scale=0.5, g_max=25]"),
    "Wan": (aihwkit.ReRamWan2022NoiseModel(g_max=40.0), "reram-wan-2022"),
    "CMO": (reram.ReRamCMONoiseModel(acceptance_range=2), "reram-cmo-2pct-digital-reference"),
    "CMO, default": (reram.ReRamCMONoiseModel(), "reram-cmo-02pct-digital-reference"),
}


def taken(model: Any) -> DevicePreset:
    device, left = device_of(model)
    assert not left
    assert device is not None
    return device


@pytest.mark.parametrize("kind", MODELS)
def test_devices_are_named_for_their_preset_and_their_numbers(kind: str) -> None:
    model, name = MODELS[kind]
    device = taken(model)
    if name:
        base, _, numbers = name.partition(" [")
        assert device.name.startswith(base)
        assert sorted(device.name.removeprefix(base)[2:-1].split(", ")) == sorted(numbers[:-1].split(", "))
    if "[" not in device.name and device.name in dp.preset_names():
        assert device == dp.load_preset(device.name)


def z_of(ours: Tensor, theirs: Tensor) -> list[float]:
    """Return z of the means and of the logarithms of the variances of each row."""
    found = []
    moments = []
    for sample in (ours.double(), theirs.double()):
        mean, variance = sample.mean(dim=1), sample.var(dim=1, correction=0)
        kurtosis = (sample - mean[:, None]).pow(4).mean(dim=1) / variance.square().clamp(min=1e-30)
        moments.append((mean, variance, (kurtosis - 1) / N))
    (a, va, ea), (b, vb, eb) = moments
    for row in range(len(a)):
        if max(float(va[row]), float(vb[row])) < 1e-12:  # exact devices
            found.append(0.0 if abs(float(a[row] - b[row])) < 1e-5 else math.inf)
            continue
        found.append(float((a - b)[row] / ((va + vb)[row] / N).sqrt()))
        found.append(float((va / vb).log()[row] / (ea + eb)[row].sqrt()))
    return found


def test_net_weights_have_the_mean_and_spread_of_the_noise_model() -> None:
    """Programmed, at an hour and at a day; with two samples of 60,000 a spread that is 4 % off is seen."""
    torch.manual_seed(0)
    found: list[tuple[float, str]] = []
    for kind, (model, _) in MODELS.items():
        device = taken(model)
        levels = [r for r in R if abs(r) < 0.9 or not kind.startswith("CMO")]  # aihwkit clamps CMO at its ends
        w = torch.tensor(levels)[:, None].expand(-1, N).contiguous()
        if kind.startswith("CMO"):  # its converter maps the smallest to the largest weight onto the whole range
            w = torch.cat([w, torch.full((1, N), -1.0), torch.full((1, N), 1.0)])
        ours = program(device, w, seed=1, chip=0, layer="fc")
        times = (1.0, 86400.0) if "Wan" in kind else (3600.0, 86400.0)
        for t_s in times:
            theirs, mine = model.apply_noise(w, t_s), ours.net(t_s)
            for number, z in enumerate(z_of(mine[: len(levels)], theirs[: len(levels)])):
                found.append((abs(z), f"{kind} at {t_s:g} s, number {number}: z = {z:+.1f}"))
    limit = NormalDist().inv_cdf(1 - FAMILY_WISE / len(found) / 2)
    wrong = [text for z, text in found if not z < limit]
    assert not wrong, f"{len(wrong)} of {len(found)} beyond {limit:.2f}: {wrong}"
    assert len(found) > 300


class Mine(pcm.PCMLikeNoiseModel):  # type: ignore[misc]
    """A user's noise model, which may compute anything."""


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (Mine(), "derived from PCMLikeNoiseModel"),
        (pcm.PCMLikeNoiseModel(g_converter=converters.NPairConductanceConverter([1.0, 4.0, 3.0])), "sort the list"),
        (pcm.PCMLikeNoiseModel(prog_coeff=[1.0, 2.0], prog_coeff_g_max_reference=3.0), "without a reference"),
        (pcm.PCMLikeNoiseModel(drift_scale=-1.0), "no device has these numbers"),
        (
            pcm.PCMLikeNoiseModel(
                g_converter=converters.CustomPairConductanceConverter([1.0], [[0.0, 0.0, 25.0], [25.0, 0.0, 0.0]])
            ),
            "no counterpart",
        ),
    ],
)
def test_what_has_no_device_is_listed_with_the_reason(model: Any, reason: str) -> None:
    device, left = device_of(model)
    assert device is None
    assert len(left) == 1
    assert left[0].startswith("noise_model = ")
    assert reason in left[0]


def test_numbers_that_are_none_are_said() -> None:
    for name, value in (("prog_coeff", ["x"]), ("g_max", "wide"), ("t_0", None), ("g_max", 0.0)):
        model = pcm.PCMLikeNoiseModel()
        setattr(model, name, value)
        device, left = device_of(model)
        assert device is None
        assert "cannot be read" in left[0] or "no device has these numbers" in left[0]


def test_a_noise_model_alone_gives_the_device() -> None:
    found = dp.from_aihwkit(pcm.PCMLikeNoiseModel(prog_noise_scale=1.2))
    assert found.device is not None
    assert found.device.name == "pcm-nandakumar-2019 [prog_noise_scale=1.2]"
    assert found.settings == {}
    wrong = pcm.PCMLikeNoiseModel()
    wrong.prog_noise_scal = 2.0
    assert dp.from_aihwkit(wrong).not_taken_over == (
        "noise_model.prog_noise_scal = 2.0: aihwkit's noise model does not read it",
    )
