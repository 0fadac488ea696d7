"""Records that were edited, are of another version or in use: one sentence with the row, in bounded time."""

from __future__ import annotations

import json
import os
import sqlite3
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import driftproof as dp
from driftproof._errors import DriftproofError
from driftproof.fitting import read_measurements
from driftproof.measured import load_measured
from real.test_fuzz import in_time, write_measured, write_record

ENDLESS = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT x AS id, 'a' AS body FROM n"


def edited(path: Path, *statements: str) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA foreign_keys = OFF")
        for statement in statements:
            connection.execute(statement)
    connection.close()


def of_preset(change: Callable[[dict[str, object]], None]) -> Callable[[Path], None]:
    """Return an edit of the definition of the record's preset."""

    def edit(path: Path) -> None:
        with sqlite3.connect(path) as connection:
            name, body = connection.execute("SELECT name, body FROM presets WHERE name LIKE 'gauss%'").fetchone()
            entry = json.loads(body)
            change(entry["definition"])
            connection.execute("UPDATE presets SET body = ? WHERE name = ?", (json.dumps(entry), name))
        connection.close()

    return edit


def of_layers(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        name, body = connection.execute("SELECT conversion_id, body FROM conversions").fetchone()
        entry = json.loads(body)
        entry["layers"][0]["more"] = {"macs_per_input": "x"}
        connection.execute("UPDATE conversions SET body = ? WHERE conversion_id = ?", (json.dumps(entry), name))
    connection.close()


def by(*statements: str) -> Callable[[Path], None]:
    return lambda path: edited(path, *statements)


# name: (what was done, what is said)
OPENED: dict[str, tuple[Callable[[Path], None], str]] = {
    "an endless view": (by("DROP TABLE subject", f"CREATE VIEW subject AS {ENDLESS}"), "subject is missing, changed"),
    "an endless view, old": (
        by("DROP TABLE subject", f"CREATE VIEW subject AS {ENDLESS}", "PRAGMA user_version = 1"),
        "missing, changed or unknown",
    ),
    "a trigger": (
        by(f"CREATE TRIGGER sqlitemine BEFORE INSERT ON runs BEGIN SELECT 1 FROM ({ENDLESS}); END"),
        "sqlitemine is missing, changed or unknown",
    ),
    "a table more": (by("CREATE TABLE mine (x)"), "mine is missing, changed or unknown"),
    "a column less": (by("ALTER TABLE cells DROP COLUMN seconds"), "cells is missing, changed"),
    "version 0": (by("PRAGMA user_version = 0"), "version 0, which there never was"),
    "a later version": (by("PRAGMA user_version = 9"), "version 9, this driftproof reads up to"),
    "new tables called old": (by("PRAGMA user_version = 1"), "missing, changed or unknown"),
    "an accuracy of 1e308": (by("UPDATE cells SET value = 1e308"), r"value is 1e\+308, wanted 0 to 100"),
    "a text for a value": (by("UPDATE cells SET value = 'x'"), r"cell '.*value is 'x'"),
    "a chip of -1": (by("UPDATE cells SET chip = -1 WHERE chip = 1"), "chip is -1"),
    "a missing series": (by("DELETE FROM series WHERE series_id <> 'digital'"), "its series is missing"),
    "a missing run": (by("DELETE FROM runs"), "its run is missing"),
    "entries of another length": (by("UPDATE cells SET per_sample = x'00'"), "entries per sample have another length"),
    "deep diagnostics": (by(f"UPDATE cells SET diagnostics = '{'[' * 100_000}'"), r"diagnostics is .*…"),
    "an unknown key": (by("""UPDATE runs SET body = json_set(body, '$.unknown', 1)"""), "unknown key unknown"),
    "no JSON": (by("UPDATE series SET body = '{' WHERE series_id <> 'digital'"), "series"),
    "another metric": (by("""UPDATE subject SET body = json_set(body, '$.metric', 'x')"""), "unknown metric 'x'"),
    "a count that is a text": (of_layers, r"more\.macs_per_input"),
}


@pytest.mark.parametrize("kind", OPENED)
def test_a_damaged_record_is_refused_with_its_row(kind: str, tmp_path: Path) -> None:
    path = write_record(tmp_path)
    edit, said = OPENED[kind]
    edit(path)
    calls: list[Callable[[], object]] = [
        lambda: dp.Record.open(path),
        lambda: dp.Record.create_or_open(tmp_path),
        lambda: dp.report(tmp_path, tmp_path / "report"),
    ]
    for call in calls:
        with in_time(), pytest.raises(DriftproofError, match=said) as caught:
            call()
        assert len(str(caught.value)) < 3_000


@pytest.mark.parametrize(
    "change",
    [
        lambda definition: definition.update(source=[1]),
        lambda definition: definition.update(family={}),
        lambda definition: definition.update(validity=7),
        lambda definition: definition.clear(),
    ],
)
def test_an_edited_definition_of_a_preset_is_no_traceback(
    change: Callable[[dict[str, object]], None], tmp_path: Path
) -> None:
    of_preset(change)(write_record(tmp_path))
    try:
        dp.report(tmp_path, tmp_path / "report")
    except DriftproofError as error:
        assert "damaged" in str(error)  # noqa: PT017


def test_what_is_whole_is_exported_with_a_warning(tmp_path: Path) -> None:
    path = write_record(tmp_path)
    edited(path, "UPDATE cells SET value = 'x' WHERE chip = 1")
    with pytest.warns(dp.DriftproofWarning, match="1 damaged rows, 1 cells among them, are left out"):
        record = dp.Record.open(path, leave_out_damaged=True)
    assert len(record.cells()) == 3
    record.close()
    edited(path, "DELETE FROM subject")
    with pytest.raises(DriftproofError, match="no subject"):
        dp.Record.open(path)


def test_a_record_in_use_is_not_called_damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_record(tmp_path)
    monkeypatch.setattr("driftproof._record.schema._BUSY_S", 0.1)
    with sqlite3.connect(path, isolation_level=None) as holder:
        holder.execute("BEGIN EXCLUSIVE")
        with in_time(), pytest.raises(DriftproofError, match="in use by another process"):
            dp.Record.open(path)


def packed(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("g_plus_us", "g_minus_us"):
            form = b"{'descr': '<f8', 'fortran_order': False, 'shape': (4096, 5000), }".ljust(117) + b"\n"
            with archive.open(f"{name}.npy", "w") as file:
                file.write(np.lib.format.magic(1, 0) + b"\x76\x00" + form)
                for _ in range(160):
                    file.write(bytes(2**20))


def pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def endless(path: Path) -> None:
    path.unlink()
    path.symlink_to("/dev/zero")


@pytest.mark.parametrize("make", [packed, pipe, endless])
def test_arrays_that_would_fill_the_memory_are_refused(make: Callable[[Path], None], tmp_path: Path) -> None:
    path = write_measured(tmp_path)
    make(path)
    with in_time(), pytest.raises(DriftproofError, match=r"fc\.npz"):
        load_measured(tmp_path / "chips")


@pytest.mark.parametrize("header", [",".join(["a"] * 150_000), ",".join(map(str, range(150_000)))])
def test_a_table_of_too_many_columns_is_refused_at_once(header: str, tmp_path: Path) -> None:
    (tmp_path / "wide.csv").write_text(f"{header}\n{header}\n")
    with in_time(), pytest.raises(DriftproofError, match=r"wide\.csv: line 1: 150,000 cells"):
        read_measurements(tmp_path / "wide.csv")


def test_a_preset_with_very_many_faults_lists_some(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("".join(f"key{number} = 1\n" for number in range(20_000)))
    with in_time(), pytest.raises(DriftproofError, match="more faults") as caught:
        dp.load_preset(path)
    assert len(str(caught.value)) < 10_000
    path.write_text(".".join(["a"] * 200) + " = 1\n")
    with in_time(), pytest.raises(DriftproofError, match="nested more than"):
        dp.load_preset(path)


@pytest.mark.parametrize("content", ["[" * 100_000, "[]", "null", "1e999", ""])
def test_the_settings_of_a_training_that_were_edited(content: str, tmp_path: Path) -> None:
    data = torch.randn(20, 4), torch.arange(20) % 2
    dp.train(nn.Linear(4, 2), data, epochs=1, batch_size=10, out=tmp_path)
    (tmp_path / "settings.json").write_text(content)
    with in_time(), pytest.raises(DriftproofError, match=r"settings\.json: damaged"):
        dp.train(nn.Linear(4, 2), data, epochs=1, batch_size=10, out=tmp_path)
