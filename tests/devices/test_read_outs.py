"""Read-outs of one time: what they have in common, what is new in each, and that both together are the law."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from devices.papers import cmo, nandakumar
from devices.papers.device import Spectrum
from driftproof._devices import ONE_READ_OUT, ProgrammedArray, ReadOut, ReadOuts, program
from driftproof._errors import DriftproofError
from driftproof._presets import DevicePreset, load_preset
from driftproof.laws import ReadLaw

DAY, YEAR = 86_400.0, 31_536_000.0
N = 100_000
# Sampled moments are compared at |z| < 5.2: false alarm 2e-7 each, fewer than 250 comparisons here
Z = 5.2
TIMES = (3600.0, DAY, YEAR)
READ_OUTS = (
    ReadOuts(),
    ReadOuts(duration_s=1.0, pause_s=0.0),
    ReadOuts(duration_s=1e-4, pause_s=0.0),
    ReadOuts(pause_s=DAY),
    ONE_READ_OUT,
)


def pcm_sigma_us(g_us: Tensor, programmed_us: Tensor, t_s: float) -> Tensor:
    return g_us * (0.0088 * (programmed_us / 25) ** -0.65).clamp(max=0.2) * nandakumar.one_over_f(t_s)


def cmo_sigma_us(g_us: Tensor, _: Tensor, t_s: float) -> Tensor:
    return 0.0277316483 * g_us.log10() * math.sqrt(math.log((t_s + 1e-6) / 2e-6))


LAWS: dict[str, tuple[str, Callable[[Tensor, Tensor, float], Tensor], Spectrum]] = {
    "one-over-f": ("pcm-nandakumar-2019", pcm_sigma_us, nandakumar.SPECTRUM),
    "log10-g": ("reram-cmo-2pct", cmo_sigma_us, cmo.SPECTRUM),
}


def devices(preset: DevicePreset) -> ProgrammedArray:
    return program(preset, torch.full((1, N), 0.5), seed=0, chip=0, layer="fc")


def in_sigmas(law: str, array: ProgrammedArray, t_s: float, read_out: ReadOut) -> Tensor:
    """Return the read noise of each device in a read-out, in units of the law's standard deviation."""
    quiet, programmed = (array.conductances(t, read_noise=False)[0].double() for t in (t_s, 0.0))
    sigma = LAWS[law][1](quiet, programmed, t_s)
    return ((array.conductances(t_s, read_out=read_out)[0].double() - quiet) / sigma).flatten()


def assert_standard_normal_moments(values: Tensor, variance: float) -> None:
    assert abs(float(values.mean())) <= Z * math.sqrt(variance / len(values))
    assert abs(float(values.var()) - variance) < Z * variance * math.sqrt(2 / len(values)) + 1e-5


def assert_covariance(a: Tensor, b: Tensor, wanted: float) -> None:
    """Compare the covariance of two standard normal numbers; 1e-5 is for the rounding of float32."""
    error = math.sqrt((1 + wanted**2) / len(a))
    assert abs(float((a * b).mean()) - wanted) < Z * error + 1e-5


@pytest.mark.parametrize("read_outs", READ_OUTS, ids=str)
@pytest.mark.parametrize("t_s", TIMES)
@pytest.mark.parametrize("law", LAWS)
def test_each_read_out_has_the_laws_variance_and_two_share_its_slow_part(
    law: str, t_s: float, read_outs: ReadOuts
) -> None:
    array = devices(load_preset(LAWS[law][0]))
    use, calibration = (in_sigmas(law, array, t_s, which) for which in (read_outs.use, read_outs.calibration))
    for noise in (use, calibration):
        assert_standard_normal_moments(noise, 1.0)
    slow = 1.0
    if read_outs != ONE_READ_OUT:
        slow -= LAWS[law][2].fast_share(t_s, read_outs.duration_s + read_outs.pause_s)
        assert 0.05 < slow < 0.9 or t_s <= read_outs.pause_s
    assert_covariance(use, calibration, slow)
    assert torch.equal(use, calibration) == (read_outs == ONE_READ_OUT)


