"""Devices of one layer of one chip: the declared law, by name and in µS; one chip through time; keys of randomness."""

from __future__ import annotations

import math

import pytest
import torch

from devices import reference
from devices.papers import wan
from driftproof._devices import ProgrammedArray, canonical_name, program
from driftproof._presets import DevicePreset, load_preset, preset_names
from driftproof.laws._encoding import Conductances
from driftproof.laws._programming import PolynomialInTime, PolynomialProgramming

PCM, WAN = load_preset("pcm-nandakumar-2019"), load_preset("reram-wan-2022")
LEVELS = (0.0, 0.1, 0.25, 0.5, 1.0)
# Sampled moments are compared at |z| < 5.2: false alarm 2e-7 each; fewer than 100 comparisons here, 2e-5 in all
Z = 5.2
N = 200_000


def array(
    preset: DevicePreset, target: torch.Tensor, chip: int = 0, layer: str = "fc", seed: int = 0
) -> ProgrammedArray:
    return program(preset, target, seed=seed, chip=chip, layer=layer)


def assert_moments(sample: torch.Tensor, mean: float, sd: float, fourth: float) -> None:
    sample = sample.double()
    n = sample.numel()
    assert abs(float(sample.mean()) - mean) < Z * sd / math.sqrt(n)
    variance_error = math.sqrt(max(fourth - sd**4, 0.0) / n)
    assert abs(float(sample.var()) - sd**2) < Z * variance_error + 1e-12


@pytest.mark.parametrize("r", LEVELS)
def test_programming_mean_and_sigma_match_the_pcm_law_with_its_clipping(r: float) -> None:
    plus, minus = array(PCM, torch.full((1, N), r)).conductances(0.0, read_noise=False)
    sigma = 0.26348 + 1.9650 * r - 1.1731 * r**2
    assert_moments(plus, *reference.clipped_normal(25 * r, sigma))
    # the device that holds zero is programmed too: declared 0.263 µS, realised 0.154 µS with mean 0.105 µS
    assert_moments(minus, *reference.clipped_normal(0.0, 0.26348))


def test_the_device_at_zero_has_the_published_realised_spread() -> None:
    _, minus = array(PCM, torch.ones(1, N)).conductances(0.0, read_noise=False)
    assert float(minus.std()) == pytest.approx(0.154, abs=0.001)
    assert float(minus.mean()) == pytest.approx(0.105, abs=0.001)


@pytest.mark.parametrize("r", LEVELS)
@pytest.mark.parametrize("t_s", [1.0, 3600.0, 86400.0, 172800.0, 1e7])
def test_wan_spread_at_every_time_matches_the_law_with_its_clipping(r: float, t_s: float) -> None:
    plus, _ = array(WAN, torch.full((1, N), r)).conductances(t_s)
    assert_moments(plus, *reference.clipped_normal(40 * r, wan.sigma_us(r, t_s)))


@pytest.mark.parametrize(
    ("preset", "t_s", "percent"),
    [
        (PCM, 0.0, (1.05, 1.79, 2.73, 3.81, 4.31, 4.22)),
        (WAN, 1.0, (0.87, 3.89, 5.65, 5.06, 3.83, 2.76)),
        (WAN, 86400.0, (None, None, None, 9.77, None, None)),
        (WAN, 172800.0, (None, None, None, 9.82, None, None)),
    ],
)
def test_declared_programming_noise_is_the_published_table(
    preset: DevicePreset, t_s: float, percent: tuple[float | None, ...]
) -> None:
    assert isinstance(preset.conductance, Conductances)
    assert isinstance(preset.programming, PolynomialProgramming | PolynomialInTime)
    assert preset.validity.g_us is not None
    target = torch.tensor([0.0, 0.1, 0.25, 0.5, 0.75, 1.0]) * preset.conductance.g_max_us
    sigma = 100 * preset.programming.moments(target, preset.validity.g_us, t_s)[1] / preset.conductance.g_max_us
    for declared, published in zip(sigma.tolist(), percent, strict=True):
        if published is not None:
            assert round(declared, 2) == pytest.approx(published, abs=0.0051)


