"""What is fitted to measurements whose truth is known.

Intervals are widened to four standard errors here: for a right program a parameter lies outside once in 16,000; the
coverage of the 95 % intervals themselves is counted in experiments/fit_from_measurements.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from driftproof._errors import DriftproofError
from driftproof._presets import load_preset
from driftproof.fitting import fit_measurements
from driftproof.fitting._device import FittedDevice
from driftproof.fitting._estimate import Search
from driftproof.fitting._figure import figure_bytes
from driftproof.fitting._measurements import Measurements
from driftproof.laws._curve import Piece, curve_values
from driftproof.laws._drift import PowerDrift
from driftproof.laws._programming import PolynomialProgramming
from fitting.made import PCM, made


def assert_four_sigma(device: FittedDevice, truth: dict[str, float]) -> None:
    found = {one.name: one for one in device.fit.parameters}
    for name, true in truth.items():
        one = found[name]
        assert one.low95 is not None
        assert one.high95 is not None
        if one.low95 > 0 and not name.startswith(("sigma_us", "nu_mean")):  # intervals of ln
            half = math.log(one.high95 / one.low95) / 2
            assert abs(math.log(one.value / true)) < 2.05 * half, name
        else:
            assert abs(one.value - true) < 2.05 * (one.high95 - one.low95) / 2, name


assert isinstance(PCM.programming, PolynomialProgramming)
assert isinstance(PCM.drift, PowerDrift)
SIGMA_US, DRIFT = PCM.programming.sigma_us, PCM.drift


def truth_of(levels: tuple[float, ...]) -> dict[str, float]:
    found = {f"sigma_us.{i}": c for i, c in enumerate(SIGMA_US)} | {
        "q.scale": 0.0088,
        "q.exponent": -0.65,
    }
    for level in levels:
        r = torch.tensor([level / 25])
        found[f"nu_mean at {level:g} µS"] = float(curve_values(DRIFT.nu_mean, r))
        found[f"nu_sd at {level:g} µS"] = float(curve_values(DRIFT.nu_sd, r))
        found[f"sigma at {level:g} µS"] = float(np.polynomial.polynomial.polyval(level / 25, SIGMA_US))
    return found


@pytest.fixture(scope="module")
def recovered() -> FittedDevice:
    return fit_measurements(made(levels=(0.0, 1.0, 5.0, 10.0, 25.0), devices=500))


def test_a_presets_numbers_come_back(recovered: FittedDevice) -> None:
    assert_four_sigma(recovered, truth_of((1.0, 5.0, 10.0, 25.0)) | {"q.max": 0.2})
    assert not recovered.warnings
    assert recovered.fit.devices == 500
    assert recovered.fit.devices_at_level == (100,) * 5
    assert recovered.fit.rows == 3000
    assert recovered.fit.times == 6


def test_intervals_are_as_wide_as_they_should_be(recovered: FittedDevice) -> None:
    """At 25 µS nearly all of ν's error is that of a mean and a spread of 100 devices (and a little read noise)."""
    found = {one.name: one for one in recovered.fit.parameters}
    mean, sd = found["nu_mean at 25 µS"], found["nu_sd at 25 µS"]
    assert mean.low95 is not None
    assert mean.high95 is not None
    assert sd.low95 is not None
    assert sd.high95 is not None
    assert 1.0 < (mean.high95 - mean.low95) / (2 * 1.96 * sd.value / math.sqrt(100)) < 1.4
    assert 1.0 < math.log(sd.high95 / sd.low95) / (2 * 1.96 / math.sqrt(2 * 100)) < 1.6


def test_a_level_at_zero_has_no_exponent_and_says_so(recovered: FittedDevice) -> None:
    assert recovered.drift is not None
    assert recovered.drift.r == (0.04, 0.2, 0.4, 1.0)
    assert any(note.startswith("Level 0 µS: its drift exponent is not identified") for note in recovered.notes)


