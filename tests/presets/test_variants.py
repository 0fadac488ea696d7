"""A preset without some of its laws: what is left is exactly what the rest of it does, on the same chips."""

from __future__ import annotations

import pytest
import torch

from driftproof._devices import ProgrammedArray, program
from driftproof._errors import DriftproofError
from driftproof._presets import DevicePreset, Law, load_mix, load_preset, preset_names, without
from driftproof.laws._programming import PolynomialInTime, SaturatingInTime

EVERY_LAW: tuple[Law, ...] = ("levels", "programming", "drift", "read", "stuck")
TARGET = torch.linspace(-1, 1, 600).view(20, 30).contiguous()
YEAR = 31_536_000.0


def array(preset: DevicePreset) -> ProgrammedArray:
    return program(preset, TARGET, seed=3, chip=1, layer="fc")


def faulty(name: str) -> DevicePreset:
    preset = load_preset(name)
    return DevicePreset.model_validate(preset.model_dump() | {"stuck": {"at_g_min": 0.02, "at_random": 0.01}})


@pytest.mark.parametrize("name", preset_names())
def test_without_everything_a_device_is_perfect(name: str) -> None:
    bare = array(without(load_preset(name), *EVERY_LAW))
    for t_s in (0.0, 1.0, YEAR):
        torch.testing.assert_close(bare.net(t_s), TARGET, atol=2e-6, rtol=0)
        assert bare.mvm_read_noise(t_s) is None


@pytest.mark.parametrize("name", preset_names())
def test_programming_alone_is_the_earliest_time_for_ever(name: str) -> None:
    preset = load_preset(name)
    frozen, whole = array(without(preset, "drift", "read", "stuck")), array(preset)
    law = preset.programming
    first_s = law.t_s[0] if isinstance(law, PolynomialInTime | SaturatingInTime) else 0.0
    wanted = whole.net(first_s, read_noise=False)
    for t_s in (first_s, 86_400.0, YEAR):
        assert torch.equal(frozen.net(t_s), wanted)


@pytest.mark.parametrize("name", preset_names())
def test_without_read_noise_a_chip_is_read_without_it(name: str) -> None:
    preset = load_preset(name)
    quiet, whole = array(without(preset, "read")), array(preset)
    assert torch.equal(quiet.net(86_400.0), whole.net(86_400.0, read_noise=False))
    assert quiet.mvm_read_noise(86_400.0) is None


def test_switching_off_drift_matters() -> None:
    for name in ("pcm-nandakumar-2019", "reram-cmo-2pct", "reram-wan-2022", "sonos-agrawal-2022"):
        preset = load_preset(name)
        kept, frozen = array(preset).net(86_400.0, read_noise=False), array(without(preset, "drift")).net(86_400.0)
        assert (kept - frozen).abs().mean() > 1e-3, name


def test_stuck_devices_go_and_nothing_else_does() -> None:
    preset, bare = faulty("pcm-nandakumar-2019"), load_preset("pcm-nandakumar-2019")
    assert not torch.equal(array(preset).net(YEAR), array(bare).net(YEAR))
    assert torch.equal(array(without(preset, "stuck")).net(YEAR), array(bare).net(YEAR))
    assert without(preset, "stuck").sha256 == bare.sha256


@pytest.mark.parametrize("name", preset_names())
def test_without_what_it_does_not_have_it_is_itself(name: str) -> None:
    preset = load_preset(name)
    assert without(preset) is preset
    assert without(preset, "stuck") is preset


def test_the_name_says_what_is_missing() -> None:
    changed = load_preset("pcm-nandakumar-2019", {"drift.t0_s": 30})
    assert without(changed, "read", "stuck", "drift").name == (
        "pcm-nandakumar-2019 [drift.t0_s=30] [without read, drift]"
    )


def test_a_mix_loses_it_in_every_device() -> None:
    mix = load_mix("pcm-nandakumar-2019,fc=reram-wan-2022")
    bare = without(mix, "drift")
    assert bare.default.drift is None
    programming = bare.for_layer("fc").programming
    assert isinstance(programming, PolynomialInTime)
    assert programming.t_s == (1.0,)
    assert bare.sha256 != mix.sha256
    assert without(mix, "stuck") is mix


def test_no_programming_but_drift_is_refused_where_both_are_one_table() -> None:
    with pytest.raises(DriftproofError, match="table in time, drift included; switch off drift too"):
        without(load_preset("reram-wan-2022"), "programming")
    assert without(load_preset("reram-wan-2022"), "programming", "drift").programming.law == "none"


def test_an_unknown_law_is_refused() -> None:
    with pytest.raises(DriftproofError, match=r"without 'drfit' \(did you mean drift\?\)"):
        without(load_preset("ideal"), "drfit")  # type: ignore[arg-type]
