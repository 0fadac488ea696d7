"""A new law is one file and the line that imports it: it goes through everything that a shipped one goes through."""

from __future__ import annotations

import io
import math
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from rich.console import Console

from driftproof._cli.app import main
from driftproof._cli.card import card_tables
from driftproof._device_card import device_card
from driftproof._devices import ProgrammedArray, program, restore
from driftproof._devices.keys import generator
from driftproof._errors import DriftproofError
from driftproof._presets import DevicePreset, load_preset, without
from driftproof._presets.card import Card
from driftproof._record import PresetEntry
from driftproof._reporting import report, write_card
from driftproof._reporting.card_figures import titles
from driftproof.data import digits
from driftproof.laws._drift import LogRelaxation
from driftproof.plans import evaluate
from driftproof.zoo import trained_digits_cnn
from laws import stretched_exponential  # the one line
from reporting.page_text import words

LOSS, SD, TAU_S, BETA = 0.2, 0.05, 3600.0, 0.5
FILE = f"""
extends = "pcm-nandakumar-2019"
name = "relaxing"

[drift]
law = "stretched-exponential"
loss = {LOSS}
loss_sd = {SD}
tau_s = {TAU_S}
beta = {BETA}
"""
TARGET = torch.linspace(-1, 1, 60).view(6, 10).contiguous()
DAY, YEAR = 86_400.0, 31_536_000.0
SAID = f"tau = {TAU_S:g} s"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "relaxing.toml"
    path.write_text(FILE)
    return path


@pytest.fixture
def preset(file: Path) -> DevicePreset:
    return load_preset(file)


def array(preset: DevicePreset) -> ProgrammedArray:
    return program(preset, TARGET, seed=0, chip=0, layer="fc")


def share_lost(t_s: float) -> float:
    return 1 - math.exp(-((t_s / TAU_S) ** BETA))


def test_a_preset_file_names_it(preset: DevicePreset) -> None:
    assert preset.drift is not None
    assert preset.drift.law == stretched_exponential.StretchedExponential.tag()
    assert preset.definition()["drift"] == {
        "law": "stretched-exponential",
        "loss": LOSS,
        "loss_sd": SD,
        "tau_s": TAU_S,
        "beta": BETA,
    }
    assert DevicePreset.model_validate(preset.definition()) == preset
    assert preset.sha256 != load_preset("pcm-nandakumar-2019").sha256
    assert preset.changes_in_time


def test_a_wrong_number_is_named_by_its_key(file: Path) -> None:
    file.write_text(FILE.replace(f"beta = {BETA}", "beta = -1.0\ntau = 3.0"))
    with pytest.raises(DriftproofError) as caught:
        load_preset(file)
    assert "drift.beta: Input should be greater than 0, got -1.0" in str(caught.value)
    assert "unknown key drift.tau (did you mean tau_s?)" in str(caught.value)


def test_every_device_follows_the_slow_formula(preset: DevicePreset) -> None:
    quiet = array(without(preset, "read"))
    programmed = array(without(preset, "read", "drift")).conductances(0.0)
    for t_s in (0.0, 1.0, TAU_S, DAY, YEAR):
        for side, g in enumerate(quiet.conductances(t_s)):
            source = generator(0, 0, "fc", f"drift{'+-'[side]}", torch.device("cpu"))
            xi = torch.empty(TARGET.numel()).normal_(generator=source).tolist()
            for i, start in enumerate(programmed[side].flatten().tolist()):
                wanted = max(0.0, start * (1 - (LOSS + SD * xi[i]) * share_lost(t_s)))
                assert float(g.flatten()[i]) == pytest.approx(wanted, rel=1e-5, abs=1e-5)


def test_it_does_not_run_another_law(preset: DevicePreset) -> None:
    """A third law used to run the relaxation of CMO without a word."""
    relaxing = LogRelaxation(law="log-relaxation", shift_us_per_ln_t=-0.3, sd_us_per_ln_t=0.1, sd_us=0.2)
    other = array(preset.model_copy(update={"drift": relaxing}))
    assert (array(preset).net(DAY) - other.net(DAY)).abs().mean() > 0.01


