"""The preset that a fit writes: loads, says where it comes from, and is the fitted device."""

from __future__ import annotations

import math
import tomllib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from driftproof._devices import program
from driftproof._errors import DriftproofError
from driftproof._presets import DevicePreset, load_preset
from driftproof.fitting import fit_measurements
from driftproof.fitting._device import FittedDevice
from driftproof.fitting._figure import figure_bytes
from driftproof.fitting._measurements import Measurements
from driftproof.fitting._preset_file import preset_name, preset_text
from driftproof.laws._drift import PowerDrift
from driftproof.laws._programming import PolynomialProgramming
from driftproof.laws._read import OneOverFRead
from fitting.made import made


@pytest.fixture(scope="module")
def rows() -> Measurements:
    return made(levels=(0.0, 5.0, 10.0, 25.0), devices=200)


@pytest.fixture(scope="module")
def fitted(rows: Measurements) -> FittedDevice:
    return fit_measurements(rows)


@pytest.fixture(scope="module")
def preset(rows: Measurements, fitted: FittedDevice, tmp_path_factory: pytest.TempPathFactory) -> DevicePreset:
    path = tmp_path_factory.mktemp("fitted") / "mine.toml"
    path.write_text(preset_text(fitted, rows, name="mine", title='Wafer "7"', family="PCM"), encoding="utf-8")
    return load_preset(path)


def test_numbers_come_through(fitted: FittedDevice, preset: DevicePreset) -> None:
    assert preset.name == "mine"
    assert preset.source.title == 'Wafer "7"'
    assert preset.source.where == f"measurements in made.csv (sha256 {'0' * 64})"
    assert preset.source.fitted_by == "driftproof presets fit"
    assert isinstance(preset.programming, PolynomialProgramming)
    assert isinstance(preset.drift, PowerDrift)
    assert isinstance(preset.read, OneOverFRead)
    assert fitted.drift is not None
    assert fitted.read is not None
    assert preset.programming.sigma_us == pytest.approx(fitted.sigma_us, rel=1e-5)
    assert preset.drift.nu_mean[0].at_r == pytest.approx(fitted.drift.r)
    assert preset.drift.nu_mean[0].values == pytest.approx(fitted.drift.mean, rel=1e-5)
    assert preset.drift.nu_sd[0].values == pytest.approx(fitted.drift.sd, rel=1e-5)
    q = preset.read.q[0]
    assert (q.scale, q.exponent, q.max) == pytest.approx(
        (fitted.read.scale, fitted.read.exponent, fitted.read.max), rel=1e-5
    )
    assert (preset.drift.t0_s, preset.read.t0_s, preset.read.t_read_s) == (20.0, 20.0, 250e-9)
    assert preset.validity.g_us == (0.0, 25.0)
    assert preset.validity.t_s == (1.0, 1e6)
    texts = [one.text for one in preset.assumptions]
    assert set(fitted.notes) <= set(texts)
    assert any("t0 = 20 s was given, not fitted" in text for text in texts)


def test_the_fit_is_in_the_definition_but_not_in_the_hash(preset: DevicePreset) -> None:
    definition = preset.definition()["fit"]
    assert definition["devices"] == 200
    assert definition["rows"] == 1200
    assert definition["levels_us"] == [0.0, 5.0, 10.0, 25.0]
    assert definition["devices_at_level"] == [50] * 4
    assert {"name", "value", "low95", "high95", "unit"} <= set(definition["parameters"][0])
    assert preset.model_copy(update={"fit": None}).sha256 == preset.sha256
    assert "fit" not in load_preset("pcm-nandakumar-2019").definition()


def test_programmed_devices_have_the_fitted_spread(fitted: FittedDevice, preset: DevicePreset) -> None:
    """20,000 devices at half the range: a right program is off by 2.5 %, five standard errors, once in a million."""
    array = program(preset, torch.full((1, 20_000), 0.5), seed=5, chip=0, layer="x")
    g = array.conductances(0.0, read_noise=False)[0]
    declared = sum(c * 0.5**i for i, c in enumerate(fitted.sigma_us))
    assert float(g.std()) == pytest.approx(declared, rel=0.025)
    assert float(g.mean()) == pytest.approx(12.5, abs=5 * declared / math.sqrt(20_000))


