"""Every preset through every property: the declared law with its clipping, in µS, and the published table of noise.

Sampled moments are compared at |z| < 5.2 (false alarm 2e-7 each); about 250 comparisons, so 5e-5 in all.
"""

from __future__ import annotations

import math

import pytest
import torch

from devices import reference
from driftproof._chip import Chip
from driftproof._devices import program
from driftproof._errors import DriftproofError
from driftproof._mapping import Mapping, TileSize, map_weight
from driftproof._presets import DevicePreset, load_preset, preset_names
from driftproof.laws._drift import PowerDrift
from driftproof.laws._encoding import Conductances, OffsetEncoding
from driftproof.laws._programming import ExactProgramming, GaussianProgramming, UniformProgramming
from driftproof.plans import evaluate

NAMES = preset_names()
DEVICES = [name for name in NAMES if isinstance(load_preset(name).conductance, Conductances)]
WEIGHTS = [name for name in NAMES if name not in DEVICES]
LEVELS = (0.0, 0.1, 0.25, 0.5, 1.0)
Z, N, DAY = 5.2, 100_000, 86400.0


def declared(preset: DevicePreset, r: float, t_s: float = 0.0) -> tuple[float, float]:
    """Mean and standard deviation in µS that the preset's programming law declares, before clipping."""
    conductance, law = preset.conductance, preset.programming
    assert isinstance(conductance, Conductances)
    g = conductance.g_min_us + r * (conductance.g_max_us - conductance.g_min_us)
    assert preset.validity.g_us is not None
    mean, sigma = law.moments(torch.tensor([g]), preset.validity.g_us, t_s)
    return float(mean), float(sigma)


def sample(preset: DevicePreset, r: float, n: int = N) -> torch.Tensor:
    """Conductances in µS of n devices whose target is a share r of the range, as programming leaves them."""
    w = 2 * r - 1 if isinstance(preset.conductance, OffsetEncoding) else r
    array = program(preset, torch.full((1, n), w), seed=0, chip=0, layer="fc")
    return array.conductances(0.0, read_noise=False)[0].double()


@pytest.mark.parametrize("name", DEVICES)
@pytest.mark.parametrize("r", LEVELS)
def test_realised_programming_is_the_declared_law_with_its_clipping(name: str, r: float) -> None:
    preset = load_preset(name)
    g = sample(preset, r)
    mean, sd, fourth = reference.clipped_normal(*declared(preset, r))
    assert abs(float(g.mean()) - mean) < Z * sd / math.sqrt(N) + 1e-5
    assert abs(float(g.var()) - sd**2) < Z * math.sqrt(max(fourth - sd**4, 0.0) / N) + 1e-8


@pytest.mark.parametrize(
    ("name", "percent"),
    [
        ("pcm-nandakumar-2019", (1.05, 1.79, 2.73, 3.81, 4.31, 4.22)),
        ("pcm-joshi-2020", (1.15, 1.86, 2.76, 3.82, 4.32, 4.26)),
        ("pcm-hermes-2", (0.80, 2.69, 4.29, 4.79, 4.41, 5.28)),
        ("pcm-hermes-1", (1.52, 3.57, 5.94, 8.36, 9.42, 9.73)),
        ("reram-wan-2022", (0.87, 3.89, 5.65, 5.06, 3.83, 2.76)),
        ("reram-wan-2022-crosssim", (2.68, 4.62, 6.12, 6.06, 4.70, 4.28)),
        ("reram-milo-2021", (2.47, 2.38, 2.24, 2.02, 1.79, 1.56)),
        ("reram-cmo-2pct", (0.142, 0.255, 0.425, 0.707, 0.989, 1.271)),
        ("reram-cmo-02pct", (0.013, 0.024, 0.040, 0.067, 0.093, 0.120)),
        ("sonos-agrawal-2022", (0.0, 0.741, 1.114, 1.230, 1.242, 1.243)),
    ],
)
def test_the_published_table_of_programming_noise(name: str, percent: tuple[float, ...]) -> None:
    preset = load_preset(name)
    assert isinstance(preset.conductance, Conductances)
    span = preset.conductance.g_max_us - preset.conductance.g_min_us
    digits = 3 if max(percent) < 2 and "milo" not in name else 2
    for r, published in zip((0.0, 0.1, 0.25, 0.5, 0.75, 1.0), percent, strict=True):
        sigma = 100 * declared(preset, r, t_s=1.0 if name == "reram-wan-2022" else 0.0)[1] / span
        # one unit of the last digit: the table is rounded, and halves may go either way
        assert sigma == pytest.approx(published, abs=1.01 * 10**-digits / 2 + 1e-6), f"r = {r}"