def test_drift_slope_of_every_device_is_its_nu() -> None:
    target = torch.rand(40, 50, generator=torch.Generator().manual_seed(1)) * 2 - 1
    devices = array(PCM, target)
    start = devices.conductances(0.0, read_noise=False)[0].view(-1)
    alive = start > 0.1
    assert devices.life is not None
    for t_s in (60.0, 86400.0, 31536000.0):
        g = devices.conductances(t_s, read_noise=False)[0].view(-1)
        slope = -(g[alive] / start[alive]).log() / math.log((t_s + 20) / 20)
        torch.testing.assert_close(slope, devices.life[0][alive], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("r", [0.05, 0.3, 1.0])
def test_nu_has_the_declared_mean_and_spread(r: float) -> None:
    life = array(PCM, torch.full((1, N), r)).life
    assert life is not None
    nu = life[0].double()
    mean = min(max(-0.0155 * math.log(r) + 0.0244, 0.049), 0.1)
    sd = min(max(-0.0125 * math.log(r) - 0.0059, 0.008), 0.045)
    # |x| of a normal number whose mean is 2 sd or more away from zero: folding moves both by less than 2 %
    assert float(nu.mean()) == pytest.approx(mean, rel=0.02)
    assert float(nu.std()) == pytest.approx(sd, rel=0.06)


@pytest.mark.parametrize("t_s", [1.0, 31536000.0])
def test_read_noise_has_the_declared_spread(t_s: float) -> None:
    devices = array(PCM, torch.full((1, N), 0.8))
    quiet = devices.conductances(t_s, read_noise=False)[0]
    error = (devices.conductances(t_s)[0] / quiet - 1).double()
    start = devices.conductances(0.0, read_noise=False)[0].double()
    root = math.sqrt(math.log((t_s + 20 + 250e-9) / 500e-9))
    wanted = (0.0088 / (start / 25) ** 0.65 * root).square().mean().sqrt()
    assert float(error.std()) == pytest.approx(float(wanted), rel=Z / math.sqrt(2 * N))
    assert abs(float(error.mean())) < Z * float(wanted) / math.sqrt(N)


def test_gaussian_error_is_the_declared_share_of_the_columns_maximum() -> None:
    target = torch.full((1, N), 0.3)
    error = (array(load_preset("gaussian:0.07"), target).net(1.0) - target).double()
    assert_moments(error, 0.0, 0.07, 3 * 0.07**4)


def test_ideal_is_exact() -> None:
    target = torch.rand(7, 9) * 2 - 1
    assert torch.equal(array(load_preset("ideal"), target).net(1e9), target)


def test_read_noise_is_new_at_every_time_and_the_same_at_one_time() -> None:
    devices = array(PCM, torch.rand(20, 20))
    late = devices.net(86400.0)
    devices.net(1.0)
    assert torch.equal(devices.net(86400.0), late)
    quiet = devices.conductances(86400.0, read_noise=False)[0], devices.conductances(86401.0, read_noise=False)[0]
    noise = (
        (devices.conductances(86400.0)[0] / quiet[0]).nan_to_num(),
        (devices.conductances(86401.0)[0] / quiet[1]).nan_to_num(),
    )
    assert not torch.allclose(noise[0], noise[1], atol=1e-4)


@pytest.mark.parametrize("name", [*preset_names(), "gaussian:0.2"])
def test_one_chip_through_time_and_net_is_the_difference_of_the_pair(name: str) -> None:
    preset = load_preset(name)
    target = torch.rand(30, 40, generator=torch.Generator().manual_seed(2)) * 2 - 1
    devices, again = array(preset, target), array(preset, target)
    forward = [devices.net(t) for t in (1.0, 3600.0, 86400.0)]
    backward = [again.net(t) for t in (86400.0, 3600.0, 1.0)][::-1]
    assert all(torch.equal(a, b) for a, b in zip(forward, backward, strict=True))
    if preset.conductance.encoding == "pair":
        plus, minus = devices.conductances(3600.0)
        g_min, g_max = preset.conductance.ends
        torch.testing.assert_close(forward[1], (plus - minus) / (g_max - g_min))
    elif preset.conductance.encoding == "weight":
        with pytest.raises(ValueError, match="no conductances"):
            devices.conductances(1.0)


@pytest.mark.parametrize("name", [name for name in preset_names() if name not in ("ideal", "levels")])
def test_chips_layers_and_seeds_are_independent(name: str) -> None:
    target, preset = torch.full((1, 50_000), 0.5), load_preset(name)
    base = array(preset, target).net(1.0).view(-1)
    others = [
        array(preset, target, chip=1),
        array(preset, target, layer="other"),
        array(preset, target, seed=1),
    ]
    for other in others:
        net = other.net(1.0).view(-1)
        assert not torch.equal(net, base)
        correlation = float(torch.corrcoef(torch.stack([net, base]))[0, 1])
        assert abs(correlation) < Z / math.sqrt(50_000)
    assert torch.equal(array(preset, target).net(1.0).view(-1), base)


def test_the_two_devices_of_a_pair_are_independent() -> None:
    plus, minus = array(PCM, torch.zeros(1, N)).conductances(1.0)
    assert abs(float(torch.corrcoef(torch.cat([plus, minus]))[0, 1])) < Z / math.sqrt(N)


def test_presets_share_their_numbers() -> None:
    target = torch.full((1, 1000), 0.5)
    xi, same, g = (array(preset, target).first for preset in (WAN, load_preset("gaussian:1"), PCM))
    assert xi is not None
    assert same is not None
    assert g is not None
    xi, same, g = xi[0], same[0], g[0]
    assert torch.equal(same, xi)
    torch.testing.assert_close((g - 12.5) / (0.26348 + 1.9650 / 2 - 1.1731 / 4), xi, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", preset_names())
def test_conductances_do_not_depend_on_the_number_of_threads(name: str) -> None:
    # larger than several blocks, and not a multiple of any vector length: torch would split it unevenly
    target = torch.rand(7, 20_011, generator=torch.Generator().manual_seed(3)) * 2 - 1
    before, nets = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            devices = array(load_preset(name), target)
            nets.append([devices.net(t) for t in (0.0, 86400.0, 31536000.0)])
    finally:
        torch.set_num_threads(before)
    for other in nets[1:]:
        assert all(torch.equal(a, b) for a, b in zip(nets[0], other, strict=True))


@pytest.mark.parametrize("name", preset_names())
@pytest.mark.parametrize("target", [torch.zeros(1, 1), torch.ones(1, 1), -torch.ones(3, 1), torch.zeros(2, 0)])
def test_corner_cases_stay_finite(name: str, target: torch.Tensor) -> None:
    devices = array(load_preset(name), target)
    for t_s in (0.0, 1.0, 3e8):
        net = devices.net(t_s)
        assert net.shape == target.shape
        assert bool(torch.isfinite(net).all())


@pytest.mark.parametrize(
    "target", [torch.full((1, 2), 1.1), torch.tensor([[float("nan")]]), torch.ones(2, 2).double(), torch.ones(4, 2).T]
)
def test_a_wrong_target_is_refused(target: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="target"):
        array(PCM, target)


def test_canonical_names() -> None:
    assert canonical_name("module.layer1.0.conv1") == "layer1.0.conv1"
    assert canonical_name("_orig_mod.module.fc") == "fc"
    assert canonical_name("modules.fc") == "modules.fc"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU")
@pytest.mark.parametrize("name", preset_names())
def test_cuda_draws_the_same_law(name: str) -> None:
    preset, target = load_preset(name), torch.full((4, 50_000), 0.5)
    host, device = array(preset, target).net(86400.0), array(preset, target.cuda()).net(86400.0).cpu()
    again = array(preset, target.cuda()).net(86400.0).cpu()
    assert torch.equal(device, again)
    spread = float(host.std())
    assert float(device.mean()) == pytest.approx(float(host.mean()), abs=Z * spread * math.sqrt(2 / 200_000) + 1e-7)
    assert float(device.std()) == pytest.approx(spread, rel=0.03, abs=1e-7)
