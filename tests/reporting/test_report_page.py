"""The page of a report: self-contained, complete, and honest about what it shows."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote
from xml.etree import ElementTree

import pandas as pd
import pytest

from driftproof._errors import DriftproofError
from driftproof._record import FILE_NAME, Record
from driftproof._reporting import report
from driftproof._reporting.gather import gather
from reporting.page_text import Reader, words
from synthetic_record import (
    begin,
    conditions,
    configuration,
    fill,
    key_of,
    large_record,
    preset,
    run,
)

FILES = {"cells.csv", "summary.csv", "lifetimes.csv", "yields.csv", "comparisons.csv", "index.html"} | {
    f"{figure}.{form}" for figure in ("chips", "accuracy_over_time") for form in ("pdf", "svg", "png")
}
FILES |= {f"{table}.{form}" for table in ("summary", "comparisons") for form in ("tex", "md")}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    with large_record(None) as record:
        return report(record, folder / "new" / "out")


def test_every_file_is_written_and_nothing_else(made: Path) -> None:
    assert {path.name for path in made.parent.iterdir()} == FILES
    assert made.name == "index.html"


def test_the_page_asks_for_nothing(made: Path) -> None:
    html = made.read_text()
    reader = Reader(html)
    assert "script" not in reader.tags
    for tag, name, value in reader.addresses:
        link = value.startswith("https://doi.org/") or value in FILES
        fine = value.startswith(("data:", "#")) or (tag == "a" and link)
        assert fine, (tag, name, value[:80])
    style = html[html.index("<style>") : html.index("</style>")]
    assert "url(" not in style
    assert "@import" not in style
    outside = re.sub(r"data:[^\"]*", "", html)
    assert set(re.findall(r"https?://[^\"<\s]*", outside)) == {"https://doi.org/10.1109/X.2019.1"}


def test_the_pictures_ask_for_nothing(made: Path) -> None:
    images = re.findall(r'src="data:image/svg\+xml,([^"]+)"', made.read_text())
    assert len(images) == 2
    for image in images:
        svg = unquote(image)
        ElementTree.fromstring(svg)  # it is whole
        assert svg.rstrip().endswith("</svg>")
        assert "<script" not in svg
        assert "DOCTYPE" not in svg
        for address in re.findall(r"(?:href|src)='([^']*)'", svg) + re.findall(r"url\(([^)]*)\)", svg):
            assert address.startswith("#")


def test_the_page_says_what_it_must(made: Path) -> None:
    text = words(made.read_text())
    order = [
        "resnet20 on simulated analog hardware, with cifar10",
        "resnet20 on simulated analog hardware, with cifar10 On this page: Figures Summary",
        "Files beside this page: cells.csv summary.csv",
        "On pcm-nandakumar-2019, resnet20 loses",
        "other chips of the device, on these samples",
        "It keeps 90 % accuracy for about",
        "On reram-wan-2022 it loses",
        "It is below 90 % from the first measured time, 0 s",
        "(outside validity)",
        "means over 25 simulated chips (drift compensation: tile; periphery: ideal).",
        "no statement above uses them",
        "the middle 90 % of chips",
        "Summary Drop, mean and spread",
        "What was run model",
        "cifar10, 10,000 samples, fedcba98",
        "no quantisation by DACs or ADCs and no output noise",
        "driftproof evaluate resnet20",
        "with uncommitted changes",
        "Device presets",
        "doi:10.1109/X.2019.1",
        "conductance.g_max_us 25.0 µS",
        "t = 0 is the first read.",
        "Conversion 2 of 3 layers with weights, holding 98.5 % of the weights, are on 2 analog tiles of 512 × 512",
        "digital bn1 BatchNorm2d: normalisation stays digital",
        "How to read the statistics",
    ]
    places = [text.index(part) for part in order]
    assert places == sorted(places)
    assert "preliminary" not in text[: text.index("How to read")]


def test_few_chips_are_preliminary_and_their_band_is_the_range(tmp_path: Path) -> None:
    with large_record(None, chips=3) as record:
        text = words(report(record, tmp_path).read_text())
    assert "preliminary means fewer than 20 chips" in text
    assert "Band: all chips (lowest to highest), as there are fewer than 20" in text


def test_text_from_names_is_escaped(tmp_path: Path) -> None:
    evil = '<img src=x onerror="alert(1)">&$x_$'
    with Record.create_or_open(None) as record:
        used, number = begin(record, label=evil, model=evil, data=evil)
        entry = preset(evil, summary=evil, source={"title": evil, "doi": '10.1/"><script>'}, assumptions=[evil])
        fill(record, used, number, entry, {1.0: [90.0, 91.0], 10.0: [89.0, 90.0]})
        record.start_run(run(command=evil, versions={evil: evil}, machine={evil: evil}, commit=evil))
        html = report(record, tmp_path).read_text()
    reader = Reader(html)
    assert reader.tags.count("img") == 2
    assert "script" not in reader.tags
    assert reader.text.count(evil) > 10


def test_the_same_record_gives_the_same_bytes(tmp_path: Path) -> None:
    with large_record(tmp_path / "record", chips=3) as record:
        report(record, tmp_path / "a")
    report(tmp_path / "record", tmp_path / "b")
    report(str(tmp_path / "record" / FILE_NAME), tmp_path / "b")
    for name in FILES:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name


def test_csv_files_hold_the_tables(made: Path) -> None:
    cells, summary = (pd.read_csv(made.parent / name) for name in ("cells.csv", "summary.csv"))
    assert len(cells) == 2 + 4 * 6 * 25
    assert len(summary) == 2 + 4 * 6
    row = summary[(summary["preset"] == "reram-wan-2022") & (summary["t_s"] == 3600.0)].iloc[0]
    own = cells[(cells["preset"] == "reram-wan-2022") & (cells["t_s"] == 3600.0)]["value"]
    assert row["mean"] == pytest.approx(own.mean())
    assert row["worst"] == own.min()


def test_several_records_are_told_apart_by_what_differs(tmp_path: Path) -> None:
    plain = large_record(tmp_path / "plain", chips=2, label="plain")
    robust = large_record(tmp_path / "robust", chips=2, label="robust", better=0.5, model_hash="77")
    with plain, robust:
        assert list(gather([plain, robust]).names.values()) == ["plain", "robust"]
        text = words(report([plain, tmp_path / "robust"], tmp_path / "out").read_text())
    assert "plain. On pcm-nandakumar-2019, resnet20 loses" in text
    assert "pcm-nandakumar-2019 · robust" in text
    with large_record(None, chips=2) as one, large_record(None, chips=2, model="resnet32", model_hash="32") as other:
        assert list(gather([one, other]).names.values()) == ["resnet20", "resnet32"]
        assert "resnet20 and resnet32 on simulated analog hardware" in words(
            report([one, other], tmp_path / "out2").read_text()
        )
    with large_record(None, chips=2) as one, large_record(None, chips=2, model_hash="retrained") as other:
        assert list(gather([one, other]).names.values()) == ["weights 01234567", "weights retraine"]


def test_copies_of_a_record_count_once_and_contradictions_are_errors(tmp_path: Path) -> None:
    with large_record(None, chips=2) as one, large_record(None, chips=2) as copy:
        assert len(gather([one, copy]).cells) == 2 + 4 * 6 * 2
    with (
        large_record(None, chips=2) as one,
        large_record(None, chips=2, better=0.5) as other,
        pytest.raises(DriftproofError, match="contradict"),
    ):
        report([one, other], tmp_path)
    with Record.create_or_open(None) as one, large_record(None, chips=2) as other:
        used, number = begin(one)
        fill(one, used, number, preset("reram-wan-2022").model_copy(update={"sha256": "x"}), {1.0: [90.0]})
        with pytest.raises(DriftproofError, match="'reram-wan-2022' has other numbers"):
            report([one, other], tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_mistakes_are_named(tmp_path: Path) -> None:
    with Record.create_or_open(tmp_path / "r") as record:
        with pytest.raises(DriftproofError, match=r"no cells yet in .*driftproof evaluate"):
            report(record, tmp_path / "out")
        begin(record)
        with pytest.raises(DriftproofError, match="keep = 900"):
            report(record, tmp_path / "out", keep=900)
        (tmp_path / "file").write_text("")
        with pytest.raises(DriftproofError, match="is a file"):
            report(record, tmp_path / "file")
        other = conditions(seed=1)
        record.add_configuration(key_of(record, other), configuration(other))
        fill(record, other, 1, preset("pcm"), {1.0: [90.0]})
        with pytest.raises(DriftproofError, match="no row 'digital'"):
            report(record, tmp_path / "out")
    with pytest.raises(DriftproofError, match="no record to report on"):
        report([], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_record_of_digital_only_has_a_page(tmp_path: Path) -> None:
    with Record.create_or_open(None) as record:
        begin(record)
        assert "No device preset has been measured yet" in words(report(record, tmp_path).read_text())


def test_an_unfinished_record_says_so(tmp_path: Path) -> None:
    with Record.create_or_open(None) as record:
        used, number = begin(record)
        fill(record, used, number, preset("pcm"), {1.0: [90.0, 91.0], 10.0: [89.0]})
        assert "unfinished: not every time has the same number of chips" in words(report(record, tmp_path).read_text())


def test_from_59_chips_there_is_a_fifth_percentile(tmp_path: Path) -> None:
    with Record.create_or_open(None) as record:
        used, number = begin(record)
        fill(record, used, number, preset("pcm"), {1.0: [30.0 + chip for chip in range(59)]})
        assert "32.90 (≥ 30.00)" in words(report(record, tmp_path).read_text())