def test_the_published_table_of_the_foundation_models_noise() -> None:
    preset = load_preset("pcm-foundation-2025")
    for r, published in zip(
        (0.0034, 0.1, 0.25, 0.5, 0.75, 1.0), (1.433, 3.102, 4.346, 4.686, 5.495, 10.67), strict=True
    ):
        error = program(preset, torch.full((1, N), r), seed=0, chip=0, layer="fc").net(0.0).double() - r
        tolerance = Z / math.sqrt(2 * N) + (0.06 if r < 0.01 else 0.001)
        assert 100 * float(error.std()) == pytest.approx(published, rel=tolerance)
    assert program(preset, torch.full((1, 9), 0.003), seed=0, chip=0, layer="fc").net(0.0).abs().max() == 0


@pytest.mark.parametrize("name", WEIGHTS)
@pytest.mark.parametrize("w", [-1.0, -0.3, 0.0, 0.5, 1.0])
def test_realised_error_of_the_net_weight(name: str, w: float) -> None:
    preset = load_preset(name)
    error = program(preset, torch.full((1, N), w), seed=0, chip=0, layer="fc").net(0.0).double() - w
    law = preset.programming
    if isinstance(law, GaussianProgramming):
        sd = law.sigma * (1.0 if law.relative_to == "largest" else abs(w))
        assert abs(float(error.mean())) <= Z * sd / math.sqrt(N) + 1e-7
        assert float(error.std()) == pytest.approx(sd, rel=Z / math.sqrt(2 * N), abs=1e-7)
    elif isinstance(law, UniformProgramming):
        assert float(error.abs().max()) <= law.half_width + 1e-6
        assert float(error.std()) == pytest.approx(law.half_width / math.sqrt(3), rel=Z / math.sqrt(2 * N))
    elif isinstance(law, ExactProgramming):
        step = 0 if preset.levels is None else 2 / (preset.levels.count - 1)
        assert float(error.abs().max()) <= step / 2 + 1e-6


@pytest.mark.parametrize("name", [n for n in DEVICES if isinstance(load_preset(n).drift, PowerDrift)])
def test_drift_slope_of_every_device_is_its_nu(name: str) -> None:
    preset = load_preset(name)
    target = torch.linspace(-1, 1, 4001).reshape(1, -1)
    array = program(preset, target, seed=0, chip=0, layer="fc")
    assert isinstance(preset.drift, PowerDrift)
    assert array.life is not None
    start = array.conductances(0.0, read_noise=False)
    for t_s in (3600.0, 31536000.0):
        for side, g in enumerate(array.conductances(t_s, read_noise=False)):
            alive = start[side][0] > 0.1
            slope = -(g[0] / start[side][0])[alive].log() / math.log((t_s + preset.drift.t0_s) / preset.drift.t0_s)
            torch.testing.assert_close(slope, array.life[side][alive], rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize("name", NAMES)
def test_one_chip_through_time_in_any_order(name: str) -> None:
    preset, target = load_preset(name), torch.rand(30, 40, generator=torch.Generator().manual_seed(2)) * 2 - 1
    one, other = (program(preset, target, seed=0, chip=0, layer="fc") for _ in range(2))
    forward = [one.net(t) for t in (0.0, 1.0, DAY)]
    backward = [other.net(t) for t in (DAY, 1.0, 0.0)][::-1]
    assert all(torch.equal(a, b) for a, b in zip(forward, backward, strict=True))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_awkward_weights(name: str, dtype: torch.dtype) -> None:
    weight = torch.randn(6, 4, 3, 3).to(dtype).contiguous(memory_format=torch.channels_last)
    weight[2] = 0  # a column without weights
    for given in (weight, torch.zeros(2, 3).to(dtype), torch.ones(1, 1).to(dtype), torch.randn(5, 7).to(dtype).T):
        mapping = Mapping(TileSize(), (), {"fc": map_weight("fc", given)})
        chip = Chip(mapping, load_preset(name), seed=0, chip=0)
        for t_s in (0.0, DAY, 3e8):
            effective = chip.weight("fc", t_s)
            assert effective.shape == given.shape
            assert bool(torch.isfinite(effective).all())
    if load_preset(name).conductance.encoding != "weight":
        mapping = Mapping(TileSize(), (), {"fc": map_weight("fc", weight)})
        assert float(Chip(mapping, load_preset(name), seed=0, chip=0).weight("fc", DAY)[2].abs().max()) == 0


@pytest.mark.parametrize("name", NAMES)
def test_times_out_of_validity_are_marked(name: str) -> None:
    preset = load_preset(name)
    low, high = preset.validity.t_s
    assert preset.in_validity(low)
    assert preset.in_validity(high)
    assert not preset.in_validity(high * 1.01)
    data = (torch.zeros(4, 3), torch.zeros(4).long())
    cells = evaluate(torch.nn.Linear(3, 2), data, presets=[name], times=[high, high * 2], chips=1).cells()
    marks = cells[cells["preset"] == name].sort_values("t_s")["in_validity"].tolist()
    assert marks == [True, False]
    evaluate(torch.nn.Linear(3, 2), data, presets=[name], times=[high], chips=1, strict=True).close()
    with pytest.raises(DriftproofError, match="within validity: preset"):
        evaluate(torch.nn.Linear(3, 2), data, presets=[name], times=[high * 2], chips=1, strict=True)
