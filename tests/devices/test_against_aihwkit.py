"""The device laws against IBM aihwkit's noise models, where the two should agree: equal means, equal spreads.

Both programs draw N devices at every level. Each quantity is compared by a Welch test of the means and by one of the
logarithms of the variances, whose standard error follows from the sample's own fourth moment (clipping at zero leaves
no normal law). The tests are two-sided; Bonferroni's correction keeps the chance of any false alarm in this file below
FAMILY_WISE = 1e-4 (as one rejection fails the file, Holm's correction would decide the same): |z| below about 5.4.

Power at N = 400,000: the ratio of two spreads has a standard error of 0.16 % (near-normal laws), the difference of
two means 0.22 % of the spread. So each comparison sees a spread that is 1.5 % off with a probability above 99.9 %, one
that is 1 % off with 81 %, and a mean that is off by 1.5 % of the spread (0.06 % of g_max) with 90 %. Seeds are fixed:
a run repeats, and a failure is no accident.

The methods of aihwkit for conductances are called, device by device; its ``apply_noise`` gives net weights, for it
keeps both devices of a pair. (The path that its tiles take does not: see ``test_aihwkit_defects.py``.)
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Iterator
from statistics import NormalDist
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor

from driftproof._devices import ProgrammedArray, program
from driftproof._presets import DevicePreset, load_preset
from driftproof.laws._curve import curve_values
from driftproof.laws._drift import LogRelaxation, PowerDrift
from driftproof.laws._encoding import OffsetEncoding, PairEncoding
from driftproof.laws._programming import PolynomialInTime, PolynomialProgramming
from driftproof.laws._read import LogConductanceRead, OneOverFRead

aihwkit: Any = pytest.importorskip("aihwkit.inference")
reram: Any = importlib.import_module("aihwkit.inference.noise.reram")

N = 400_000
FAMILY_WISE, TESTS = 1e-4, 7  # one test per preset and one of two pairs; each gets a seventh
HOUR, DAY, YEAR = 3600.0, 86400.0, 31_536_000.0
LEVELS: tuple[float, ...] = (0.0, 0.1, 0.25, 0.5, 0.75, 1.0)
# aihwkit clamps the CMO devices that it reads to 9 to 88.2 µS, driftproof at 0 (row 3e of docs/aihwkit.md). A tenth of
# the range from either end the clamp is 6 standard deviations away or more: drifted conductances are compared inside.
CMO_LEVELS: tuple[float, ...] = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0)
INSIDE = slice(1, -1)

PCM = {
    "pcm-nandakumar-2019": lambda **scale: aihwkit.PCMLikeNoiseModel(**scale),
    "pcm-hermes-1": lambda **scale: aihwkit.HermesNoiseModel(num_devices=1, **scale),
    "pcm-hermes-2": lambda **scale: aihwkit.HermesNoiseModel(num_devices=2, **scale),
}
pytestmark = pytest.mark.filterwarnings("ignore:.*__array_wrap__:DeprecationWarning")  # numpy functions on tensors
CMO = {"reram-cmo-2pct": 2, "reram-cmo-02pct": 0.2}  # keys of aihwkit's table, in percent


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    """More threads gain little here, and on a busy machine they wait for one another many times as long."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class Pair(NamedTuple):
    """One quantity of N devices a row, by either program."""

    what: str
    ours: Tensor
    theirs: Tensor
    levels: tuple[float, ...]


