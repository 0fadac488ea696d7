"""``driftproof presets fit`` as a user types it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from driftproof._cli.app import app
from driftproof._errors import DriftproofError
from driftproof._presets import load_preset
from driftproof.laws._drift import PowerDrift
from driftproof.laws._encoding import Conductances
from driftproof.laws._programming import PolynomialProgramming
from driftproof.laws._read import OneOverFRead
from fitting.made import made, write_csv


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fit")
    write_csv(folder / "Wafer 7.csv", made(levels=(5.0, 10.0, 25.0), times=(1.0, 1e3, 1e6), devices=90))
    return folder


def fit(*words: object) -> str:
    result = CliRunner().invoke(app, ["presets", "fit", *map(str, words)], env={"COLUMNS": "120"})
    if result.exception is not None:
        raise result.exception
    return result.output


def test_a_preset_a_figure_and_a_table(folder: Path) -> None:
    said = fit(folder / "Wafer 7.csv", "--title", "Wafer 7", "--family", "PCM")
    preset = load_preset(folder / "Wafer 7.toml")
    assert preset.name == "wafer-7"
    assert preset.family == "PCM"
    assert preset.source.title == "Wafer 7"
    assert str(folder) not in (folder / "Wafer 7.toml").read_text(encoding="utf-8")
    assert (folder / "Wafer 7.png").read_bytes().startswith(b"\x89PNG")
    assert "wafer-7: 90 devices, 270 readings" in said
    assert "30 at 5 µS, 30 at 10 µS, 30 at 25 µS" in said
    assert preset.fit is not None
    for one in preset.fit.parameters:
        row = re.search(rf"{re.escape(one.name)} +(\S+) +(\S+) to", said)
        assert row is not None, one.name
        assert [float(text) for text in row.groups()] == pytest.approx([one.value, one.low95], rel=1e-3)
    assert f"preset: {folder / 'Wafer 7.toml'}" in said
    assert f"figure: {folder / 'Wafer 7.png'}" in said


def test_options_reach_the_fit(folder: Path) -> None:
    out, figure = folder / "deep" / "other.toml", folder / "pictures" / "other.svg"
    words = ["--degree", 1, "--g-min", 1, "--g-max", 30, "--t0", 10, "--t-read", 1e-6, "--name", "other-name"]
    said = fit(folder / "Wafer 7.csv", "--out", out, "--figure", figure, *words)
    preset = load_preset(out)
    assert preset.name == "other-name"
    assert isinstance(preset.programming, PolynomialProgramming)
    assert isinstance(preset.conductance, Conductances)
    assert isinstance(preset.drift, PowerDrift)
    assert isinstance(preset.read, OneOverFRead)
    assert len(preset.programming.sigma_us) == 2
    assert (preset.conductance.g_min_us, preset.conductance.g_max_us) == (1.0, 30.0)
    assert (preset.drift.t0_s, preset.read.t0_s, preset.read.t_read_s) == (10.0, 10.0, 1e-6)
    assert "<svg" in figure.read_text(encoding="utf-8")
    assert "beyond them the laws are extrapolated" in said
    fit(folder / "Wafer 7.csv", "--out", folder / "still.toml", "--drift", "none")
    assert load_preset(folder / "still.toml").drift is None


@pytest.mark.parametrize("option", ["--overwrite", "--force"])  # --force is the former name
def test_nothing_is_written_over_without_overwrite(folder: Path, tmp_path: Path, option: str) -> None:
    out = tmp_path / "there.toml"
    out.write_text("mine", encoding="utf-8")
    with pytest.raises(DriftproofError, match=r"there.*toml already there: .*--overwrite"):
        fit(folder / "Wafer 7.csv", "--out", out)
    assert out.read_text(encoding="utf-8") == "mine"
    fit(folder / "Wafer 7.csv", "--out", out, option)
    assert load_preset(out).name == "there"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--out", "x.json"], "wanted a file that ends in .toml"),
        (["--figure", "x.pdf"], "wanted a file that ends in .png or .svg"),
        (["--drift", "linear"], "wanted power or none"),
        (["--name", "My Wafer"], "wanted small letters"),
    ],
)
def test_impossible_options(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DriftproofError, match=said):
        fit(folder / "Wafer 7.csv", *(["--out", "y.toml"] if "--out" not in words else []), *words)
    assert list(tmp_path.iterdir()) == []


def test_faults_are_said_and_nothing_is_written(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "bad.csv", made(levels=(5.0, 25.0), devices=40))
    path.write_text(path.read_text(encoding="utf-8").replace("d1,25,1,", "d1,25,1,-"), encoding="utf-8")
    with pytest.raises(DriftproofError, match=r"line 8: g_us = -.*wanted 0 or more"):
        fit(path)
    assert [one.name for one in tmp_path.iterdir()] == ["bad.csv"]


def test_the_measurements_are_never_written_over(folder: Path) -> None:
    path = folder / "named.toml"
    path.write_text((folder / "Wafer 7.csv").read_text(encoding="utf-8"), encoding="utf-8")
    with pytest.raises(DriftproofError, match="would overwrite the measurements"):
        fit(path, "--overwrite")


def export(path: Path, start_s: float = 0.0) -> Path:
    """Write a table as an instrument would: semicolons, decimal commas, currents at 0.2 V, a comment above."""
    rows = made(levels=(5.0, 10.0, 25.0), times=(1.0, 1e3, 1e6), devices=36)
    columns = rows.target_us * 1e-6, rows.t_s + start_s, rows.g_us * 2e-7
    lines = ["# export of wafer 7", "Device ID;Target (S);t (s);I (A);Operator"]
    for who, *numbers in zip(rows.who, *(column.tolist() for column in columns), strict=True):
        lines.append(";".join(str(cell).replace(".", ",") for cell in (who, *numbers, "me")))
    path.write_text("\n".join(lines), encoding="utf-16")
    return path


def test_the_command_says_what_it_understood_and_the_preset_keeps_it(tmp_path: Path) -> None:
    path = export(tmp_path / "export.txt")
    with pytest.raises(DriftproofError, match="is a current: wanted a column with the voltage"):
        fit(path)
    said = " ".join(fit(path, "--voltage", 0.2).split())
    form = "UTF-16, separated by semicolons, header on line 2; skipped 1 line (1) above the header; decimal commas."
    assert f"read: {form} device is" in said
    assert (
        "g_target_us is 'Target (S)' × 1e+06; t_s is 't (s)'; g_us is 'I (A)' × 1e+06 / voltage; the voltage is 0.2 V."
        in said
    )
    assert said.count("These columns are not used: Operator.") == 1
    preset = load_preset(tmp_path / "export.toml")
    assert preset.fit is not None
    assert "the voltage is 0.2 V" in preset.fit.understood[1]
    assert preset.fit.devices_at_level == (12, 12, 12)
    plain = write_csv(tmp_path / "plain.csv", made(levels=(5.0, 10.0, 25.0), times=(1.0, 1e3, 1e6), devices=36))
    fit(plain)
    other = load_preset(tmp_path / "plain.toml")
    assert other.sha256 != ""
    for one, two in zip(preset.fit.parameters, (other.fit or preset.fit).parameters, strict=True):
        assert one.value == pytest.approx(two.value, rel=1e-4, abs=1e-6)


def test_options_of_the_table_reach_the_reader(tmp_path: Path) -> None:
    path = tmp_path / "table.txt"
    rows = made(levels=(5.0, 25.0), times=(1.0,), devices=24).rows
    lines = [f"x{row.who}|{row.target_us}|1|{row.g_us:.6g}" for row in rows.itertuples()]
    path.write_text("\n".join(["who|goal|when|what", *lines, "$ the end"]), encoding="utf-8")
    words = ["--columns", "device=who,g_target_us=goal", "--columns", "t_s=when,g_us=what", "--sep", "|"]
    words += ["--unit", "uS", "--unit", "t_s=s", "--comment", "$", "--decimal", ".", "--drift", "none"]
    said = " ".join(fit(path, *words).split())
    assert "separated by '|', header on line 1; skipped 1 line (26) of comments below it" in said


def test_a_first_reading_that_is_late_is_asked_for_its_reference_time(tmp_path: Path) -> None:
    hour = 3600.0
    path = export(tmp_path / "late.txt", start_s=hour)
    with pytest.raises(
        DriftproofError, match=r"first reading is 1 h after .*--times-from last-pulse, with --t0 20 if .*--t0 3601"
    ):
        fit(path, "--voltage", 0.2)
    with pytest.raises(DriftproofError, match="--times-from last-pulse: say with --t0"):
        fit(path, "--voltage", 0.2, "--times-from", "last-pulse")
    with pytest.raises(
        DriftproofError, match=r"line 3: a reading 1 h after the last pulse, before t = 0.* at most 3601 s"
    ):
        fit(path, "--voltage", 0.2, "--times-from", "last-pulse", "--t0", "2h")
    fit(path, "--voltage", 0.2, "--t0", "20")
    said = fit(path, "--voltage", 0.2, "--t0", "1h", "--times-from", "last-pulse", "--out", tmp_path / "hour.toml")
    preset = load_preset(tmp_path / "hour.toml")
    assert isinstance(preset.drift, PowerDrift)
    assert preset.drift.t0_s == hour
    assert preset.validity.t_s == (1.0, 1003600.0)  # the last time on the clock of the file is valid, too
    assert "1003600 s of the file are 1000000 s of the preset" in " ".join(said.split())
    assert "t = 0 is t0 = 3600 s after the last programming pulse" in " ".join(said.split())
    with pytest.raises(DriftproofError, match="--times-from 'pulse'"):
        fit(path, "--times-from", "pulse", "--overwrite")