def test_a_maximum_that_nothing_bounds_says_so() -> None:
    device = fit_measurements(made(levels=(5.0, 10.0, 25.0), devices=150))
    (q_max,) = [one for one in device.fit.parameters if one.name == "q.max"]
    assert q_max.high95 is None
    assert device.read is not None
    assert device.read.max == q_max.value
    assert any("not bounded above" in note for note in device.notes)


def test_the_order_of_rows_and_uneven_times_do_not_matter() -> None:
    rows = made(levels=(5.0, 25.0), devices=60)
    kept = np.flatnonzero(np.arange(len(rows.g_us)) % 7 > 0)
    straight = _rows(rows, kept)
    mixed = _rows(rows, np.concatenate((kept[1::2], kept[::2])))
    a, b = (fit_measurements(one, degree=1) for one in (straight, mixed))
    assert [one.value for one in a.fit.parameters] == pytest.approx([one.value for one in b.fit.parameters], rel=1e-3)
    assert a.fit.devices == 60


def _rows(rows: Measurements, which: np.ndarray) -> Measurements:
    who = tuple(rows.who[i] for i in which)
    return replace(
        rows,
        who=who,
        target_us=rows.target_us[which],
        t_s=rows.t_s[which],
        g_us=rows.g_us[which],
        line=rows.line[which],
    )


def test_the_range_sets_what_r_means() -> None:
    rows = made(levels=(5.0, 10.0, 25.0), devices=600)
    plain, wide = fit_measurements(rows), fit_measurements(rows, g_min_us=2.0, g_max_us=50.0)
    g = np.array([5.0, 10.0, 25.0])
    np.testing.assert_allclose(wide.sigma_at(g), plain.sigma_at(g), rtol=1e-3)
    np.testing.assert_allclose(wide.q_at(g), plain.q_at(g), rtol=1e-2)
    assert wide.drift is not None
    assert wide.drift.r == (0.1, 0.2, 0.5)
    assert any("2 to 50 µS, the measured levels 5 to 25 µS" in note for note in wide.notes)


# --- parts of the model that are not there ---


def test_without_drift() -> None:
    still = PCM.model_copy(update={"drift": None})
    device = fit_measurements(made(still, devices=200), drift="none")
    assert device.drift is None
    truth = truth_of(())
    assert_four_sigma(device, truth)


def test_without_read_noise() -> None:
    device = fit_measurements(made(levels=(5.0, 10.0, 25.0), devices=150, read_noise=False))
    assert device.read is None or device.read.scale < 1e-5  # float32 leaves something like 1e-7
    truth = {name: value for name, value in truth_of((5.0, 10.0, 25.0)).items() if not name.startswith("q.")}
    assert_four_sigma(device, truth)


def test_devices_that_all_drift_alike() -> None:
    drift = DRIFT.model_copy(update={"nu_sd": (Piece(polynomial=(0.0,)),)})
    device = fit_measurements(made(PCM.model_copy(update={"drift": drift}), levels=(5.0, 10.0, 25.0), devices=150))
    for one in device.fit.parameters:
        if one.name.startswith("nu_sd"):
            assert one.low95 == 0, one
            assert one.high95 is not None
            assert one.value < one.high95 < 0.012, one


def test_one_time_gives_programming_only() -> None:
    device = fit_measurements(made(levels=(0.0, 5.0, 10.0, 25.0), times=(1.0,), devices=2000, read_noise=False))
    assert device.drift is None
    assert device.read is None
    assert any("one time only" in note for note in device.notes)
    # 1 s is 5 % of t0: the drift until then takes 0.3 % of the conductance
    assert_four_sigma(device, {f"sigma_us.{i}": c for i, c in enumerate(SIGMA_US)})


