"""``driftproof presets show``: the numbers behind the plots, and the card as a file."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from driftproof._cli.app import main
from driftproof._cli.card import card_tables, fit_table
from driftproof._device_card import device_card
from driftproof._presets import load_preset, preset_names

Show = Callable[..., tuple[int, str, str]]


@pytest.fixture
def show(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Show:
    def run(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["driftproof", "presets", "show", *map(str, words)])
        monkeypatch.setenv("COLUMNS", "80")
        code = 0
        try:
            main()
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else 1
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run


def test_show_prints_the_numbers_behind_the_plots(show: Show) -> None:
    code, out, _ = show("pcm-nandakumar-2019")
    assert code == 0
    rows = {tuple(line.split()) for line in out.splitlines()}
    card = device_card(load_preset("pcm-nandakumar-2019"))
    # the middle of the range: r = 0.5 is the 14th of the card's targets
    assert card.targets[13] == 12.5
    assert card.exponent is not None
    nu = card.exponent.mean[13], card.exponent.sd[13]
    assert ("12.5", f"{card.spreads[0].sigma[13]:#.3g}", f"{nu[0]:.3f}", f"{nu[1]:.3f}") in rows
    middle, place = card.courses[2], card.times_s.index(86_400.0)
    assert f"{middle.mean[place]:.2f} ({middle.low[place]:.2f} to {middle.high[place]:.2f})" in out
    assert ("1", "y", f"{card.errors[2].half:#.3g}", f"{card.errors[2].normal:#.3g}") in rows
    for part in ("fitted_by", "t = 0 is the first read, 20 s (t0) after", "t0_s", "σ at 0 s", "mean of ν"):
        assert part in out


def test_show_marks_times_outside_validity(show: Show) -> None:
    _, out, _ = show("reram-wan-2022")
    assert "1 y*" in out
    assert "1 d*" not in out
    assert "range of validity" in out
    assert re.search("shift.*σ of 20 µS in µS", out)
    assert re.search("without read noise.*not compensated", out)
    assert "no drift law in this preset" in show("gaussian:0.1")[1]


def test_every_table_fits_in_80_columns() -> None:
    for name in preset_names():
        console = Console(width=80, emoji=False, highlight=False)
        with console.capture() as captured:
            for table in card_tables(device_card(load_preset(name))):
                console.print(table)
        for line in captured.get().splitlines():
            assert len(line) <= 80
            assert "…" not in line


def test_a_fit_is_a_table() -> None:
    rows = [("nu_mean at 12.5 µS", "0.05", "0.04 to 0.06", ""), ("q[0].max", "0.2", "0.11 to open", "")]
    console = Console(width=80)
    with console.capture() as captured:
        console.print(fit_table("20 devices; 80 readings", {"rows": rows}, "a note"))
    for part in ("20 devices; 80 readings", "95 % interval", "q[0].max", "0.11 to open", "a note"):
        assert part in captured.get()


def test_show_writes_the_card(show: Show, tmp_path: Path) -> None:
    for name in ("card.html", "card.svg", "card.png"):
        code, out, _ = show("ideal", "--out", tmp_path / name)
        assert code == 0
        assert f"card: {tmp_path / name}" in out
        assert (tmp_path / name).stat().st_size > 5_000
    changed = tmp_path / "changed.html"
    assert show("pcm-nandakumar-2019", "--set", "drift.t0_s=30", "--out", changed)[0] == 0
    assert "drift.t0_s=30" in changed.read_text()


def test_show_does_not_replace_a_users_file(show: Show, tmp_path: Path) -> None:
    mine = tmp_path / "card.html"
    mine.write_text("<h1>mine</h1>")
    code, _, err = show("ideal", "--out", mine)
    assert code == 2
    assert re.search("card.html .*not written by driftproof", err)
    assert mine.read_text() == "<h1>mine</h1>"
    code, _, err = show("ideal", "--out", tmp_path / "card.pdf")
    assert code == 2
    assert all(ending in err for ending in ("card.pdf", ".html", ".svg", ".png"))
    code, _, err = show("ideal", "--out", mine / "below" / "card.html")
    assert code == 2
    assert "Traceback" not in err


def test_a_mix_and_measured_chips_are_shown_without_plots(show: Show, tmp_path: Path) -> None:
    code, out, _ = show("pcm-nandakumar-2019,fc=ideal")
    assert code == 0
    assert "all other layers" in out
    (tmp_path / "device.toml").write_text(
        'name = "mine"\n[conductance]\nencoding = "pair"\ng_min_us = 0.0\ng_max_us = 9.0\n'
    )
    (tmp_path / "fc.csv").write_text("out,in,g_plus_us,g_minus_us\n0,0,8.5,0.5\n")
    code, out, _ = show(f"measured:{tmp_path}")
    assert (code, "measured:mine" in out) == (0, True)
    code, _, err = show("gaussian,fc=ideal", "--out", tmp_path / "card.png")
    assert (code, "has no card" in err) == (2, True)