def test_fitting_what_a_fit_draws_gives_the_fit_again(fitted: FittedDevice, preset: DevicePreset) -> None:
    again = fit_measurements(made(preset, levels=(5.0, 10.0, 25.0), devices=300, seed=9))
    found = {one.name: one for one in again.fit.parameters}
    for one in fitted.fit.parameters:
        if one.name.startswith("nu_mean"):
            other = found[one.name]
            assert other.low95 is not None
            assert other.high95 is not None
            assert abs(other.value - one.value) < 2.05 * (other.high95 - other.low95) / 2


def test_without_drift_and_read_noise(tmp_path: Path) -> None:
    rows = made(levels=(5.0, 10.0, 25.0), times=(0.0,), devices=90, read_noise=False)
    path = tmp_path / "once.toml"
    path.write_text(preset_text(fit_measurements(rows), rows, name="once"), encoding="utf-8")
    preset = load_preset(path)
    assert preset.drift is None
    assert preset.read is None
    assert preset.validity.t_s == (0.0, 1.0)
    assert preset.source.title.startswith("measurements in made.csv")


def test_a_name_that_breaks_toml_does_not(rows: Measurements, fitted: FittedDevice) -> None:
    from dataclasses import replace

    odd = replace(rows, file='my "wafer"\\\n7.csv')
    raw = tomllib.loads(preset_text(fitted, odd, name="odd"))
    assert 'my "wafer"\\\n7.csv' in raw["source"]["where"]


def test_names(rows: Measurements, fitted: FittedDevice) -> None:
    assert preset_name("Wafer 7 (May)") == "wafer-7-may"
    assert preset_name("µ") == "measured"
    with pytest.raises(DriftproofError, match=r"--name 'My Wafer': wanted small letters.*my-wafer"):
        preset_text(fitted, rows, name="My Wafer")


def test_figures(rows: Measurements, fitted: FittedDevice) -> None:
    png, svg = (figure_bytes(rows, fitted, kind, "mine") for kind in ("png", "svg"))
    assert png.startswith(b"\x89PNG")
    assert b"<svg" in svg
    assert svg == figure_bytes(rows, fitted, "svg", "mine")  # no date in it
    with pytest.raises(DriftproofError, match="pdf"):
        figure_bytes(rows, fitted, "pdf", "mine")


def test_a_figure_without_drift_and_read_noise() -> None:
    rows = made(levels=(5.0, 10.0, 25.0), times=(0.0,), devices=90)
    assert figure_bytes(rows, fit_measurements(rows), "png", "once").startswith(b"\x89PNG")


@pytest.mark.parametrize(("last_s", "valid_s"), [(604_800.0, 604_800.0), (1_234_564.0, 1_234_570.0), (3960.0, 3960.0)])
def test_the_last_measured_time_is_valid(tmp_path: Path, last_s: float, valid_s: float) -> None:
    """Also on the file's clock, which began t0 earlier, and with more than six digits."""
    rows = made(levels=(5.0, 25.0), times=(1.0, last_s - 20), devices=40)
    for before_s in (0.0, 20.0):
        times = np.where(rows.t_s > 1, last_s - before_s, 1.0)
        moved = replace(rows, t_s=times, before_s=before_s)
        text = preset_text(fit_measurements(moved), moved, name="mine")
        (tmp_path / "mine.toml").write_text(text, encoding="utf-8")
        preset = load_preset(tmp_path / "mine.toml")
        assert preset.validity.t_s == (1.0, valid_s)
        assert preset.in_validity(last_s)
        assert preset.in_validity(1.1 * 3600)  # 3960.0000000000005
        assert not preset.in_validity(1.001 * last_s)