def test_stored_devices_are_the_same_again(preset: DevicePreset) -> None:
    devices = array(preset)
    again = restore(preset, TARGET, devices.state(), seed=0, chip=0, layer="fc")
    assert torch.equal(again.net(DAY), devices.net(DAY))


def test_it_can_be_switched_off(preset: DevicePreset) -> None:
    frozen = without(preset, "drift", "read")
    assert frozen.name == "relaxing [without drift, read]"
    assert not frozen.changes_in_time
    assert torch.equal(array(frozen).net(YEAR), array(preset).net(0.0, read_noise=False))


def shown(card: Card) -> str:
    console = Console(file=io.StringIO(), width=80)
    for table in card_tables(card):
        console.print(table)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_its_card_plots_its_shift(preset: DevicePreset) -> None:
    card = device_card(preset)
    assert card.exponent is None
    assert card.shift is not None
    assert [row.t_s for row in card.spreads] == [0.0, DAY, YEAR]
    place = card.times_s.index(DAY)
    assert card.shift.mean[place] == pytest.approx(-LOSS * share_lost(DAY) * 12.5, abs=0.1)
    assert titles(card)[1] == "Shift and spread"
    assert "σ of 12.5 µS" in shown(card)
    assert "no drift law" not in shown(card)


def test_presets_show_tells_what_it_does(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for words_after in ([], ["--out", str(tmp_path / "card.html")]):
        monkeypatch.setattr(sys, "argv", ["driftproof", "presets", "show", str(file), *words_after])
        monkeypatch.setenv("COLUMNS", "80")
        with pytest.raises(SystemExit) as ended:
            main()
        assert not ended.value.code
    said = " ".join(capsys.readouterr().out.split())
    assert "Conductances relax by a stretched exponential" in said
    assert SAID in said
    assert "no drift law" not in said
    assert SAID in words((tmp_path / "card.html").read_text())


def test_a_card_on_its_own_page_has_its_words(preset: DevicePreset, tmp_path: Path) -> None:
    entry = PresetEntry(
        name=preset.name, sha256=preset.sha256, definition=preset.definition(), card=device_card(preset)
    )
    page = words(write_card(entry, tmp_path / "card.html").read_text())
    assert SAID in page
    assert "drift.tau_s 3600.0 s" in page


def test_a_network_is_evaluated_on_it_and_the_report_tells_of_it(file: Path, tmp_path: Path) -> None:
    record = evaluate(
        trained_digits_cnn(), digits().head(100), presets=[str(file)], times=["1s", "1y"], chips=2, out=tmp_path
    )
    with record:
        assert len(record.cells()) >= 4
        page = words(report(record, tmp_path).read_text())
    assert "Conductances relax by a stretched exponential" in page
    assert SAID in page
    assert "no drift law" not in page


@pytest.mark.parametrize(
    ("formula", "message"),
    [
        (lambda law, g, life, t_s: g[:2], r"StretchedExponential: after gave \[2\] for \[64\] devices"),
        (lambda law, g, life, t_s: g.mul_(0.9), "after gave its argument back, or wrote into it"),
        (lambda law, g, life, t_s: g, "wanted a new tensor"),
    ],
)
def test_a_formula_that_breaks_its_contract_is_told(
    formula: Callable[..., torch.Tensor], message: str, monkeypatch: pytest.MonkeyPatch, preset: DevicePreset
) -> None:
    monkeypatch.setattr(stretched_exponential.StretchedExponential, "after", formula)
    array = program(preset, torch.full((2, 3), 0.5), seed=0, chip=0, layer="fc")
    with pytest.raises(DriftproofError, match=message):
        array.net(3600.0)


def test_a_read_formula_that_gives_its_argument_back_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("driftproof.laws._read.OneOverFRead.sigma_us", lambda law, g_us, r_programmed, t_s: g_us)
    array = program(load_preset("pcm-nandakumar-2019"), torch.full((2, 3), 0.5), seed=0, chip=0, layer="fc")
    with pytest.raises(DriftproofError, match="OneOverFRead: sigma_us gave its argument back"):
        array.net(3600.0)
