"""A record that driftproof wrote before version 2 of the file: read, reported and exported, never continued."""

from __future__ import annotations

import hashlib
import importlib.util
import io
import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pandas as pd
import pytest

from driftproof._errors import DriftproofError
from driftproof._record import FILE_NAME, Record
from driftproof._reporting import export, report
from reporting.page_text import words
from synthetic_record import begin, preset

SQL = (Path(__file__).parent / "old_form.sql").read_text(encoding="utf-8")
NAMES = {"c581c3523d": "", "974d47bc3d": "plain", "23f9636b81": "standard periphery"}
COLUMNS = ["config_id", "preset", "chip", "t_s", "in_validity", "metric", "value", "n_samples"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "old"
    made.mkdir()
    with closing(sqlite3.connect(made / FILE_NAME)) as file:
        file.executescript(SQL)
    return made


def rows(folder: Path) -> set[tuple[object, ...]]:
    """Return the cells as they stand in an old file."""
    with closing(sqlite3.connect(folder / FILE_NAME)) as file:
        return set(file.execute(f"SELECT {', '.join(COLUMNS)} FROM cells").fetchall())


def hash_of(folder: Path) -> str:
    return hashlib.sha256((folder / FILE_NAME).read_bytes()).hexdigest()


def test_it_is_read_with_the_same_cells_under_the_same_ids(folder: Path) -> None:
    before = hash_of(folder)
    with Record.open(folder) as record:
        table = record.cells()
        assert {key: item.label for key, item in record.configurations().items()} == NAMES
        assert set(table[COLUMNS].itertuples(index=False, name=None)) == rows(folder)
        assert len(table) == 24
        assert table["value"][table["config_id"] == "974d47bc3d"].tolist() == [98, 98, 98, 98, 16, 22, 98, 98, 98, 96]
        assert set(table[~table["in_validity"]]["preset"]) == {"reram-wan-2022"}
        assert record.subject is not None
        assert (record.subject.model, record.subject.n_samples, record.subject.numerics) == ("digits-cnn", 50, 0)
        assert [run.started[:10] for run in record.runs().values()] == ["2026-01-02"] * 3
        standard = record.configurations()["23f9636b81"]
        assert standard.around_text == "8-bit in (static), 8-bit out, full scale 10, noise 0.04"
        assert str(standard.ranges) == "input ranges measured on 50 inputs of digits"
        (conversion,) = record.conversions().values()
        assert [layer.name for layer in conversion.layers if layer.analog] == ["conv1", "conv2", "fc1", "fc2"]
        assert {name: entry.card is not None for name, entry in record.presets().items()} == {
            "pcm-nandakumar-2019": True,
            "reram-wan-2022": False,
        }
        assert all(seen.per_sample is None for _, seen, _ in record.outcomes())
        with pytest.raises(DriftproofError, match="open for reading"):
            record.add_preset(preset("pcm"))
    assert hash_of(folder) == before


def test_it_is_reported_and_exported(folder: Path, tmp_path: Path) -> None:
    page = words(report(folder, tmp_path / "out").read_text())
    for part in (
        "digits-cnn (plain, standard periphery) on simulated analog hardware, with digits",
        "the digital network, which reaches 98.0 % on 50 samples of digits;",
        "On pcm-nandakumar-2019, digits-cnn loses",
        "8-bit in (static), 8-bit out, full scale 10, noise 0.04; input ranges measured on 50 inputs of digits",
        "4 of 6 layers with weights, holding 99.9 % of the weights",
        "No plots: this record was made before cards were stored",
        "commit 03262ac72073a3e8ab38871ae017a941c0d48d12",
    ):
        assert part in page, part
    with Record.open(folder) as record:
        table = record.cells()
        assert pd.read_csv(export(record, "csv", tmp_path / "cells.csv"))["value"].tolist() == table["value"].tolist()
        if importlib.util.find_spec("pyarrow") is not None:
            parquet = io.BytesIO(export(record, "parquet", tmp_path / "cells.parquet").read_bytes())
            assert pd.read_parquet(parquet)["value"].tolist() == table["value"].tolist()
        content = json.loads(export(record, "json", tmp_path / "cells.json").read_text())
    assert set(content["configurations"]) == set(NAMES)
    assert [cell["value"] for cell in content["cells"]] == table["value"].tolist()
    assert {cell["run"] for cell in content["cells"]} == {1, 2, 3}


def test_it_is_not_continued_and_stays_as_it_is(folder: Path) -> None:
    before = hash_of(folder)
    for _ in range(2):
        with pytest.raises(DriftproofError) as caught:
            Record.create_or_open(folder)
        message = str(caught.value)
        assert message.startswith(f"{folder / FILE_NAME} is a record of an earlier driftproof")
        assert "`driftproof report` and `driftproof export` read it" in message
        assert message.endswith("choose another --out folder")
    assert hash_of(folder) == before
    assert len(rows(folder)) == 24


def test_it_is_not_merged(folder: Path) -> None:
    with Record.open(folder) as old, Record.create_or_open(None) as into:
        said = r"record\.sqlite is a record of an earlier driftproof.*cannot be merged;.*`driftproof report`"
        with pytest.raises(DriftproofError, match=said):
            into.merge(old)
        assert into.subject is None
        begin(into)
        with pytest.raises(DriftproofError, match=said):
            into.merge(old)


def test_an_old_record_of_nothing_yet_is_empty(folder: Path) -> None:
    with closing(sqlite3.connect(folder / FILE_NAME)) as file:
        file.executescript("DELETE FROM cells; DELETE FROM subject;")
    with Record.open(folder) as record:
        assert record.subject is None
        assert record.cells().empty
