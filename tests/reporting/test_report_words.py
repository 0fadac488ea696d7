"""What a report says of several networks: labels, thresholds, and what a training changed without any device."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from driftproof._errors import DriftproofError
from driftproof._record import Record
from driftproof._reporting import report, summarise
from driftproof._reporting.gather import gather
from driftproof._reporting.lead import title_of
from driftproof.periphery import load_periphery
from reporting.page_text import words
from synthetic_record import begin, fill, preset

LABELS = ("zero", "after", "between")
DIGITAL = {"zero": 95.0, "after": 97.5, "between": 95.0}
CHIPS = {"zero": [80.0, 82.0, 81.0], "after": [90.0, 91.5, 92.0], "between": [85.0, 86.0, 87.0]}


@pytest.fixture
def records() -> Iterator[list[Record]]:
    made = []
    for label in LABELS:
        record = Record.create_or_open(None)
        conditions, number = begin(record, label, DIGITAL[label], model_hash=label.ljust(16, "0"))
        fill(record, conditions, number, preset("pcm"), {1.0: CHIPS[label]})
        made.append(record)
    yield made
    for record in made:
        record.close()


def test_the_digital_gain_is_told_apart_from_the_drop(records: list[Record], tmp_path: Path) -> None:
    page = words(report(records, tmp_path).read_text(encoding="utf-8"))
    # 91.17 - 81 = 10.17, of which 2.5 are the digital network's
    assert "+10.17 points (95 % interval" in page
    assert "on pcm at 1 s: the digital network +2.50, and the drop 7.67 smaller" in page
    assert page.count("the digital network +") == 1  # "between" has the digital accuracy of "zero"


def test_the_heat_map_says_which_threshold_each_row_keeps(records: list[Record], tmp_path: Path) -> None:
    page = words(report(records, tmp_path).read_text(encoding="utf-8"))
    assert "94 %: no" in page
    assert "96 %: no" in page
    assert "its threshold" not in page
    joint = words(report(records, tmp_path, keep=80).read_text(encoding="utf-8"))
    assert "keeps 80 %" in joint
    assert "80 %: " not in joint


def test_labels_stand_in_the_title(records: list[Record]) -> None:
    assert title_of(gather(records)).startswith("resnet20 (zero, after, between) on simulated analog hardware, with ")
    assert title_of(gather(records[:1])).startswith("resnet20 (zero) on ")


def test_configurations_stand_in_the_order_in_which_they_were_asked_for(tmp_path: Path) -> None:
    with Record.create_or_open(tmp_path) as record:
        for label, tile in (("c", 64), ("a", 128), ("b", 256)):
            begin(record, label, decided={"tile_rows": tile})
    with Record.open(tmp_path) as record:
        assert list(gather(record).names.values()) == ["c", "a", "b"]
        assert list(dict.fromkeys(gather(record).summary["label"])) == ["c", "a", "b"]
    with Record.create_or_open(tmp_path) as record:  # the first again
        begin(record, "c", decided={"tile_rows": 64})
        assert list(gather(record).names.values()) == ["c", "a", "b"]
    with Record.create_or_open(None) as merged, Record.open(tmp_path) as record:
        merged.merge(record)
        assert list(gather(merged).names.values()) == ["c", "a", "b"]
        assert set(summarise(merged)["label"]) == {"a", "b", "c"}


def test_ranges_have_few_digits() -> None:
    ranges = {"conv1": 2.7182818284590451, "fc": [1.0, 3.1415926535897931]}
    shown = load_periphery("standard").with_ranges(ranges)
    assert shown.name == "standard [ranges=conv1=2.71828,fc=(1, 3.14159)]"


def test_figures_have_the_width_that_is_asked_for(records: list[Record], tmp_path: Path) -> None:
    def width(folder: Path) -> float:
        svg = next(folder.glob("*_over_time.svg")).read_text(encoding="utf-8")
        return float(svg.partition('width="')[2].partition("pt")[0]) / 72

    report(records[0], tmp_path / "a", width=5.0)
    assert width(tmp_path / "a") == pytest.approx(5.0, abs=0.01)
    report(records[0], tmp_path / "b")
    assert width(tmp_path / "b") == pytest.approx(3.5, abs=0.01)
    with pytest.raises(DriftproofError, match="width 0: wanted the width of figures in inches, from 2 to 20"):
        report(records[0], tmp_path / "c", width=0)