@pytest.mark.parametrize("read_outs", READ_OUTS, ids=str)
@pytest.mark.parametrize("t_s", TIMES)
@pytest.mark.parametrize("law", LAWS)
def test_a_fast_part_of_every_mvm_leaves_the_slow_part_in_the_net_weights(
    law: str, t_s: float, read_outs: ReadOuts
) -> None:
    preset = load_preset(LAWS[law][0])
    array, mvm = devices(preset), ReadOuts(read_outs.duration_s, read_outs.pause_s, "mvm")
    noise = array.mvm_read_noise(t_s, mvm.use)
    fast = 0.0
    if read_outs != ONE_READ_OUT:
        fast = LAWS[law][2].fast_share(t_s, read_outs.duration_s + read_outs.pause_s)
    slow = in_sigmas(law, array, t_s, mvm.use)
    assert_standard_normal_moments(slow, 1 - fast)
    assert torch.equal(slow, in_sigmas(law, array, t_s, mvm.calibration))
    if not fast:
        assert noise is None
        return
    # the devices' standard deviations, in the unit of the net weight; the other device of a pair has none at G = 0
    quiet, programmed = ([g.double() for g in array.conductances(t, read_noise=False)] for t in (t_s, 0.0))
    span = preset.conductance.g_max_us - preset.conductance.g_min_us  # type: ignore[attr-defined]
    factor = 2 / span if law == "log10-g" else 1 / span
    squares = [LAWS[law][1](g, p, t_s).nan_to_num().square() for g, p in zip(quiet, programmed, strict=True)]
    wanted = factor * (fast * torch.stack(squares).sum(dim=0)).sqrt()
    assert noise is not None
    torch.testing.assert_close(noise.weights.double(), wanted, rtol=2e-5, atol=1e-8)


def test_read_outs_of_one_name_are_one_and_others_are_not() -> None:
    array, again = (devices(load_preset("pcm-nandakumar-2019")) for _ in range(2))
    first = array.net(DAY, read_out=ReadOuts().use)
    array.net(DAY, read_out=ReadOuts().calibration)
    assert torch.equal(array.net(DAY, read_out=ReadOut("use", 3601.0, "read-out")), first)
    assert torch.equal(again.net(DAY), first)  # the read-out of the use is the usual one
    assert not torch.equal(array.net(DAY, read_out=ReadOuts().calibration), first)
    assert not torch.equal(array.net(DAY, read_out=ReadOuts(pause_s=60).use), first)


def test_read_outs_of_two_times_are_independent() -> None:
    array = devices(load_preset("pcm-nandakumar-2019"))
    early, late = (in_sigmas("one-over-f", array, t_s, ReadOuts().use) for t_s in (DAY, YEAR))
    assert_covariance(early, late, 0.0)


def test_a_reference_column_is_read_in_the_same_read_out() -> None:
    array = devices(load_preset("reram-cmo-2pct"))
    assert array.reference is not None
    use, calibration = ReadOuts().use, ReadOuts().calibration
    for read_out in (use, calibration):
        reference = array.reference.conductances(YEAR, read_out=read_out)[0]
        (g,) = array.conductances(YEAR, read_out=read_out)
        torch.testing.assert_close(array.net(YEAR, read_out=read_out), 2 * (g - reference) / (88.2 - 9.0))
    assert not torch.equal(*(array.reference.conductances(YEAR, read_out=which)[0] for which in (use, calibration)))


# --- laws without a spectrum, and nonsense ---


def without_spectrum() -> DevicePreset:
    sonos = load_preset("sonos-agrawal-2022").definition()
    return DevicePreset.model_validate(sonos | {"name": "slow", "read": sonos["read"] | {"new_every": "read-out"}})


def test_all_noise_of_a_law_without_a_spectrum_is_new_in_each_read_out() -> None:
    array, read_outs = devices(without_spectrum()), ReadOuts()
    quiet = array.conductances(DAY, read_noise=False)[0].double()
    sigma = 12.58037 * (1 - torch.exp(-quiet * 100 / 215.36557)) / 100
    use, calibration = (
        ((array.conductances(DAY, read_out=which)[0].double() - quiet) / sigma).flatten()
        for which in (read_outs.use, read_outs.calibration)
    )
    assert_standard_normal_moments(use, 1.0)
    assert_covariance(use, calibration, 0.0)
    one = [array.net(DAY, read_out=which) for which in (ONE_READ_OUT.use, ONE_READ_OUT.calibration)]
    assert torch.equal(*one)
    assert array.mvm_read_noise(DAY, ReadOuts(fast="mvm").use) is not None
    assert torch.equal(array.net(DAY, read_out=ReadOuts(fast="mvm").use), array.net(DAY, read_noise=False))