def moments(sample: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean, variance, and the variance of ln(variance) (κ − 1)/n, of each row."""
    mean = sample.mean(dim=1, dtype=torch.float64)
    square = (sample.double() - mean[:, None]).square_()
    variance = square.mean(dim=1)
    kurtosis = square.square_().mean(dim=1) / variance**2
    return mean, variance, (kurtosis - 1) / sample.shape[1]


def assert_same_laws(pairs: Iterator[Pair]) -> None:
    """Means and spreads of every row of every pair agree, at the family-wise rate of one test."""
    found: list[tuple[float, str]] = []
    for what, ours, theirs, levels in pairs:
        assert ours.shape == theirs.shape == (len(levels), N), what
        (mean, variance, error), (mean_2, variance_2, error_2) = moments(ours), moments(theirs)
        of_means = (mean - mean_2) / ((variance + variance_2) / N).sqrt()
        of_spreads = (variance / variance_2).log() / (error + error_2).sqrt()
        for row, r in enumerate(levels):
            numbers = ((mean, mean_2, of_means), (variance.sqrt(), variance_2.sqrt(), of_spreads))
            for name, (a, b, z) in zip(("mean", "spread"), numbers, strict=True):
                text = f"{name} of {what} at r = {r}: driftproof {a[row]:.6g}, aihwkit {b[row]:.6g}, z = {z[row]:+.1f}"
                found.append((abs(float(z[row])), text))
    limit = NormalDist().inv_cdf(1 - FAMILY_WISE / TESTS / len(found) / 2)
    wrong = [text for z, text in found if not z < limit]
    assert not wrong, f"{len(wrong)} of {len(found)} comparisons beyond |z| = {limit:.2f}:\n" + "\n".join(wrong)


def weights(levels: tuple[float, ...]) -> Tensor:
    return torch.tensor(levels)[:, None].expand(-1, N).contiguous()


def programmed(preset: DevicePreset, target: Tensor) -> ProgrammedArray:
    return program(preset, target, seed=0, chip=0, layer="fc")


def pcm_pairs(preset: DevicePreset, loud: Any, quiet: Any) -> Iterator[Pair]:
    """A pair of phase-change devices from programming to a year: ``quiet`` is aihwkit's model without read noise."""
    target = weights(LEVELS)
    ours, g_target = programmed(preset, target), target * loud.g_max
    start, theirs = ours.conductances(0.0, read_noise=False)[0], loud.apply_programming_noise_to_conductance(g_target)
    nu = loud.generate_drift_coefficients(g_target)
    yield Pair("G programmed in µS", start, theirs, LEVELS)
    yield Pair(
        "net weight, programmed", ours.net(0.0, read_noise=False), quiet.apply_programming_noise(target)[0], LEVELS
    )
    for t_s, name in ((1.0, "1 s"), (HOUR, "1 h"), (DAY, "1 d"), (YEAR, "1 y")):
        assert preset.in_validity(t_s)
        still = ours.conductances(t_s, read_noise=False)[0], quiet.apply_drift_noise_to_conductance(theirs, nu, t_s)
        read = ours.conductances(t_s)[0], loud.apply_drift_noise_to_conductance(theirs, nu, t_s)
        yield Pair(f"G drifted {name} in µS", *still, LEVELS)
        yield Pair(f"G drifted {name} and read in µS", *read, LEVELS)
        yield Pair(f"net weight, {name}", ours.net(t_s), loud.apply_noise(target, t_s), LEVELS)
        # drift and read noise by themselves, or the larger programming noise would cover a small error of theirs;
        # a device that was programmed to nothing (0/0) counts as unchanged
        drift, drift_2 = ((g / first).nan_to_num(1) for g, first in zip(still, (start, theirs), strict=True))
        yield Pair(f"G({name})/G(0)", drift, drift_2, LEVELS)
        noise, noise_2 = ((g / mean - 1).nan_to_num(0) for g, mean in zip(read, still, strict=True))
        yield Pair(f"relative read noise at {name}", noise, noise_2, LEVELS)


@pytest.mark.parametrize("name", PCM)
def test_phase_change_devices_have_the_same_mean_and_spread_for_a_year(name: str) -> None:
    torch.manual_seed(1)
    assert_same_laws(pcm_pairs(load_preset(name), PCM[name](), PCM[name](read_noise_scale=0.0)))


def wan_pairs(preset: DevicePreset) -> Iterator[Pair]:
    """The law stands at three times only, and in aihwkit at its reference of 40 µS only if that is ``g_max``."""
    model = aihwkit.ReRamWan2022NoiseModel(g_max=40.0)
    assert model.coeff_g_max_reference == 40.0
    target = weights(LEVELS)
    ours, g_target = programmed(preset, target), target * 40.0
    first = model.apply_programming_noise_to_conductance(g_target)
    yield Pair("G programmed in µS", ours.conductances(0.0)[0], first, LEVELS)
    for t_s in (1.0, DAY, 2 * DAY):
        assert preset.in_validity(t_s)
        theirs = model.apply_drift_noise_to_conductance(first, g_target, t_s)
        yield Pair(f"G at {t_s:.0f} s in µS", ours.conductances(t_s)[0], theirs, LEVELS)
        yield Pair(f"net weight at {t_s:.0f} s", ours.net(t_s), model.apply_noise(target, t_s), LEVELS)


def test_wan_devices_have_the_same_mean_and_spread_at_the_three_published_times() -> None:
    torch.manual_seed(2)
    assert_same_laws(wan_pairs(load_preset("reram-wan-2022")))


def cmo_pairs(preset: DevicePreset, loud: Any, quiet: Any) -> Iterator[Pair]:
    """One device per weight. Without a read law in the preset, aihwkit's is switched off too."""
    assert isinstance(preset.conductance, OffsetEncoding)
    # the encoding that aihwkit has: the reference is a number
    constant = preset.conductance.model_copy(update={"reference": "constant"})
    preset = preset.model_copy(update={"conductance": constant})
    # weights of ±1 are among the levels, so that aihwkit's converter maps [−1, 1] onto the whole range
    target, inside = weights(CMO_LEVELS) * 2 - 1, CMO_LEVELS[INSIDE]
    ours, g_target = programmed(preset, target), loud.g_converter.convert_to_conductances(target)[0]
    start, theirs = ours.conductances(0.0, read_noise=False)[0], loud.apply_programming_noise_to_conductance(g_target)
    yield Pair("G programmed in µS", start, theirs, CMO_LEVELS)
    net = loud.apply_programming_noise(target)[0]
    yield Pair("net weight, programmed", ours.net(0.0, read_noise=False), net, CMO_LEVELS)
    for t_s in (1.0, HOUR, DAY):
        assert preset.in_validity(t_s)
        still = ours.conductances(t_s, read_noise=False)[0][INSIDE]
        relaxed = quiet.apply_drift_noise_to_conductance(theirs, theirs, t_s)[INSIDE]
        yield Pair(f"G at {t_s:.0f} s in µS", still, relaxed, inside)
        yield Pair(f"G({t_s:.0f} s) − G(0) in µS", still - start[INSIDE], relaxed - theirs[INSIDE], inside)
        model = quiet if preset.read is None else loud
        yield Pair(f"net weight at {t_s:.0f} s", ours.net(t_s)[INSIDE], model.apply_noise(target, t_s)[INSIDE], inside)
        if preset.read is not None:
            # aihwkit draws a new relaxation at every call: the read alone needs the same random numbers in both
            state = torch.get_rng_state()
            relaxed = quiet.apply_drift_noise_to_conductance(theirs, theirs, t_s)[INSIDE]
            torch.set_rng_state(state)
            read = loud.apply_drift_noise_to_conductance(theirs, theirs, t_s)[INSIDE]
            yield Pair(
                f"read noise at {t_s:.0f} s in µS", ours.conductances(t_s)[0][INSIDE] - still, read - relaxed, inside
            )


@pytest.mark.parametrize("name", CMO)
def test_cmo_devices_have_the_same_mean_and_spread_for_a_day(name: str) -> None:
    torch.manual_seed(3)
    loud = reram.ReRamCMONoiseModel(acceptance_range=CMO[name])
    assert_same_laws(
        cmo_pairs(load_preset(name), loud, reram.ReRamCMONoiseModel(acceptance_range=CMO[name], read_noise_scale=0.0))
    )


# --- the constants themselves, to float32 ---


@pytest.mark.parametrize("name", PCM)
def test_phase_change_constants_are_aihwkits_at_every_conductance(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    preset, model = load_preset(name), PCM[name]()
    programming, drift, read = preset.programming, preset.drift, preset.read
    assert isinstance(preset.conductance, PairEncoding)
    assert isinstance(programming, PolynomialProgramming)
    assert isinstance(drift, PowerDrift)
    assert isinstance(read, OneOverFRead)
    assert list(programming.sigma_us) == model.prog_coeff
    assert preset.conductance.g_max_us == model.g_max == model.prog_coeff_g_max_reference
    assert (drift.t0_s, read.t0_s, read.t_read_s) == (model.t_0, model.t_0, model.t_read)

    def with_xi(xi: float) -> None:
        """Let every random number of aihwkit's be ξ, so that its laws can be read off."""
        monkeypatch.setattr(importlib.import_module(type(model).__module__), "randn_like", lambda g: g * 0 + xi)

    r = torch.linspace(0, 1, 10_001)
    with_xi(0.0)
    mean = model.generate_drift_coefficients(r * model.g_max)
    torch.testing.assert_close(mean, curve_values(drift.nu_mean, r), rtol=1e-5, atol=1e-7)
    with_xi(1.0)
    sd = model.generate_drift_coefficients(r * model.g_max) - mean
    torch.testing.assert_close(sd, curve_values(drift.nu_sd, r), rtol=1e-4, atol=1e-6)
    g = r[1:] * model.g_max
    noise = model.apply_drift_noise_to_conductance(g, torch.zeros_like(g), DAY) / g - 1
    root = math.sqrt(math.log((DAY + read.t0_s + read.t_read_s) / (2 * read.t_read_s)))
    torch.testing.assert_close(noise, curve_values(read.q, r[1:]) * root, rtol=1e-4, atol=1e-6)


def test_resistive_constants_are_aihwkits() -> None:
    wan = load_preset("reram-wan-2022").programming
    assert isinstance(wan, PolynomialInTime)
    theirs = aihwkit.ReRamWan2022NoiseModel(g_max=40.0).coeff_dic
    assert dict(zip(wan.t_s, map(list, wan.sigma_us), strict=True)) == theirs
    for name, key in CMO.items():
        preset, model = load_preset(name), reram.ReRamCMONoiseModel(acceptance_range=key)
        programming, drift = preset.programming, preset.drift
        assert isinstance(preset.conductance, OffsetEncoding)
        assert isinstance(programming, PolynomialProgramming)
        assert isinstance(drift, LogRelaxation)
        assert programming.variable == "g_us"
        assert list(programming.sigma_us) == model.coeff_dict[key]
        assert preset.conductance.g_min_us == model.g_min
        assert preset.conductance.g_max_us == pytest.approx(model.g_max)
        assert [drift.shift_us_per_ln_t] == model.decay_dict["mean"]
        assert [drift.sd_us_per_ln_t, drift.sd_us] == model.decay_dict["std"]
        if preset.read is not None:
            assert isinstance(preset.read, LogConductanceRead)
            assert (preset.read.k_us, preset.read.t_read_s) == (model.read_dict["K"], model.read_dict["t_read"])


# --- several pairs per weight ---


def several(factors: tuple[float, ...]) -> DevicePreset:
    preset = load_preset("pcm-nandakumar-2019")
    assert isinstance(preset.conductance, PairEncoding)
    pairs = {"significance": factors, "fill": "least-first"}
    return preset.model_copy(update={"conductance": preset.conductance.model_copy(update=pairs)})


@pytest.mark.parametrize("factors", [(1.0, 4.0), (0.5, 1.0, 3.0), (1.0, 1.0)])
def test_the_least_significant_pair_is_filled_first_as_aihwkit_does(factors: tuple[float, ...]) -> None:
    converters: Any = importlib.import_module("aihwkit.inference.converter.conductance")
    converter = converters.NPairConductanceConverter(f_lst=list(factors), g_max=25.0)
    w = torch.linspace(-1, 1, 2001)[None]
    theirs, _ = converter.convert_to_conductances(w)
    exact = several(factors).without("programming", "drift", "read")
    for mine, other in zip(programmed(exact, w).conductances(0.0), theirs, strict=True):
        torch.testing.assert_close(mine, other, rtol=0, atol=2e-5)


def dual_pairs(loud: Any) -> Iterator[Pair]:
    target = weights(LEVELS)
    yield Pair(
        "net weight of two pairs",
        programmed(several((1.0, 4.0)), target).net(0.0, read_noise=False),
        loud.apply_programming_noise(target)[0],
        LEVELS,
    )


def test_two_pairs_have_aihwkits_mean_and_spread() -> None:
    converters: Any = importlib.import_module("aihwkit.inference.converter.conductance")
    torch.manual_seed(4)
    converter = converters.DualPairConductanceConverter(f_lst=[1.0, 4.0], g_max=25.0)
    assert_same_laws(dual_pairs(aihwkit.PCMLikeNoiseModel(g_converter=converter, g_max=25.0)))
