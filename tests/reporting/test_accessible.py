"""Pages can be read with a keyboard, with a screen reader and on paper; the rules need no browser."""

from __future__ import annotations

from pathlib import Path

import pytest

from driftproof._device_card import device_card
from driftproof._presets import load_preset
from driftproof._record import PresetEntry, Record
from driftproof._reporting import report, write_card
from driftproof._reporting.heat_map import LOSSES
from driftproof._reporting.html import PALETTE
from reporting.accessible import CONTRAST, colours, contrast, faults
from synthetic_record import begin, fill, large_record


@pytest.fixture(scope="module")
def entry() -> PresetEntry:
    made = load_preset("pcm-joshi-2020")
    return PresetEntry(name=made.name, sha256=made.sha256, definition=made.definition(), card=device_card(made))


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory, entry: PresetEntry) -> dict[str, Path]:
    """One configuration, two configurations with much to fold, a digital network alone, and a card."""
    out = tmp_path_factory.mktemp("pages")
    with (
        large_record(None, chips=3) as one,
        large_record(None, chips=3, label="plain") as plain,
        large_record(None, chips=3, label="robust", better=0.5, model_hash="77") as robust,
        Record.create_or_open(None) as digital,
    ):
        begin(digital)
        made, number = begin(one)
        fill(one, made, number, entry, {1.0: [90.0, 91.0]})
        return {
            "one": report(one, out / "one"),
            "two": report([plain, robust], out / "two"),
            "digital": report(digital, out / "digital"),
            "card": write_card(entry, out / "card" / "card.html"),
        }


@pytest.mark.parametrize("name", ["one", "two", "digital", "card"])
def test_pages_have_no_faults(name: str, pages: dict[str, Path]) -> None:
    assert faults(pages[name].read_text(), pages[name].parent) == []


@pytest.mark.parametrize(
    ("right", "wrong", "said"),
    [
        ("<h1>", "<h2>", "not with one h1"),
        ("<h2>Summary", "<h4>Summary", "a heading of level 4"),
        ('<th scope="col">time', "<th>time", "without scope: 'time'"),
        ('<th scope="col">note', '<th scope="col">', "an empty heading"),
        ("<caption>Lifetimes.</caption>", "", "a table without caption"),
        ('tabindex="0"', "", "no keyboard can scroll"),
        ('aria-label="Lifetimes"', 'aria-label="Summary"', "two boxes are called 'Summary'"),
        ('<img alt="', '<img title="', "a picture without words"),
        ('<section id="run">', "<section>", "a link to nowhere: #run"),
        ('href="cells.csv"', 'href="cell.csv"', "a link to no file: cell.csv"),
        ('<html lang="en">', "<html>", "no language"),
    ],
)
def test_each_rule_sees_its_fault(right: str, wrong: str, said: str, pages: dict[str, Path]) -> None:
    html = pages["one"].read_text()
    assert right in html
    assert any(said in fault for fault in faults(html.replace(right, wrong), pages["one"].parent))


def test_texts_and_classes_of_loss_have_enough_contrast(pages: dict[str, Path]) -> None:
    named = colours(pages["one"].read_text())
    for text in ("ink", "soft", "accent", "warn"):
        for back in ("paper", "shade"):
            assert contrast(named[text], named[back]) >= CONTRAST, (text, back)
    assert len(PALETTE) == len(LOSSES) + 1
    for back, text in PALETTE:
        assert contrast(back, text) >= CONTRAST, (back, text)
    light = [contrast(back, "#000000") for back, _ in PALETTE]
    assert light == sorted(light, reverse=True)  # without colours, on paper, the order stays


def test_what_is_folded_is_printed(pages: dict[str, Path]) -> None:
    html = pages["two"].read_text()
    assert html.count("<details>") > 3
    printed = html[html.index("@media print") :]
    assert "details::details-content { content-visibility: visible;" in printed
    assert "tfoot { display: table-row-group; }" in printed  # not at the foot of every page


def test_a_page_of_a_preset_begins_with_its_name(entry: PresetEntry, pages: dict[str, Path]) -> None:
    assert f"<h1>{entry.name}</h1>" in pages["card"].read_text()
