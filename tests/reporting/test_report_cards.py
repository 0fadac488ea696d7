"""Device cards: on a report's page, as a page of their own, and as a figure."""

from __future__ import annotations

import io
import re
import sqlite3
from contextlib import closing
from itertools import combinations
from pathlib import Path
from urllib.parse import unquote
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from matplotlib.patches import StepPatch
from matplotlib.text import Text
from PIL import Image

from driftproof import _drawing
from driftproof._device_card import device_card
from driftproof._drawing import render_small
from driftproof._errors import DriftproofError
from driftproof._presets import DevicePreset, load_preset, preset_names
from driftproof._presets.card import Card
from driftproof._record import FILE_NAME, PresetEntry, Record
from driftproof._reporting import report, write_card
from driftproof._reporting.card_figures import card_figure, titles
from driftproof._reporting.cards import card_content, fit_content
from driftproof._reporting.gather import gather
from driftproof.plans import evaluate
from reporting.page_text import Reader, words
from synthetic_record import begin, fill

NAMES = ["pcm-nandakumar-2019", "reram-wan-2022", "gaussian:0.1"]
NO_PLOTS = "No plots: this record was made before cards were stored; evaluating one more chip adds them."
FIT = {
    "devices": 1200,
    "rows": 4800,
    "levels_us": [0.0, 12.5, 25.0],
    "devices_at_level": [400, 400, 400],
    "times": 4,
    "t_s": [1.0, 86_400.0],
    "parameters": [
        {"name": "sigma_us.0", "value": 0.2612345, "low95": 0.25, "high95": 0.2712, "unit": "µS"},
        {"name": "q.max", "value": 0.2, "low95": 0.11},
    ],
}


def entry_of(preset: DevicePreset, card: bool = True) -> PresetEntry:
    made = device_card(preset) if card else None
    return PresetEntry(name=preset.name, sha256=preset.sha256, definition=preset.definition(), card=made)


@pytest.fixture(scope="module")
def entries() -> dict[str, PresetEntry]:
    return {name: entry_of(load_preset(name)) for name in [*preset_names(), "gaussian:0.1", "levels:15"]}


def card_of(entry: PresetEntry) -> Card:
    assert entry.card is not None
    return entry.card


def record_of(entries: list[PresetEntry], folder: Path | None = None) -> Record:
    record = Record.create_or_open(folder)
    made, number = begin(record)
    for entry in entries:
        fill(record, made, number, entry, {1.0: [90.0, 91.0]})
    return record


def texts(figure: Figure) -> list[Text]:
    """Return what is written in a figure, without ticks beyond the ends of an axis."""
    figure.draw_without_rendering()
    beyond = set()
    for axes in figure.axes:
        for axis, (low, high) in ((axes.xaxis, axes.get_xlim()), (axes.yaxis, axes.get_ylim())):
            ticks = axis.get_major_ticks()
            beyond |= {id(tick.label1) for tick in ticks if not low <= tick.get_loc() <= high}
    found = [text for text in figure.findobj(Text) if text.get_text() and text.get_visible()]
    return [text for text in found if id(text) not in beyond]


# --- the figure ---


def test_every_preset_has_a_small_figure(entries: dict[str, PresetEntry]) -> None:
    for name in preset_names():
        svg = render_small(card_figure, card_of(entries[name]))
        assert len(svg) < 60_000, name
        assert b"nan" not in svg, name
        assert not re.search(rb'(?:href|src)="[^#"]', svg), name


@pytest.mark.parametrize(
    "name", ["pcm-nandakumar-2019", "reram-cmo-2pct", "sonos-agrawal-2022", "levels:15", "uniform"]
)
def test_no_words_overlap(name: str, entries: dict[str, PresetEntry]) -> None:
    with _drawing._settings():
        figure = card_figure(card_of(entries[name]))
        boxes = [(text.get_text(), text.get_window_extent()) for text in texts(figure)]
    assert len(boxes) > 30
    for (one, box), (other, second) in combinations(boxes, 2):
        assert not box.overlaps(second), (one, other)


def test_panels_say_what_they_show(entries: dict[str, PresetEntry]) -> None:
    pcm, wan, ideal, gaussian = (
        [text.get_text() for text in texts(card_figure(card_of(entries[name])))]
        for name in ("pcm-nandakumar-2019", "reram-wan-2022", "ideal", "gaussian:0.1")
    )
    assert {"σ in µS", "ν  (mean ± sd of devices)", "target conductance in µS", "1 s: rms 3.7 %"} <= set(pcm)
    assert {"at 1 s", "at 1 d", "at 2 d", "mean shift from target", "1 y*: rms 8.1 %", "* outside validity"} <= set(wan)
    assert wan.count("grey: outside validity") == 2
    assert ideal.count("no error: every weight is exact") == 2
    assert "no drift law in this preset" in ideal
    assert {"|weight| in % of the column's maximum", "1 s, 1 d, 1 y: rms 10 %"} <= set(gaussian)
    assert [titles(card_of(entries[name]))[1] for name in ("pcm-hermes-1", "reram-cmo-2pct", "levels")] == [
        "Drift exponent",
        "Shift and spread",
        "Drift",
    ]