def test_groups_give_marginals_only() -> None:
    rows = made(levels=(0.0, 5.0, 10.0, 25.0), devices=4000, read_noise=False, told_apart=False)
    device = fit_measurements(rows)
    assert device.read is None
    assert device.drift is not None
    assert device.drift.sd == (0.0, 0.0, 0.0)
    assert {one.name for one in device.fit.parameters} == {
        *("sigma_us.0", "sigma_us.1", "sigma_us.2"),
        *("sigma at 0 µS", "sigma at 5 µS", "sigma at 10 µS", "sigma at 25 µS"),
        *("nu_mean at 5 µS", "nu_mean at 10 µS", "nu_mean at 25 µS"),
    }
    for words in ("spread from device to device is left out", "the read noise itself is left out", "Level 0 µS"):
        assert any(words in note for note in device.notes), words
    assert device.fit.devices == 4000
    assert device.sigma_at(np.array([0.0, 12.5]))[1] == pytest.approx(0.953, rel=0.05)
    # the mean of a level decays a little slower than with the mean exponent: slow devices keep more
    for level, nu in zip((5.0, 10.0, 25.0), device.drift.mean, strict=True):
        true = truth_of((level,))[f"nu_mean at {level:g} µS"]
        assert 0.95 * true < nu < 1.02 * true


