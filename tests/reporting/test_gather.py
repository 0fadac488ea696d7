"""What of one or several records a report is made of: which cells, counted once, told apart."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from driftproof._errors import DriftproofError
from driftproof._record import CellKey, Record
from driftproof._reporting import report, summarise
from driftproof._reporting.gather import gather
from reporting.page_text import words
from synthetic_record import begin, conditions, fill, large_record, outcome, preset


def record_of(values: dict[float, list[float]], folder: Path | None = None) -> tuple[Record, str]:
    """Return a record of one preset, and the id of its series."""
    record = Record.create_or_open(folder)
    made, number = begin(record)
    return record, fill(record, made, number, preset("pcm"), values).id


def test_cells_with_layers_kept_digital_are_counted_and_in_no_figure(tmp_path: Path) -> None:
    plain, _ = record_of({1.0: [90.0, 91.0]})
    mixed, place = record_of({1.0: [90.0, 91.0]})
    with plain, mixed:
        for chip in range(3):
            mixed.add(CellKey(place, chip, 1.0, ("fc",)), outcome(99.0), 1)
        mixed.add(CellKey(place, 0, 5.0, ("conv1", "fc")), outcome(99.5), 1)
        evidence = gather(mixed)
        assert (evidence.mixed_cells, len(evidence.cells), len(evidence.every_cell)) == (4, 4, 8)
        assert evidence.summary.equals(gather(plain).summary)
        pages = {name: report(record, tmp_path / name) for name, record in (("plain", plain), ("mixed", mixed))}
        for name in ("summary.csv", "accuracy_over_time.svg", "chips.svg", "chips.png"):
            assert (tmp_path / "plain" / name).read_bytes() == (tmp_path / "mixed" / name).read_bytes(), name
        cells = pd.read_csv(tmp_path / "mixed" / "cells.csv")
    assert cells["digital"].fillna("").tolist() == [""] * 4 + ["conv1 fc", "fc", "fc", "fc"]
    assert re.search(
        r"4 cells in which some layers are kept digital or some causes of error are switched off .*cells\.csv; those "
        r"with single layers are in Layer by layer",
        words(pages["mixed"].read_text()),
    )
    assert "kept digital" not in words(pages["plain"].read_text())


def test_a_single_cell_with_layers_kept_digital(tmp_path: Path) -> None:
    record, place = record_of({1.0: [90.0]})
    with record:
        record.add(CellKey(place, 0, 1.0, ("fc",)), outcome(99.0), 1)
        page = words(report(record, tmp_path).read_text())
    assert "1 cell in which some layers are kept digital or some causes" in page


def test_a_summary_of_a_record_leaves_them_out_too() -> None:
    plain, _ = record_of({1.0: [90.0, 91.0]})
    mixed, place = record_of({1.0: [90.0, 91.0]})
    with plain, mixed:
        mixed.add(CellKey(place, 0, 1.0, ("fc",)), outcome(99.0), 1)
        assert summarise(mixed).equals(summarise(plain))


def test_cells_of_some_samples_are_said_to_be(tmp_path: Path) -> None:
    record, place = record_of({1.0: [90.0]})
    with record:
        assert "some of the samples only" not in words(report(record, tmp_path).read_text())
        for chip, samples in ((1, 500), (2, 1000)):
            seen = np.arange(samples)
            record.add(CellKey(place, chip, 1.0), outcome(80.0, samples=seen), 1)
        page = words(report(record, tmp_path).read_text())
        assert gather(record).partial_cells == 2
    assert re.search(r"2 cells were measured on some of the samples only; cells\.csv .*number of samples", page)
    assert pd.read_csv(tmp_path / "cells.csv")["n_samples"].tolist() == [10_000, 10_000, 10_000, 500, 1000]


def test_copies_that_are_called_otherwise_count_once() -> None:
    with large_record(None, chips=2) as one, large_record(None, chips=2, label="copy", model="renamed") as copy:
        evidence = gather([one, copy])
        assert len(evidence.cells) == 2 + 4 * 6 * 2
        assert len(evidence.names) == 1


def test_one_cell_on_different_samples_is_to_be_merged_first() -> None:
    records = []
    for samples in (range(40), range(40, 100)):
        record, place = record_of({})
        record.add(CellKey(place, 3, 7.0), outcome(50.0, samples=np.array(samples)), 1)
        records.append(record)
    said = (
        r"two records hold preset pcm, chip 3, t_s 7 of configuration \w{10} on different samples \(40 and 60\); "
        "make one record of them with `driftproof merge` and report that"
    )
    with pytest.raises(DriftproofError, match=said):
        gather(records)


def test_two_networks_under_the_same_conditions_are_two_configurations() -> None:
    with (
        large_record(None, chips=2, label="one") as one,
        large_record(None, chips=2, label="two", better=0.5, model_hash="trained for noise") as two,
    ):
        assert one.series().keys() == two.series().keys()  # a series is the same for every network
        evidence = gather([one, two])
        assert list(evidence.names.values()) == ["one", "two"]
        assert len(evidence.cells) == 2 * (2 + 4 * 6 * 2)


def test_conversions_of_one_record_have_a_table_each(tmp_path: Path) -> None:
    with Record.create_or_open(None) as record:
        for tile in (512, 64):
            sizes = {"tile_rows": tile, "tile_cols": tile}
            made, number = begin(record, decided=sizes, layers=sizes)
            fill(record, made, number, preset("pcm"), {1.0: [90.0, 91.0]})
            assert made == conditions(**sizes)
        evidence = gather(record)
        assert [account.conversion.tile_rows for account in evidence.accounts] == [
            record.conversions()[key].tile_rows for key in sorted(record.conversions())
        ]
        assert set(evidence.names.values()) == {"tiles 512 × 512", "tiles 64 × 64"}
        page = words(report(record, tmp_path).read_text())
    assert "are on 2 analog tiles of 512 × 512" in page
    assert "are on 2 analog tiles of 64 × 64" in page


def test_records_of_one_configuration_at_other_times_and_chips_are_reported_as_their_merged_record(
    tmp_path: Path,
) -> None:
    one, place = record_of({1.0: [90.0, 91.0], 100.0: [80.0, 81.0]})
    two, _ = record_of({1.0: [90.0, 91.0], 10.0: [85.0, 86.0]})
    two.add(CellKey(place, 2, 1.0), outcome(92.0), 1)
    with one, two, Record.create_or_open(None) as both:
        both.merge(one, two)
        report([one, two], tmp_path / "apart")
        report(both, tmp_path / "merged")
    for name in ("cells.csv", "summary.csv", "lifetimes.csv", "yields.csv", "accuracy_over_time.svg"):
        assert (tmp_path / "apart" / name).read_bytes() == (tmp_path / "merged" / name).read_bytes(), name