def test_courses_are_dashed_and_pale_outside_validity(entries: dict[str, PresetEntry]) -> None:
    card = card_of(entries["reram-wan-2022"])
    axes = card_figure(card).axes[2]
    assert len(axes.lines) == 2 * 5
    for course, solid, dashed in zip(card.courses, axes.lines[::2], axes.lines[1::2], strict=True):
        inside = [mean for mean, t_s in zip(course.mean, card.times_s, strict=True) if card.in_validity(t_s)]
        assert np.asarray(solid.get_ydata()).tolist() == inside
        assert np.asarray(dashed.get_ydata()).tolist() == list(course.mean[len(inside) - 1 :])
        assert (solid.get_linestyle(), dashed.get_linestyle()) == ("-", "--")
        assert (dashed.get_alpha() or 1.0) < (solid.get_alpha() or 1.0)
    bands = [band.get_alpha() or 1.0 for band in axes.collections]
    assert bands[0] > bands[1]


def test_the_histograms_are_the_cards(entries: dict[str, PresetEntry]) -> None:
    card = card_of(entries["pcm-nandakumar-2019"])
    panel = card_figure(card).axes[3]
    drawn = [tuple(patch.get_data()[0]) for patch in panel.patches if isinstance(patch, StepPatch)]
    assert drawn == [error.shares for error in card.errors]
    ends = card_figure(card_of(entries["reram-wan-2022"])).axes[3].patches
    assert [patch.get_linestyle() for patch in ends] == ["-", "-", (0, (3, 2))]


# --- on a report's page ---


def test_a_report_has_one_figure_per_card(entries: dict[str, PresetEntry], tmp_path: Path) -> None:
    with record_of([entries[name] for name in NAMES]) as record:
        page = report(record, tmp_path / "a").read_text()
        assert report(record, tmp_path / "b").read_text() == page
    images = re.findall(r'alt="([^"]*)" src="data:image/svg\+xml,([^"]+)"', page)
    assert len(images) == page.count("<img") == 2 + len(NAMES)
    for name, (alt, data) in zip(sorted(NAMES), images[2:], strict=True):
        assert alt.startswith(f"{name}. Four plots: ")
        assert "Root mean square" in alt
        svg = unquote(data)
        assert "DOCTYPE" not in svg
        assert svg.endswith("</svg>")
        ElementTree.fromstring(svg)  # it is whole
    reader = Reader(page)
    for tag, name, address in reader.addresses:
        known = address.startswith(("data:", "#", "https://doi.org/"))
        assert known or (tmp_path / "a" / address).is_file(), (tag, name)
        assert tag == "a" or address.startswith("data:")
    assert len(page) < 1_000_000
    assert "No plots" not in page


def test_the_page_says_whether_read_noise_is_in_the_plots(entries: dict[str, PresetEntry], tmp_path: Path) -> None:
    said = {}
    for name in ("pcm-nandakumar-2019", "sonos-agrawal-2022", "gaussian:0.1"):
        said[name] = words(write_card(entries[name], tmp_path / "card.html").read_text())
    assert "middle 90 % of devices, with read noise" in said["pcm-nandakumar-2019"]
    assert "middle 90 % of devices, without read noise" in said["sonos-agrawal-2022"]
    assert "is not in these plots: 0.79 % of the column's maximum" in said["sonos-agrawal-2022"]
    assert "acts on the net weight" in said["gaussian:0.1"]


def test_a_record_from_before_cards_says_so_and_one_more_chip_adds_them(tmp_path: Path) -> None:
    data = (torch.randn(8, 3, generator=torch.Generator().manual_seed(0)), torch.zeros(8).long())
    network = torch.nn.Linear(3, 2)
    evaluate(network, data, presets=["gaussian:0.1"], times="1s", chips=1, out=tmp_path).close()
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as file:
        file.execute("UPDATE presets SET body = json_remove(body, '$.card')")
        file.commit()
    page = report(tmp_path, tmp_path).read_text()
    assert NO_PLOTS in words(page)
    assert page.count("<img") == 2
    evaluate(network, data, presets=["gaussian:0.1"], times="1s", chips=2, out=tmp_path).close()
    page = report(tmp_path, tmp_path).read_text()
    assert "No plots" not in page
    assert page.count("<img") == 3