@pytest.mark.parametrize("share", [1.5, -0.1, math.nan])
def test_an_own_law_must_give_a_share(share: float, monkeypatch: pytest.MonkeyPatch) -> None:
    array = devices(without_spectrum())
    monkeypatch.setattr(ReadLaw, "fast_share", lambda *_: share)
    with pytest.raises(DriftproofError, match=r"fast_share gave .* at t = 86400 s .*; wanted a share from 0 to 1"):
        array.net(DAY)
    assert torch.equal(array.net(DAY, read_out=ONE_READ_OUT.use), array.net(DAY, read_out=ONE_READ_OUT.calibration))


@pytest.mark.parametrize("t_s", [0.0, 1e-7, 1e-6, 2e-6, 1.0])
@pytest.mark.parametrize("period_s", [1e-12, 1e-6, 2e-6, 1.0, 1e12])
@pytest.mark.parametrize("law", LAWS)
def test_a_share_is_a_share_at_the_ends_of_the_spectrum(law: str, t_s: float, period_s: float) -> None:
    read = load_preset(LAWS[law][0]).read
    assert read is not None
    share = read.fast_share(t_s, period_s)
    assert 0 <= share <= 1
    if t_s == 1.0:  # the noise then has a spectrum
        assert share == pytest.approx(LAWS[law][2].fast_share(t_s, period_s), abs=1e-12)


# --- their text ---


@pytest.mark.parametrize("text", ["duration_s=1,pause_s=3600", "duration_s=10,pause_s=86400,fast=mvm"])
def test_the_text_of_read_outs_says_all_of_it(text: str) -> None:
    assert str(ReadOuts.of(text)) == text
    assert ReadOuts.of(str(ReadOuts.of(text))) == ReadOuts.of(text)


def test_texts_objects_and_defaults_are_the_same() -> None:
    assert ReadOuts.of(None) == ReadOuts() == ReadOuts.of("duration_s=1s, pause_s=1h") == ReadOuts.of("fast=read-out")
    assert ReadOuts.of("duration_s=0,pause_s=0") == ONE_READ_OUT
    assert ReadOuts(duration_s=1) == ReadOuts(duration_s=1.0)
    assert ReadOuts.of(READ_OUTS[1]) is READ_OUTS[1]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("pause=1h", r"wanted key=value pairs of duration_s, pause_s, fast, each once, got 'pause=1h' .*mean pause_s"),
        ("pause_s=1h,pause_s=2h", "each once"),
        ("pause_s", "got 'pause_s'"),
        ("", "got ''"),
        ("pause_s=soon", "wanted seconds"),
        ("fast=mvn", r"did you mean mvm\?\); wanted read-out .* or mvm"),
        (3600.0, "came as float; wanted a text such as pause_s=1d"),
    ],
)
def test_what_is_no_read_out(given: Any, message: str) -> None:
    with pytest.raises(DriftproofError, match=message):
        ReadOuts.of(given)


@pytest.mark.parametrize("values", [{"pause_s": -1.0}, {"duration_s": math.inf}, {"pause_s": "1h"}, {"pause_s": True}])
def test_times_that_are_none(values: Any) -> None:
    with pytest.raises(DriftproofError, match=r"read-outs: \w+ = .*; wanted a time in s, not negative and finite"):
        ReadOuts(**values)


@pytest.mark.parametrize("fast", ["read-out", "mvm"])
@pytest.mark.parametrize("name", ["pcm-nandakumar-2019", "reram-cmo-2pct", "reram-cmo-2pct-digital-reference"])
def test_read_outs_that_are_read_at_once_are_those_that_are_read_apart(name: str, fast: Any) -> None:
    weights = torch.linspace(-1, 1, 350 * 100).view(350, 100)  # more than one block
    array = program(load_preset(name), weights, seed=0, chip=0, layer="fc", groups=2)
    read_outs, other = ReadOuts(fast=fast), ReadOuts(pause_s=DAY, fast=fast)
    for asked in ((read_outs.calibration, read_outs.use), (read_outs.use, other.use, read_outs.calibration)):
        for t_s in TIMES:
            at_once = array.nets(t_s, asked)
            assert all(
                torch.equal(net, array.net(t_s, read_out=each)) for net, each in zip(at_once, asked, strict=True)
            )
            if fast == "read-out":
                assert not torch.equal(at_once[0], at_once[-1])