def test_devices_each_read_once_at_different_times_are_groups_too() -> None:
    rows = made(levels=(5.0, 10.0, 25.0), devices=1200, read_noise=False)
    once = _rows(rows, np.arange(1200) * 6 + np.arange(1200) // 3 % 6)
    device = fit_measurements(once)
    assert device.read is None
    assert device.drift is not None
    assert device.drift.mean[2] == pytest.approx(0.049, abs=0.003)


# --- what is refused, and what is said ---


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"degree": 2}, ["degree 2", "3 levels", "2 came", "0 to 1"]),
        ({"degree": -1}, ["degree -1"]),
        ({"g_max_us": 20.0, "degree": 1}, ["outside the range 0 to 20 µS", "25 µS", "--g-max"]),
        ({"g_min_us": 7.0, "degree": 1}, ["outside the range 7 to 25 µS", "5 µS"]),
        ({"g_min_us": 30.0, "degree": 1}, ["wanted 0 <= g_min < g_max"]),
        ({"t_read_s": 30.0, "degree": 1}, ["wanted 0 < t_read <= t0"]),
        ({"drift": "linear", "degree": 1}, ["wanted power or none"]),
    ],
)
def test_impossible_wishes_are_explained(options: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(DriftproofError) as caught:
        fit_measurements(made(levels=(5.0, 25.0), devices=40), **options)
    for word in words:
        assert word in str(caught.value)


def test_a_spread_that_would_be_negative_is_refused() -> None:
    narrow = PCM.model_copy(
        update={"programming": PCM.programming.model_copy(update={"sigma_us": (2.6, -3.5)}), "drift": None}
    )
    rows = made(narrow, levels=(5.0, 10.0, 15.0), times=(1.0,), devices=600, read_noise=False)
    with pytest.raises(DriftproofError, match=r"standard deviation of programming is -.*use --degree 0"):
        fit_measurements(rows, g_max_us=60.0, drift="none", degree=1)
    device = fit_measurements(rows, g_max_us=60.0, drift="none")
    assert len(device.sigma_us) < 3
    assert any("the highest, up to 2, that is not negative between or beyond the levels" in x for x in device.notes)


def test_two_levels_allow_a_line() -> None:
    device = fit_measurements(made(levels=(5.0, 25.0), devices=60))
    assert len(device.sigma_us) == 2
    assert any("the highest, up to 2, that 2 levels allow" in note for note in device.notes)


def test_a_mean_that_is_not_the_target_is_said() -> None:
    rows = made(levels=(5.0, 10.0, 25.0), devices=150)
    shifted = replace(rows, g_us=np.where(rows.target_us == 10, 0.8 * rows.g_us, rows.g_us))
    found = fit_measurements(shifted).warnings
    assert any(line.startswith("Level 10 µS: the mean of the first readings (1 s) is") for line in found)
    assert not any(line.startswith("Level 25 µS") for line in found)


def test_a_level_that_does_not_conduct_is_said() -> None:
    rows = made()
    found = fit_measurements(replace(rows, g_us=np.where(rows.target_us == 1, 0.0, rows.g_us))).warnings
    assert any(line.startswith("Level 1 µS") and "the readings do not vary" in line for line in found)


def test_dead_devices_are_said() -> None:
    rows = made(levels=(5.0, 10.0, 25.0), devices=150)
    dead = np.isin(rows.who, ("d2", "d5"))
    found = fit_measurements(replace(rows, g_us=np.where(dead, 0.0, rows.g_us))).warnings
    assert any(line.startswith("Level 25 µS: 2 of its devices read zero at every time") for line in found)
    assert not any(
        "read zero" in line for line in fit_measurements(made(levels=(0.0, 5.0, 25.0), devices=150)).warnings
    )


def test_readings_of_few_digits_are_fitted_too() -> None:
    rows = made(devices=200)
    device = fit_measurements(replace(rows, g_us=np.round(rows.g_us)))
    assert device.sigma_at(np.array([25.0]))[0] == pytest.approx(1.05, rel=0.3)


def test_devices_with_times_of_their_own_are_compared_too() -> None:
    rows = made(levels=(5.0, 10.0, 25.0), devices=150)
    own = replace(rows, t_s=rows.t_s * (1 + np.repeat(np.arange(150), 6) / 1500))  # no two devices at the same time
    assert fit_measurements(own).warnings == ()
    shifted = replace(own, g_us=np.where(own.target_us == 10, 0.8 * own.g_us, own.g_us))
    found = fit_measurements(shifted)
    assert any(line.startswith("Level 10 µS: the mean of the first readings (1.05 s) is") for line in found.warnings)
    assert figure_bytes(shifted, found, "svg", "own")


def test_drift_that_is_denied_is_said() -> None:
    found = fit_measurements(made(levels=(5.0, 10.0, 25.0), devices=150), drift="none").warnings
    assert any("mean of the last readings" in line for line in found)


def test_a_group_that_grows_is_refused() -> None:
    rows = made(levels=(5.0, 25.0), devices=400, told_apart=False)
    with pytest.raises(DriftproofError, match=r"level 5 µS: the mean grows with time .* --drift none"):
        fit_measurements(replace(rows, t_s=rows.t_s[::-1].copy()), degree=1)


def test_another_device() -> None:
    """ReRAM on a range that does not begin at zero, with a law in µS."""
    preset = load_preset("reram-milo-2021")
    device = fit_measurements(
        made(preset, levels=(60.0, 120.0, 225.0), times=(1.0,), devices=900), g_min_us=50.0, drift="none", degree=1
    )
    g = np.array([60.0, 225.0])
    np.testing.assert_allclose(device.sigma_at(g), 4.782321 - 0.009107 * g, rtol=0.12)


@pytest.mark.parametrize("told_apart", [True, False])
def test_sigma_of_each_level_has_the_interval_of_a_standard_deviation(told_apart: bool) -> None:
    """One level, no read noise: σ is the root mean square, and its relative standard error 1/√(2n)."""
    rows = made(levels=(10.0,), times=(1.0,), devices=200, read_noise=False, told_apart=told_apart)
    device = fit_measurements(rows, g_max_us=25.0)
    (one,) = [one for one in device.fit.parameters if one.name == "sigma at 10 µS"]
    rms = float(np.sqrt(np.mean((rows.g_us - 10.0) ** 2)))
    half = 1.959964 / math.sqrt(2 * 200)
    assert one.value == pytest.approx(rms, rel=1e-3)
    assert one.unit == "µS"
    assert one.low95 == pytest.approx(rms * math.exp(-half), rel=2e-3)
    assert one.high95 == pytest.approx(rms * math.exp(half), rel=2e-3)


def late(t0_s: float) -> Measurements:
    """Return PCM whose targets were verified 20 s after the last pulse, and which was read from an hour after it."""
    after = np.array([3600.0, 21600.0, 86400.0, 604800.0])
    rows = made(levels=(5.0, 15.0, 25.0), times=tuple(after - 20), devices=150)
    return replace(rows, t_s=rows.t_s + 20).since_first_read(t0_s)


def test_devices_that_drifted_before_t0_are_refused_and_the_message_helps() -> None:
    with pytest.raises(
        DriftproofError, match=r"t0\), and at 3 of 3 levels .*say --t0 20: .*into the column g_target_us"
    ):
        fit_measurements(late(3600.0), t0_s=3600.0)
    # the first way out: the preset is that of which the measurements are
    device = fit_measurements(late(20.0), t0_s=20.0)
    assert not device.warnings
    truth = truth_of((5.0, 15.0, 25.0))
    assert_four_sigma(device, {name: true for name, true in truth.items() if "at" in name})
    # the second: the levels are what the devices have at the first reading
    rows = late(3600.0)
    means = rows.rows[rows.t_s == 0].groupby("target_us")["g_us"].mean()
    again = fit_measurements(replace(rows, target_us=means[rows.target_us].to_numpy()), t0_s=3600.0)
    assert not again.warnings
    assert again.drift is not None
    assert again.drift.mean[1:] == pytest.approx([0.05, 0.05], abs=0.012)
    assert max(again.sigma_at(np.array([5.0, 15.0, 18.0]))) < 1.6


def test_a_single_level_that_is_off_is_no_reason_to_refuse() -> None:
    rows = made(levels=(5.0, 10.0, 25.0), devices=150)
    shifted = replace(rows, g_us=np.where(rows.target_us == 10, 0.8 * rows.g_us, rows.g_us))
    found = fit_measurements(shifted, t0_s=3600.0).warnings
    assert any("Level 10 µS: the mean of the first readings" in line for line in found)
    assert any("give that level as the target" in line for line in found)


def test_late_first_readings_need_a_reference_time() -> None:
    rows = made(levels=(5.0, 25.0), times=(3600.0, 1e5), devices=40)
    with pytest.raises(DriftproofError, match="no reference time t0 is given"):
        fit_measurements(rows)
    assert fit_measurements(rows, t0_s=20).t0_s == 20
    assert fit_measurements(rows, drift="none").drift is None  # nothing drifts, so nothing refers to t0
    assert fit_measurements(made(levels=(5.0, 25.0), times=(60.0, 1e5), devices=40)).t0_s == 20


def test_a_read_noise_that_is_not_fixed_gets_no_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    loose = property(lambda search: search.covariance.diagonal().sqrt().numpy() + 100.0)
    monkeypatch.setattr(Search, "errors", loose)
    device = fit_measurements(made(levels=(1.0, 10.0, 25.0), devices=60))
    bounds = {one.name: (one.low95, one.high95) for one in device.fit.parameters}
    assert bounds["q.scale"] == bounds["q.exponent"] == (None, None)
    (note,) = [text for text in (*device.warnings, *device.notes) if "no intervals are given" in text]
    assert "--g-max" not in note  # it is the largest level already
    device = fit_measurements(made(levels=(1.0, 10.0, 25.0), devices=60), g_max_us=60.0)
    (note,) = [text for text in (*device.warnings, *device.notes) if "no intervals are given" in text]
    assert "a --g-max nearer to the largest level, 25 µS, may help" in note


def test_a_maximum_of_the_read_noise_is_not_given_up_for_a_worse_fit() -> None:
    """Without a maximum of Q the likelihood is lower by 5.6, although one Newton step promises that it is higher."""
    measurements = made(levels=(0.0, 5.0, 25.0), times=(1.0, 1e3, 1e6), devices=90)
    fitted = fit_measurements(measurements)
    assert fitted.fit is not None
    (maximum,) = [parameter for parameter in fitted.fit.parameters if parameter.name == "q.max"]
    assert maximum.value == pytest.approx(0.155, abs=0.005)
    assert maximum.high95 is not None