def test_a_device_of_several_shows_the_cards_of_its_parts(entries: dict[str, PresetEntry]) -> None:
    name = "gaussian:0.1,fc=ideal"
    definition = {
        "name": name,
        "family": "mixed",
        "devices": {"fc": "ideal", "all other layers": "gaussian:0.1"},
        "validity": {"t_s": [0.0, 10.0]},
    }
    mixed = PresetEntry(name=name, sha256="x", definition=definition)
    with record_of([mixed]) as record:
        for part in ("ideal", "gaussian:0.1", "levels"):
            record.add_preset(entries[part])
        assert list(gather(record).presets) == ["gaussian:0.1", name, "ideal"]
    content = card_content(mixed)
    assert content["plots"] is None
    assert "laws of a single preset" in content["no_plots"]
    assert card_content(entries["ideal"].model_copy(update={"card": None}))["no_plots"] == NO_PLOTS


def test_of_two_records_the_one_with_a_card_gives_it(entries: dict[str, PresetEntry]) -> None:
    entry = entries["ideal"]
    bare = entry.model_copy(update={"card": None})
    for order in ([entry, bare], [bare, entry]):
        with record_of(order[:1]) as one, record_of(order[1:]) as other:
            assert gather([one, other]).presets["ideal"].card == entry.card


def test_a_fit_is_a_table_and_no_constant(entries: dict[str, PresetEntry], tmp_path: Path) -> None:
    entry = entries["pcm-joshi-2020"]
    fitted = entry.model_copy(update={"definition": entry.definition | {"fit": FIT}})
    text = words(write_card(fitted, tmp_path / "card.html").read_text())
    assert (
        "Fitted from measurements: 1,200 devices; 4,800 readings; targets 0, 12.5, 25 µS; 4 times, 1 s to 1 d." in text
    )
    assert "sigma_us.0 0.2612 0.25 to 0.2712 µS" in text
    assert "q.max 0.2 0.11 to open" in text
    assert not any(key.startswith("fit") for key, _, _ in card_content(fitted)["constants"])
    assert card_content(entry)["fit"] is None
    assert fit_content({"parameters": []}) == {"sentence": "", "rows": []}


# --- as a file ---


def test_a_card_is_written_as_page_and_as_figure(entries: dict[str, PresetEntry], tmp_path: Path) -> None:
    entry = entries["pcm-nandakumar-2019"]
    page = write_card(entry, tmp_path / "new" / "card.html").read_text()
    text = words(page)
    for part in (
        "pcm-nandakumar-2019",
        "conductance.g_max_us 25.0 µS",
        "doi:10.1109",
        "time 0 s to 1 y",
        "Assumptions",
    ):
        assert part in text
    assert page.count("<img") == 1
    svg = write_card(entry, tmp_path / "card.SVG").read_bytes()
    assert b"<!-- driftproof device card -->" in svg
    assert svg.rstrip().endswith(b"</svg>")
    image = Image.open(io.BytesIO(write_card(entry, tmp_path / "card.png").read_bytes()))
    assert image.width > 900


@pytest.mark.parametrize("form", ["html", "svg", "png"])
def test_only_files_of_driftproof_are_replaced(form: str, entries: dict[str, PresetEntry], tmp_path: Path) -> None:
    path, mine = tmp_path / f"card.{form}", tmp_path / f"mine.{form}"
    first = write_card(entries["ideal"], path).read_bytes()
    assert write_card(entries["ideal"], path).read_bytes() == first
    if form == "png":
        Image.new("RGB", (8, 8)).save(mine)
    else:
        mine.write_text(f"<{form}>my own</{form}>")
    before = mine.read_bytes()
    with pytest.raises(DriftproofError, match="not written by driftproof"):
        write_card(entries["ideal"], mine)
    assert mine.read_bytes() == before


def test_files_that_cannot_be_are_named(entries: dict[str, PresetEntry], tmp_path: Path) -> None:
    with pytest.raises(DriftproofError, match=r"ends in \.html, \.svg, \.png"):
        write_card(entries["ideal"], tmp_path / "card.pdf")
    (tmp_path / "folder.html").mkdir()
    with pytest.raises(DriftproofError, match="is a folder"):
        write_card(entries["ideal"], tmp_path / "folder.html")
    with pytest.raises(DriftproofError, match="before cards were stored"):
        write_card(entries["ideal"].model_copy(update={"card": None}), tmp_path / "card.html")
    assert [path.name for path in tmp_path.iterdir()] == ["folder.html"]
