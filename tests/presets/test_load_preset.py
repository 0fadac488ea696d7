"""Preset files: what may stand in them, and what a user is told otherwise."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from pydantic import ValidationError

from driftproof._errors import DriftproofError
from driftproof._presets import DevicePreset, load_preset, parse_changes, preset_folder, preset_names
from driftproof.laws._drift import PowerDrift
from driftproof.laws._programming import GaussianProgramming, PolynomialProgramming

NAMES = preset_names()


def test_the_first_four_presets_are_there() -> None:
    assert {"ideal", "gaussian", "pcm-nandakumar-2019", "reram-wan-2022"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_every_preset_says_who_measured_what_and_where(name: str) -> None:
    preset = load_preset(name)
    assert preset.name == name
    assert preset.source.title
    assert preset.source.where
    assert preset.source.fitted_by
    if preset.family not in ("none", "generic"):
        assert preset.source.doi.startswith("10.")
        assert preset.source.year
        assert preset.validity.g_us is not None or preset.conductance.encoding == "weight"
        assert preset.assumptions


@pytest.mark.parametrize("name", NAMES)
def test_presets_are_frozen_and_their_hash_is_that_of_their_numbers(name: str) -> None:
    preset = load_preset(name)
    with pytest.raises(ValidationError):
        preset.version = 2  # type: ignore[misc]
    assert preset.model_copy(update={"summary": "other words"}).sha256 == preset.sha256
    numbers = tomllib.loads((preset_folder() / f"{name}.toml").read_text())
    for table in ("programming", "drift", "read", "validity"):
        for key, value in numbers.get(table, {}).items():
            if isinstance(value, float):
                assert load_preset(name, {f"{table}.{key}": value * 1.01}).sha256 != preset.sha256, key
    assert DevicePreset.model_validate(preset.definition()).sha256 == preset.sha256


def test_units_stand_in_the_keys() -> None:
    raw = tomllib.loads((preset_folder() / "pcm-nandakumar-2019.toml").read_text())
    assert set(raw["conductance"]) == {"encoding", "g_min_us", "g_max_us"}
    assert set(raw["validity"]) == {"g_us", "t_s"}


def test_argument_and_changes_show_in_the_name() -> None:
    programming = load_preset("gaussian:0.02").programming
    assert isinstance(programming, GaussianProgramming)
    assert programming.sigma == 0.02
    assert load_preset("gaussian:0.02").name == "gaussian:0.02"
    changed = load_preset("pcm-nandakumar-2019", parse_changes(["drift.t0_s=30", "programming.sigma_us.0=0.3"]))
    assert isinstance(changed.drift, PowerDrift)
    assert isinstance(changed.programming, PolynomialProgramming)
    assert changed.drift.t0_s == 30
    assert changed.programming.sigma_us == (0.3, 1.9650, -1.1731)
    assert "drift.t0_s=30" in changed.name
    assert changed.sha256 != load_preset("pcm-nandakumar-2019").sha256


def test_a_users_own_file(tmp_path: Path) -> None:
    text = (preset_folder() / "pcm-nandakumar-2019.toml").read_text().replace("pcm-nandakumar-2019", "mine", 1)
    (tmp_path / "mine.toml").write_text(text.replace("t0_s = 20.0\nnu_mean", "t0_s = 25.0\nnu_mean"))
    drift = load_preset(tmp_path / "mine.toml").drift
    assert isinstance(drift, PowerDrift)
    assert drift.t0_s == 25


@pytest.mark.parametrize(
    ("name", "changes", "words"),
    [
        ("pcm-nandakumar", {}, ["unknown preset", "did you mean pcm-nandakumar-2019"]),
        ("nothing.toml", {}, ["no such file"]),
        ("ideal:3", {}, ["takes no argument"]),
        ("gaussian:much", {}, ["wanted a number", "much"]),
        ("gaussian:-0.1", {}, ["programming.sigma", "greater than or equal to 0", "-0.1"]),
        ("gaussian:nan", {}, ["programming.sigma", "finite"]),
        ("pcm-nandakumar-2019", {"drift.t_0": 3}, ["no number 'drift.t_0'", "did you mean drift.t0_s"]),
        ("pcm-nandakumar-2019", {"drift.t0_s": -3}, ["drift.t0_s", "greater than 0", "-3"]),
        ("pcm-nandakumar-2019", {"drift": 3}, ["no number 'drift'"]),
        ("pcm-nandakumar-2019", {"programming.sigma_us.2": -5}, ["sigma_us", "must not be negative"]),
    ],
)
def test_impossible_wishes_are_explained(name: str, changes: dict[str, float], words: list[str]) -> None:
    with pytest.raises(DriftproofError) as caught:
        load_preset(name, changes)
    for word in words:
        assert word in str(caught.value)


PCM = (preset_folder() / "pcm-nandakumar-2019.toml").read_text()


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (
            "t0_s = 20.0\nnu",
            "t_0_s = 20.0\nnu",
            ["unknown key drift.t_0_s", "did you mean t0_s", "missing key drift.t0_s"],
        ),
        ("g_max_us = 25.0\n", "", ["missing key conductance.g_max_us"]),
        ("g_max_us = 25.0", "g_max_us = -25.0", ["conductance.g_max_us", "greater than 0", "-25"]),
        ("g_max_us = 25.0", 'g_max_us = "25"', ["conductance.g_max_us"]),
        ("g_min_us = 0.0", "g_min_us = 30.0", ["g_min_us = 30.0 must be below g_max_us = 25.0"]),
        ('law = "power"', 'law = "exponential"', ["drift.law", "power"]),
        ('law = "polynomial"', 'law = "gaussian"', ["programming.sigma"]),
        ('encoding = "pair"', 'encoding = "triple"', ["conductance", "triple"]),
        ("t_s = [0.0, 31536000.0]", "t_s = [9.0, 1.0]", ["validity.t_s", "increase"]),
        ("g_us = [0.0, 25.0]\n", "", ["validity.g_us is missing"]),
        ("[source]", "[source", ["not a TOML file"]),
    ],
)
def test_faulty_files_name_file_key_and_what_was_wanted(tmp_path: Path, old: str, new: str, words: list[str]) -> None:
    assert old in PCM
    path = tmp_path / "mine.toml"
    path.write_text(PCM.replace(old, new, 1))
    with pytest.raises(DriftproofError) as caught:
        load_preset(path)
    assert "mine.toml" in str(caught.value)
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize("text", ["drift.t0_s", "=3", "drift.t0_s=three"])
def test_set_wants_key_and_number(text: str) -> None:
    with pytest.raises(DriftproofError, match="--set"):
        parse_changes([text])


def test_presets_need_no_torch() -> None:
    code = "import sys, driftproof._presets as p; p.load_preset('pcm-nandakumar-2019'); print('torch' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "False"


@pytest.mark.parametrize(
    ("curve", "missing"),
    [("{ per_ln_r = -0.01, constant = 0.02 }", "max"), ("{ per_ln_r = 0.01, constant = 0.02, max = 1.0 }", "min")],
)
def test_a_curve_has_a_value_where_devices_hold_zero(tmp_path: Path, curve: str, missing: str) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(f'extends = "pcm-nandakumar-2019"\nname = "mine"\n[drift]\nnu_mean = {curve}\n')
    with pytest.raises(DriftproofError, match=f"no finite value at r = 0.*give it a {missing}"):
        load_preset(str(file))


def test_a_source_may_state_the_temperature(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('extends = "pcm-nandakumar-2019"\nname = "mine"\n[validity]\ntemperature_c = [20.0, 30.0]\n')
    assert load_preset(str(file)).validity.temperature_c == (20.0, 30.0)
    file.write_text('extends = "pcm-nandakumar-2019"\nname = "mine"\n[validity]\ntemperature_c = [30.0, 20.0]\n')
    with pytest.raises(DriftproofError, match=r"temperature_c: .*must increase, got \[30.0, 20.0\]"):
        load_preset(str(file))


def test_a_source_with_a_title_replaces_that_of_the_extended_preset(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    start = 'extends = "pcm-nandakumar-2019"\nname = "mine"\n[source]\nwhere = "page 34"\n'
    file.write_text(start)
    known = load_preset("pcm-nandakumar-2019").source
    assert load_preset(file).source == known.model_copy(update={"where": "page 34"})
    file.write_text(f'{start}title = "Lab book 12"\nfitted_by = "me"\n')
    source = load_preset(file).source
    assert (source.title, source.where, source.fitted_by) == ("Lab book 12", "page 34", "me")
    assert (source.authors, source.doi, source.venue, source.year) == ("", "", "", None)
