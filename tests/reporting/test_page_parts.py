"""Parts of a report's page: first screen, heat map, rows listed once, layers, what was run, what is not compared."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from driftproof._record import CellKey, Record
from driftproof._record.entries import Recalibrated
from driftproof._reporting import export, report
from driftproof._reporting.comparisons import comparison_table, not_compared
from driftproof._reporting.gather import gather
from driftproof._reporting.heat_map import heat_map
from driftproof._reporting.layer_cells import layer_tables
from driftproof._reporting.lead import gains, lead, overview
from driftproof._reporting.page_layers import conversions
from driftproof._reporting.page_run import what_was_run
from driftproof._reporting.page_summary import summary_groups
from reporting.page_text import words
from synthetic_record import LAYERS, begin, drifting, fill, large_record, outcome, preset

FLAT = {t: [90.0, 91.0] for t in (1.0, 60.0, 3600.0)}


def flat(**changes: Any) -> Record:
    record = Record.create_or_open(None)
    made, number = begin(record, **changes)
    fill(record, made, number, preset("flat"), FLAT)
    fill(
        record,
        made,
        number,
        preset("pcm", valid_s=(0.0, 100.0)),
        {1.0: [91.5, 91.6], 60.0: [90.0, 91.0], 3600.0: [10.0, 12.0]},
    )
    return record


# --- the heat map ---


def test_the_heat_map_has_a_shade_per_loss_and_no_shade_outside_validity() -> None:
    with flat() as record:
        made = heat_map(gather(record), 90.0)
    assert made is not None
    assert made["times"] == ["1 s", "1 min", "1 h"]
    (flat_row,), (pcm,) = (group["rows"] for group in made["groups"])
    assert [(cell["text"], cell["span"]) for cell in flat_row["cells"]] == [("90.5 at all times", 3)]
    # losses of 91.73 - 91.55 = 0.18, 1.23 and, at a time outside validity, 80.73 points
    assert [(cell["text"], cell["shade"]) for cell in pcm["cells"]] == [
        ("91.5", "h0"),
        ("90.5", "h2"),
        ("(11.0)", "out"),
    ]
    # two chips of 90.0 and 91.0 % do not decide that the mean of all stays above 90 %
    assert (flat_row["kept"], pcm["kept"]) == ("≥ 1 h ?", "≥ 1 min ?")
    hover = pcm["cells"][1]["hover"]
    assert hover.startswith("pcm, 1 min: 90.5 % [")
    assert "drop 1.23 [" in hover
    assert hover.endswith("2 chips")
    assert pcm["cells"][2]["hover"].endswith("outside validity")


def test_other_metrics_are_shaded_by_their_share_of_digital() -> None:
    with Record.create_or_open(None) as record:
        made, number = begin(record, digital=20.0, metric="perplexity")
        fill(record, made, number, preset("pcm"), {1.0: [20.1, 20.1], 60.0: [23.0, 23.0], 3600.0: [900.0, 900.0]})
        found = heat_map(gather(record), None)
    assert found is not None
    cells = found["groups"][0]["rows"][0]["cells"]
    # rises of 0.5, 15 and 4,400 % of digital
    assert [(cell["text"], cell["shade"]) for cell in cells] == [("20.10", "h0"), ("23.00", "h5"), ("900.0", "h7")]


# --- the first screen ---


def test_few_verdicts_are_sentences_and_many_are_counted(tmp_path: Path) -> None:
    with large_record(None, chips=3) as one:
        evidence = gather(one)
        assert overview(evidence, [lead(evidence, key, None) for key in evidence.names]) is None
        assert 'id="sentences"' not in report(one, tmp_path / "one").read_text()
    plain, robust = (
        large_record(None, chips=3, label="plain"),
        large_record(None, chips=3, label="robust", better=0.1, model_hash="7"),
    )
    with plain, robust:
        evidence = gather([plain, robust])
        found = overview(evidence, [lead(evidence, key, None) for key in evidence.names])
        html = report([plain, robust], tmp_path / "two").read_text()
    assert found is not None
    assert (found["count"], found["devices"], found["configurations"]) == (8, 4, 2)
    held = sum(
        one.lifetime is not None and one.lifetime.kind == "held"
        for key in evidence.names
        for one in lead(evidence, key, None)["verdicts"]
    )
    assert 0 < found["held"] == held < 8
    smallest, largest = found["ends"]
    assert "robust at" in smallest
    assert "on reram-wan-2022, plain at 1 y" in largest
    first = html[: html.index('id="sentences"')]
    assert "Of 8 combinations of 4 devices and 2 configurations" in " ".join(first.split())
    assert "compared with the digital network" not in first


def test_gains_are_paired_and_of_the_last_time_that_both_have() -> None:
    plain, robust = (
        large_record(None, chips=5, label="plain"),
        large_record(None, chips=5, label="robust", better=0.5, model_hash="7"),
    )
    with plain, robust:
        evidence = gather([plain, robust])
        table = comparison_table(evidence, strict=False)
        said = gains(evidence, table)
        assert gains(evidence, None) == []
    assert [(one["name"], one["first"]) for one in said] == [("robust", "plain")] * 4
    row = table[(table["b"] == "robust, oxide-short-2021") & (table["t_s"] == 86_400.0)].iloc[0]
    (text,) = [one["text"] for one in said if "oxide" in one["text"]]
    assert text == (
        f"+{row['difference']:.2f} points (95 % interval +{row['ci95_low']:.2f} to +{row['ci95_high']:.2f}) "
        "on oxide-short-2021 at 1 d"  # it is not valid later
    )


def test_a_title_of_ones_own(tmp_path: Path) -> None:
    with flat() as record:
        page = report(record, tmp_path, title="Our <best> network")
    assert "<h1>Our &lt;best&gt; network</h1>" in page.read_text()
    assert "<title>Our &lt;best&gt; network</title>" in page.read_text()


# --- rows that say the same ---


def test_rows_that_do_not_change_in_time_are_listed_once() -> None:
    with flat() as record:
        groups = {group["preset"]: group["rows"] for group in summary_groups(gather(record))}
    assert [row["time"] for row in groups["flat"]] == ["1 s to 1 h (3 times)"]
    assert [row["time"] for row in groups["pcm"]] == ["1 s", "1 min", "1 h"]


def test_equal_means_of_other_chips_are_not_the_same() -> None:
    with Record.create_or_open(None) as record:
        made, number = begin(record)
        fill(record, made, number, preset("pcm"), {1.0: [90.0, 91.0], 60.0: [91.0, 90.0]})
        rows = summary_groups(gather(record))[1]["rows"]
    assert [row["time"] for row in rows] == ["1 s", "1 min"]


def test_rows_without_devices_are_listed_once_for_all_configurations() -> None:
    with large_record(None, chips=2, label="a") as one, large_record(None, chips=2, label="b", model_hash="7") as two:
        rows = summary_groups(gather([one, two]))[0]["rows"]
    assert [row["time"] for row in rows] == ["digital", "ideal-analog"]
    with (
        large_record(None, chips=2, label="a") as one,
        large_record(None, chips=2, label="b", digital=93.0, model_hash="7") as two,
    ):
        rows = summary_groups(gather([one, two]))[0]["rows"]
    assert [row["time"] for row in rows] == ["digital (a)", "digital (b)", "ideal-analog (a)", "ideal-analog (b)"]


# --- layers ---


def test_digital_layers_of_one_kind_share_a_row_and_keep_their_names(tmp_path: Path) -> None:
    norms = tuple(LAYERS[1].model_copy(update={"name": f"stage.{i}.norm"}) for i in range(40))
    counted = LAYERS[1].model_copy(update={"name": "head", "kind": "Linear", "reason": "kept", "macs_per_input": 5})
    long = LAYERS[0].model_copy(update={"name": "a.very.long.name.of.a.layer." + "x" * 30})
    with Record.create_or_open(None) as record:
        begin(record, layers={"layers": (*LAYERS, *norms, counted, counted.model_copy(update={"name": "tail"}), long)})
        (made,) = conversions(gather(record))
        html = report(record, tmp_path).read_text()
    assert [len(row["names"]) for row in made["digital"]] == [41, 1, 1]
    assert made["digital"][0]["weights"] == 41 * 16
    assert [row["names"] for row in made["analog"]] == [["conv1"], ["fc"], [long.name]]
    assert all(f"<code>{layer.name}</code>" in html for layer in norms)
    assert f'<code class="long">{long.name}</code>' in html
    assert ".layers tbody th code { white-space: nowrap; }" in html


def test_configurations_with_the_same_layers_share_a_table() -> None:
    with large_record(None, chips=2, label="a") as one, large_record(None, chips=2, label="b", model_hash="7") as two:
        (made,) = conversions(gather([one, two]))
    assert made["names"] == ["a", "b"]


def test_cells_of_single_layers_are_a_section(tmp_path: Path) -> None:
    with Record.create_or_open(None) as record:
        made, number = begin(record)
        series = fill(record, made, number, preset("pcm"), {60.0: [80.0, 82.0]})
        for chip in range(2):
            for digital, value in ((("conv1",), 85.0 + chip), (("fc",), 81.0 + 3 * chip)):
                record.add(CellKey(series.id, chip, 60.0, digital), outcome(value), number)
        (table,) = layer_tables(gather(record))
        html = report(record, tmp_path).read_text()
    rows = {row["layer"]: row for row in table["rows"]}
    # conv1 alone digital: 85 - 80 and 86 - 82; alone analog (fc digital): 91.73 - 81 and 91.73 - 84
    assert (rows["conv1"]["gain"], rows["conv1"]["drop"]) == ("4.50", "9.23")
    assert (rows["fc"]["gain"], rows["fc"]["drop"]) == ("1.50", "6.23")
    assert "4 cells in which some layers" in words(html)
    assert 'href="#sensitivity"' in html


def test_without_such_cells_there_is_no_section(tmp_path: Path) -> None:
    with flat() as record:
        html = report(record, tmp_path).read_text()
    assert 'id="sensitivity"' not in html
    assert "Layer by layer" not in html


# --- what was run, and what is not compared ---


def test_what_was_run_is_said_once_with_what_differs() -> None:
    with (
        large_record(None, chips=2, label="a") as one,
        large_record(None, chips=2, label="b", model_hash="7777") as two,
    ):
        evidence = gather([one, two])
        made = what_was_run(evidence)
    assert made["terms"] == ["model"]
    assert [(name, texts) for name, _, texts in made["configurations"]] == [
        ("a", ["resnet20, weights 0123456789abcdef"]),
        ("b", ["resnet20, weights 7777"]),
    ]
    assert made["shared"]["seed"] == "0"
    assert [len(made["peripheries"]), len(made["runs"]["each"])] == [1, 1]
    assert made["runs"]["each"][0]["facts"] == {}
    assert "; 2 runs, the last at" in made["runs"]["each"][0]["started"]


def test_pairs_that_cannot_be_compared_are_named(tmp_path: Path) -> None:
    one = large_record(None, chips=2, label="a")
    other_data = large_record(None, chips=2, label="b", data="mnist", data_hash="0")
    other_chips, other_device = Record.create_or_open(None), Record.create_or_open(None)
    made, number = begin(other_chips, label="c", decided={"seed": 5}, model_hash="5")
    fill(other_chips, made, number, preset("pcm-nandakumar-2019"), {1.0: [90.0, 91.0]})
    made, number = begin(other_device, label="d", model_hash="6")
    fill(other_device, made, number, preset("another"), {1.0: [90.0, 91.0]})
    with one, other_data, other_chips, other_device:
        records = [one, other_data, other_chips, other_device]
        reasons = not_compared(gather(records))
        text = words(report(records, tmp_path).read_text())
    assert [reason.split(";")[0] for reason in reasons] == [
        "a and b were measured on different samples (cifar10 and mnist)",
        "a and c were measured on different chips (seeds 0 and 5, noise drawn on cpu and cpu)",
        "a and d have no device in common",
    ]
    assert all(reason in text for reason in reasons)


def test_pairs_without_a_common_time_are_named() -> None:
    records = []
    for label, time in (("a", 1.0), ("b", 60.0)):
        records.append(Record.create_or_open(None))
        made, number = begin(records[-1], label=label, model_hash=label)
        fill(records[-1], made, number, preset("pcm"), {time: [90.0, 91.0]})
    with records[0], records[1]:
        assert not_compared(gather(records)) == ["a and b have no time, chips and samples in common"]


# --- the glossary, and files ---


def test_the_glossary_has_the_terms_of_the_report_only(tmp_path: Path) -> None:
    with large_record(None, chips=25) as record:
        text = words(report(record, tmp_path / "a").read_text())
    terms = text[text.index("How to read the statistics") :]
    assert "Outside validity" in terms
    assert "Preliminary" not in terms
    assert "BatchNorm recalibrated" not in terms
    again = Recalibrated(when="programming", data="cifar10-train", data_hash="0", samples=500, batch_size=1)
    with Record.create_or_open(None) as record:
        made, number = begin(record, shown={"recalibration": again})
        fill(record, made, number, preset("pcm"), {1.0: [90.0]})
        text = words(report(record, tmp_path / "b").read_text())
    terms = text[text.index("How to read the statistics") :]
    assert "BatchNorm recalibrated" in terms
    assert "Preliminary" in terms
    assert "Outside validity" not in terms


def test_no_spreadsheet_takes_an_id_for_a_number(tmp_path: Path) -> None:
    with flat() as record:
        (key,) = record.configurations()
        page = report(record, tmp_path).read_text()
        cells = export(record, "csv", tmp_path / "export.csv")
    for path in (cells, *tmp_path.glob("*.csv")):
        ids = pd.read_csv(path).get("config_id")
        assert ids is None or set(ids) == {f"c{key}"}, path
    assert f"c{key}" in page
    assert not re.fullmatch(r"[\d.e+-]+", f"c{key}")


@pytest.mark.parametrize("name", ["9924880e55", "1234567890"])
def test_ids_that_look_like_numbers_are_read_as_text(name: str, tmp_path: Path) -> None:
    from driftproof._record.table import with_shown_ids

    path = tmp_path / "table.csv"
    with_shown_ids(pd.DataFrame({"config_id": [name]})).to_csv(path, index=False)
    assert pd.read_csv(path)["config_id"].tolist() == [f"c{name}"]


def test_a_page_of_many_layers_and_devices_stays_small(tmp_path: Path) -> None:
    layers = tuple(LAYERS[0].model_copy(update={"name": f"stage.{i}.conv"}) for i in range(100))
    with Record.create_or_open(None) as record:
        made, number = begin(record, layers={"layers": layers})
        for place in range(6):
            fill(record, made, number, preset(f"device-{place}"), drifting(place, 4, 1.0, 0.3))
        assert report(record, tmp_path).stat().st_size < 500_000
