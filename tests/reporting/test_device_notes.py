"""What a reader must know about a device stands beside its numbers: in the report, on the card and in the list."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from driftproof._cli.app import main
from driftproof._presets import load_preset
from driftproof._record import PresetEntry, Record
from driftproof._reporting import report, write_card
from driftproof._reporting.cards import card_content
from driftproof._reporting.gather import gather
from driftproof.periphery import load_periphery
from reporting.page_text import words
from synthetic_record import begin, fill, preset

DAY = 86_400.0


def entry_of(name: str, **changes: Any) -> PresetEntry:
    device = load_preset(name)
    definition = {key: value for key, value in (device.definition() | changes).items() if value is not None}
    return PresetEntry(name=name, sha256=device.sha256, definition=definition)


Values = dict[float, list[float]]


def page_of(tmp_path: Path, values: dict[str, Values], entry: PresetEntry | None = None, **about: Any) -> str:
    with Record.create_or_open(None) as record:
        made, number = begin(record, **about)
        for name, cells in values.items():
            fill(record, made, number, entry or entry_of(name), cells)
        return words(report(record, tmp_path).read_text())


def section(text: str) -> str:
    start = text.rindex("About these devices")  # the first is a link
    return text[start : text.index("Summary", start)]


def test_a_result_on_cmo_stands_beside_its_reference(tmp_path: Path) -> None:
    values = {1.0: [91.0, 91.2], DAY: [90.0, 90.2]}
    text = page_of(tmp_path, {"reram-cmo-2pct": values, "reram-cmo-2pct-digital-reference": values})
    for name, reference in (
        ("reram-cmo-2pct", "drifting reference column"),
        ("reram-cmo-2pct-digital-reference", "digital reference"),
    ):
        assert f"On {name} ({reference}) it loses" in text or f"On {name} ({reference}), resnet20 loses" in text
        assert len(re.findall(re.escape(f"{name} ({reference})"), text)) >= 3  # sentence, table, card
        assert f"All results on this preset are for a {reference}." in section(text)


def test_figures_name_the_reference(tmp_path: Path) -> None:
    with Record.create_or_open(None) as record:
        made, number = begin(record)
        for name in ("reram-cmo-2pct", "reram-cmo-2pct-digital-reference", "reram-wan-2022"):
            fill(record, made, number, entry_of(name), {1.0: [91.0]})
        evidence = gather(record)
    assert [evidence.shown(name) for name in evidence.measured_presets] == [
        "reram-cmo-2pct (drifting reference column)",
        "reram-cmo-2pct-digital-reference",
        "reram-wan-2022",
    ]


def test_the_report_states_the_caveats_of_hermes(tmp_path: Path) -> None:
    said = section(page_of(tmp_path, {"pcm-hermes-2": {1.0: [90.0, 91.0]}}))
    assert "worse than the drift that was measured on the chip" in said
    assert "from 39.9 % to 88 %" in said
    old = entry_of("pcm-hermes-2", caveats=None, variants=None)  # a record of an earlier version
    assert "worse than the drift that was measured" in section(page_of(tmp_path, {old.name: {1.0: [90.0, 91.0]}}, old))


def test_the_report_says_what_a_second_fit_gives(tmp_path: Path) -> None:
    alone = section(page_of(tmp_path, {"reram-wan-2022": {1.0: [89.0, 90.0], DAY: [82.0, 83.0]}}))
    assert "See also reram-wan-2022-crosssim: another fit of the same figure" in alone
    assert "89.4 % on reram-wan-2022, 87.6 % on reram-wan-2022-crosssim (experiments/all_devices)" in alone
    assert "intervals of this report do not include the difference between two presets of one device" in alone
    values = {1.0: [89.0, 90.0], DAY: [82.0, 83.0]}
    both = section(
        page_of(tmp_path, {"reram-wan-2022": values, "reram-wan-2022-crosssim": {1.0: [87.0, 88.0], DAY: [70.0, 71.0]}})
    )
    measured = "In this report, reram-wan-2022 and reram-wan-2022-crosssim have a mean of 89.5 % and 87.5 % at 1 s"
    assert f"{measured} (2.0 points less)." in both  # and nothing at 1 d, where the second fit is not valid
    assert "experiments/all_devices" not in both
    swapped = "In this report, reram-wan-2022-crosssim and reram-wan-2022 have a mean of 87.5 % and 89.5 % at 1 s"
    assert f"{swapped} (2.0 points more)." in both


def test_another_metric_and_equal_means(tmp_path: Path) -> None:
    entries: dict[str, Values] = {
        "reram-wan-2022": {1.0: [21.0]},
        "reram-wan-2022-crosssim": {1.0: [23.5]},
    }
    assert "21.00 and 23.50 at 1 s (2.50 more)" in section(
        page_of(tmp_path, entries, metric="perplexity", digital=20.0)
    )
    entries["reram-wan-2022-crosssim"] = {1.0: [21.0]}
    assert "at 1 s (equal)" in section(page_of(tmp_path, entries, metric="perplexity", digital=20.0))


def test_a_report_without_notes_has_no_section(tmp_path: Path) -> None:
    assert "About these devices" not in page_of(tmp_path, {"mine": {1.0: [90.0]}}, preset("mine"))


def test_the_report_says_what_t_0_is(tmp_path: Path) -> None:
    text = page_of(tmp_path, {"pcm-nandakumar-2019": {1.0: [90.0]}})
    said = "t = 0 is the first read, 20 s (t0) after the last programming pulse."
    assert f"Accuracy over time after the first read. {said}" in text
    assert f"Time : seconds after the first read that follows programming. {said}" in text.replace("Time:", "Time :")
    two = page_of(tmp_path, {"pcm-hermes-1": {1.0: [90.0]}, "reram-wan-2022": {1.0: [90.0]}})
    assert "pcm-hermes-1: t = 0 is the first read, 200 s (t0) after the last programming pulse." in two
    assert "reram-wan-2022: t = 0 is the first read after programming." in two


@pytest.mark.parametrize("old", [False, True])
def test_the_report_says_what_the_standard_periphery_leaves_out(tmp_path: Path, old: bool) -> None:
    around = load_periphery("standard").definition()
    if old:
        del around["left_out"]
    shown = {"periphery": "standard", "around": around, "around_text": str(load_periphery("standard"))}
    text = page_of(tmp_path, {"ideal": {1.0: [90.0]}}, shown=shown)
    assert "left out of its source: PCM read noise in every MVM (aihwkit: w_noise = 0.0175); IR drop" in text
    changed = load_periphery("standard").with_changes(ir_drop={"scale": 1.0})
    assert changed.leaves_out() == ("PCM read noise in every MVM (aihwkit: w_noise = 0.0175)",)
    shown = {"periphery": changed.name, "around": changed.definition(), "around_text": str(changed)}
    text = page_of(tmp_path, {"ideal": {1.0: [90.0]}}, shown=shown)
    assert "left out of its source: PCM read noise in every MVM (aihwkit: w_noise = 0.0175). DACs" in text


def test_a_card_has_caveats_links_condition_and_t_0(tmp_path: Path) -> None:
    made = {}
    for name in ("pcm-hermes-2", "reram-cmo-2pct", "reram-wan-2022"):
        entry = entry_of(name)
        assert card_content(entry)["variants"]
        text = words(_with_card(entry, tmp_path / f"{name}.html").read_text())
        made[name] = text
    assert "caveat The drift of this model is worse than" in made["pcm-hermes-2"]
    assert "t = 0 is the first read, 300 s (t0) after the last programming pulse." in made["pcm-hermes-2"]
    assert "reram-cmo-2pct (drifting reference column)" in made["reram-cmo-2pct"]
    assert "89.9 % on reram-cmo-2pct, 13.0 % on reram-cmo-2pct-digital-reference" in made["reram-cmo-2pct"]
    assert "see also reram-wan-2022-crosssim: another fit of the same figure" in made["reram-wan-2022"]
    assert "t = 0 is the first read after programming." in made["reram-wan-2022"]


def _with_card(entry: PresetEntry, path: Path) -> Path:
    from driftproof._device_card import device_card

    return write_card(entry.model_copy(update={"card": device_card(load_preset(entry.name))}), path)


def test_the_list_links_presets_of_one_device(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setattr("sys.argv", ["driftproof", "presets", "list"])
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit):
        main()
    out = capsys.readouterr().out
    assert all(len(line) <= 80 for line in out.splitlines())
    said = " ".join(out.split())
    assert "reram-wan-2022: see also reram-wan-2022-crosssim, another fit of the same figure" in said
    assert "pcm-hermes-1: see also pcm-hermes-2" in said
    assert "reram-cmo-02pct, reram-cmo-2pct: with a drifting reference column" in said
    assert "reram-cmo-2pct-digital-reference: with a digital reference" in said
    for part in ("first read", "20 s for pcm-nandakumar-2019", "200 s for pcm-hermes-1", "300 s for pcm-hermes-2"):
        assert part in said


def test_show_prints_caveats_links_and_condition(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    def shown(name: str) -> str:
        monkeypatch.setattr("sys.argv", ["driftproof", "presets", "show", name])
        with pytest.raises(SystemExit):
            main()
        return str(capsys.readouterr().out)

    out = shown("reram-cmo-2pct")
    assert "condition: drifting reference column" in out
    assert "see also reram-cmo-2pct-digital-reference: the same devices with a digital number" in out
    assert "13.0 % on reram-cmo-2pct-digital-reference" in out
    assert "caveat: The drift of this model is worse than" in shown("pcm-hermes-2")


MEASURED = {"summary": "Two chips.", "chips": 2}


def measured_entry() -> PresetEntry:
    entry = entry_of("pcm-nandakumar-2019", **MEASURED)
    return entry.model_copy(update={"name": "measured:wafer-7"})


def test_measured_chips_are_not_called_simulated(tmp_path: Path) -> None:
    values: dict[str, Values] = {"measured:wafer-7": {3600.0: [90.0, 91.0], DAY: [88.0, 89.0]}}
    text = page_of(tmp_path, values, measured_entry())
    assert "resnet20 on measured chips, with cifar10" in text
    assert "Values are means over 2 measured chips" in text
    assert "Accuracy over time after programming." in text
    assert "Times are counted from programming." in text
    assert not re.search(r"means over \S+ simulated|on simulated|at times after the first read", text)
    figure = b"".join(path.read_bytes() for path in tmp_path.glob("accuracy_over_time.svg"))
    assert b"time after programming" in figure
    assert b"first read" not in figure


def test_simulated_and_measured_chips_are_both_named(tmp_path: Path) -> None:
    with Record.create_or_open(None) as record:
        made, number = begin(record)
        fill(record, made, number, measured_entry(), {3600.0: [90.0, 91.0]})
        fill(record, made, number, entry_of("pcm-hermes-2"), {3600.0: [90.0, 91.0]})
        text = words(report(record, tmp_path).read_text())
    assert "on simulated analog hardware and measured chips" in text
    assert "means over 2 simulated or measured chips" in text
    assert "over time after the first read (measured chips: after programming)" in text
    assert "measured:wafer-7: times count from programming" in text
    assert "pcm-hermes-2: t = 0 is the first read, 300 s (t0)" in text
