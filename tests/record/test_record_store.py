"""What goes into a record comes out, and what does not belong there is refused."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from driftproof._errors import DriftproofError
from driftproof._record import (
    CELL_COLUMNS,
    DIGITAL,
    DIGITAL_CELL,
    FILE_NAME,
    IDEAL_ANALOG,
    Cell,
    CellKey,
    Configuration,
    Record,
    Series,
)
from synthetic_record import (
    begin,
    conditions,
    configuration,
    conversion,
    fill,
    key_of,
    outcome,
    preset,
    run,
    series,
    subject,
)


@pytest.fixture
def record() -> Iterator[Record]:
    with Record.create_or_open(None) as made:
        yield made


def test_what_goes_in_comes_out_after_reopening(tmp_path: Path) -> None:
    entry = preset("pcm", valid_s=(0.0, 10.0))
    with Record.create_or_open(tmp_path / "a" / "b") as record:
        made, number = begin(record, label="first")
        chips = fill(record, made, number, entry, {1.0: [90.0, 91.0], 0.1 + 0.2: [80.5], 20.0: [70.25]})
        key, table = key_of(record, made), record.cells()
    with Record.open(tmp_path / "a" / "b") as again:
        assert again.subject == subject()
        assert again.conversions() == {made.conversion_id: conversion()}
        assert again.configurations() == {key: configuration(made, label="first")}
        assert again.presets() == {"pcm": entry}
        assert again.runs() == {number: run()}
        shown = {(config_id, name): series_id for config_id, name, series_id in again.shown()}
        ideal = shown[key, IDEAL_ANALOG]
        assert shown == {(key, DIGITAL): DIGITAL, (key, IDEAL_ANALOG): ideal, (key, "pcm"): chips.id}
        assert again.series()[chips.id] == series(entry)
        assert again.series()[DIGITAL] == Series()
        assert {cell for cell, _, _ in again.outcomes()} == {
            DIGITAL_CELL, CellKey(ideal), CellKey(chips.id, 0, 1.0), CellKey(chips.id, 1, 1.0),
            CellKey(chips.id, 0, 0.1 + 0.2), CellKey(chips.id, 0, 20.0),
        }  # fmt: skip
        assert again.cells().equals(table)
        assert tuple(table.columns) == CELL_COLUMNS
        assert table["preset"].tolist() == ["digital", "ideal-analog", "pcm", "pcm", "pcm", "pcm"]
        assert table["value"].tolist() == [91.73, 91.73, 80.5, 90.0, 91.0, 70.25]
        assert table["in_validity"].tolist() == [True] * 5 + [False]
        assert set(table["model"]) == {"resnet20"}
        assert set(table["n_samples"]) == {10_000}
        assert set(table["digital"]) == {""}
    with Record.open(tmp_path / "a" / "b" / FILE_NAME) as by_file:
        assert len(by_file.cells()) == 6


def test_order_of_cells_does_not_depend_on_order_of_computing(tmp_path: Path) -> None:
    tables = []
    for name, times in (("up", [1.0, 5.0]), ("down", [5.0, 1.0])):
        with Record.create_or_open(tmp_path / name) as record:
            made, number = begin(record)
            for preset_name in sorted(["b", "a"], reverse=name == "down"):
                fill(record, made, number, preset(preset_name), {t: [90.0 - t, 80.0 - t] for t in times})
            tables.append(record.cells())
    assert tables[0].equals(tables[1])


def test_a_record_without_cells_is_about_nothing_yet(record: Record) -> None:
    record.claim(subject())
    made = conditions()
    record.add_conversion(made.conversion_id, conversion())
    record.add_configuration("a", configuration(made))
    record.show("a", "pcm", record.add_series(series("pcm")))
    record.claim(subject(model_hash="other"))
    assert record.subject is not None
    assert record.subject.model_hash == "other"
    assert (record.configurations(), record.conversions(), record.series(), record.shown()) == ({}, {}, {}, [])


def test_another_subject_is_refused_and_each_difference_named(record: Record) -> None:
    begin(record)
    record.claim(subject())
    record.claim(subject(model="renamed", data="renamed"))  # names are for people
    with pytest.raises(DriftproofError) as caught:
        record.claim(subject(model_hash="other", n_samples=500))
    message = str(caught.value)
    assert "model_hash: '0123456789abcdef' in the record, 'other' now" in message
    assert "n_samples: 10000 in the record, 500 now" in message
    assert "--out" in message
    assert "data_hash" not in message


def test_other_numerics_are_refused_by_name(record: Record) -> None:
    begin(record)
    with pytest.raises(DriftproofError, match=r"numerics: 1 in the record, 2 now.*choose another --out folder"):
        record.claim(subject(numerics=2))


def test_one_network_in_several_conversions(record: Record) -> None:
    whole, number = begin(record)
    part, _ = begin(record, decided={"analog": ("fc",), "tile_rows": 64}, layers={"tile_rows": 64})
    fill(record, part, number, preset("pcm"), {1.0: [90.0]})
    assert set(record.conversions()) == {whole.conversion_id, part.conversion_id}
    assert [item.conversion for item in record.configurations().values()].count(part.conversion_id) == 1


def test_one_name_one_preset(record: Record) -> None:
    entry = preset("pcm")
    record.add_preset(entry)
    record.add_preset(entry)
    with pytest.raises(DriftproofError, match=r"'pcm' with other numbers .*rename yours or choose another --out"):
        record.add_preset(entry.model_copy(update={"sha256": "changed"}))
    with pytest.raises(DriftproofError, match="reserved"):
        record.add_preset(preset("digital"))


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_value_that_is_no_number_is_refused(record: Record, value: float) -> None:
    _, number = begin(record)
    place = record.add_series(series("pcm"))
    said = rf"cell {place}, chip 3, t_s 1: the value is (nan|inf), wanted a finite number; check the network's outputs"
    with pytest.raises(DriftproofError, match=said):
        record.add(CellKey(place, 3, 1.0), outcome(value), number)
    assert len(list(record.outcomes())) == 2


def test_a_cell_needs_what_it_points_to_and_comes_once(record: Record) -> None:
    with pytest.raises(DriftproofError, match=r"no subject yet; call claim\(subject\) first"):
        record.add_series(series("pcm"))
    with pytest.raises(DriftproofError, match=r"10000 samples, the record in memory wanted a subject first"):
        record.add(CellKey("pcm"), outcome(90.0), 1)
    _, number = begin(record)
    with pytest.raises(DriftproofError, match="no series_id 'unknown' in the record's series; add it first"):
        record.add(CellKey("unknown"), outcome(90.0), number)
    key = CellKey(record.add_series(series("pcm")))
    with pytest.raises(DriftproofError, match=f"no id {number + 1} in the record's runs"):
        record.add(key, outcome(90.0), number + 1)
    with pytest.raises(DriftproofError, match="500 samples, the record in memory wanted 10000 samples"):
        record.add(key, outcome(90.0, total=500), number)
    record.add(key, outcome(90.0), number)
    with pytest.raises(DriftproofError, match=r"already in the record in memory; ask missing\(key\) first"):
        record.add(key, outcome(90.0), number)
    with pytest.raises(DriftproofError, match="cannot write to the record in memory: FOREIGN KEY"):
        record.show("unknown", "pcm", key.series)


@pytest.mark.parametrize(
    "place",
    [{"chip": -1}, {"t_s": -1.0}, {"t_s": math.nan}, {"series": DIGITAL, "chip": 1}, {"series": DIGITAL, "t_s": 1}],
)
def test_no_cell_without_a_chip_and_a_time(record: Record, place: dict[str, Any]) -> None:
    _, number = begin(record)
    key = CellKey(record.add_series(series("pcm")))._replace(**place)
    with pytest.raises(DriftproofError, match=r"wanted chip >= 0 and t_s >= 0, of the digital network chip 0 at t_s 0"):
        record.add(key, outcome(90.0), number)


def test_the_row_of_perfect_devices_is_one_row(record: Record) -> None:
    made, number = begin(record)
    ideal = next(series_id for _, name, series_id in record.shown() if name == IDEAL_ANALOG)
    record.add_preset(preset("ideal"))
    record.show(key_of(record, made), "ideal", ideal)
    record.add(CellKey(ideal, 1, 5.0), outcome(91.0), number)
    shown = record.cells()[["preset", "chip", "t_s"]].to_numpy().tolist()
    assert shown == [["digital", 0, 0.0], ["ideal-analog", 0, 0.0], ["ideal", 0, 0.0], ["ideal", 1, 5.0]]


def test_numbers_of_numpy_are_the_same_cells_as_pythons(record: Record) -> None:
    made, number = begin(record)
    place = fill(record, made, number, preset("pcm"), {}).id
    numbers: dict[str, Any] = {"value": np.float32(90.5), "total": np.int64(10_000)}
    seen = outcome(**numbers, in_validity=np.bool_(True), seconds=np.float64(0.5))
    record.add(CellKey(place, np.int64(3), np.float32(3600)), seen, number)  # type: ignore[arg-type]
    held = record.outcome(CellKey(place, 3, 3600))
    assert held is not None
    assert (held.value, held.total, held.in_validity) == (90.5, 10_000, True)
    assert not record.missing(CellKey(place, np.int64(3), 3600.0))[0]  # type: ignore[arg-type]
    assert record.cells()[["chip", "t_s", "value"]].iloc[-1].tolist() == [3, 3600.0, 90.5]


def test_layers_kept_digital_are_a_set(record: Record) -> None:
    made, number = begin(record)
    place = fill(record, made, number, preset("pcm"), {}).id
    record.add(CellKey(place, 0, 1.0, ("b", "a")), outcome(90.0), number)
    assert record.outcome(CellKey(place, 0, 1.0, ("a", "b"))) is not None
    assert record.outcome(CellKey(place, 0, 1.0)) is None
    assert sorted(key.digital for key, _, _ in record.outcomes()) == [(), (), ("a", "b")]


def test_seeds_are_as_large_as_64_bits(record: Record) -> None:
    for seed in (2**63 - 1, -(2**63)):
        begin(record, decided={"seed": seed})
    assert sorted(set(record.cells()["seed"])) == [-(2**63), 2**63 - 1]


def test_entries_are_strict() -> None:
    with pytest.raises(ValidationError, match="sed"):
        Configuration(
            backend="folded",
            periphery="ideal",
            compensation="tile",
            device="cpu",
            conversion="c",
            sed=0,  # type: ignore[call-arg]
        )
    with pytest.raises(ValidationError, match="sed"):
        conditions(sed=0)
    with pytest.raises(ValidationError, match="tile_rows"):
        conditions(tile_rows=0)
    with pytest.raises(ValidationError, match="frozen"):
        subject().metric = "mse"  # type: ignore[misc]
    assert Cell.model_config["extra"] == "forbid"
