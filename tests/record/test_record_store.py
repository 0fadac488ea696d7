from __future__ import annotations

import math
import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from pydantic import ValidationError

from driftproof.errors import DriftproofError
from driftproof.record import CELL_COLUMNS, DIGITAL, FILE_NAME, Cell, Configuration, Record, config_id
from synthetic_record import LAYERS, begin, cell, configuration, fill, preset, run, subject


@pytest.fixture
def record():
    with Record.create_or_open(None) as made:
        yield made


def python(code: str) -> subprocess.Popen[str]:
    """Run code in a process of its own that can import the synthetic record."""
    path = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)],
        env={**os.environ, "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_what_goes_in_comes_out_after_reopening(tmp_path):
    entry = preset("pcm", valid_s=(0.0, 10.0))
    with Record.create_or_open(tmp_path / "a" / "b") as record:
        key, number = begin(record, label="first")
        fill(record, key, number, entry, {1.0: [90.0, 91.0], 0.1 + 0.2: [80.5], 20.0: [70.25]})
        table = record.cells()
    with Record.open(tmp_path / "a" / "b") as again:
        assert again.subject == subject()
        assert again.configurations() == {key: configuration(label="first")}
        assert again.presets() == {"pcm": entry}
        assert again.runs() == {number: run()}
        assert again.finished(key) == {
            (DIGITAL, 0, 0.0), ("ideal-analog", 0, 0.0),
            ("pcm", 0, 1.0), ("pcm", 1, 1.0), ("pcm", 0, 0.1 + 0.2), ("pcm", 0, 20.0),
        }  # fmt: skip
        assert again.cells().equals(table)
        assert tuple(table.columns) == CELL_COLUMNS
        assert table["preset"].tolist() == ["digital", "ideal-analog", "pcm", "pcm", "pcm", "pcm"]
        assert table["value"].tolist() == [91.73, 91.73, 80.5, 90.0, 91.0, 70.25]
        assert table["in_validity"].tolist() == [True] * 5 + [False]
        assert set(table["model"]) == {"resnet20"}
    with Record.open(tmp_path / "a" / "b" / FILE_NAME) as by_file:
        assert len(by_file.cells()) == 6


def test_order_of_cells_does_not_depend_on_order_of_computing(tmp_path):
    tables = []
    for name, times in (("up", [1.0, 5.0]), ("down", [5.0, 1.0])):
        with Record.create_or_open(tmp_path / name) as record:
            key, number = begin(record)
            for preset_name in sorted(["b", "a"], reverse=name == "down"):
                fill(record, key, number, preset(preset_name), {t: [90.0 - t, 80.0 - t] for t in times})
            tables.append(record.cells())
    assert tables[0].equals(tables[1])


def test_a_record_without_cells_is_about_nothing_yet(record):
    record.claim(subject())
    record.add_configuration(configuration())
    record.claim(subject(model_hash="other"))
    assert record.subject.model_hash == "other"
    assert record.configurations() == {}


def test_another_subject_is_refused_and_each_difference_named(record):
    begin(record)
    record.claim(subject())
    with pytest.raises(DriftproofError) as caught:
        record.claim(subject(model_hash="other", n_samples=500, layers=LAYERS[:1]))
    message = str(caught.value)
    assert "model_hash: '0123456789abcdef' in the record, 'other' now" in message
    assert "n_samples: 10000 in the record, 500 now" in message
    assert "the conversion differs" in message
    assert "--out" in message
    assert "tile_rows" not in message


def test_config_id_follows_what_is_measured_not_what_it_is_called():
    base = config_id(subject(), configuration())
    assert base == config_id(subject(model="renamed", data="renamed"), configuration())
    others = [
        config_id(subject(model_hash="x"), configuration()),
        config_id(subject(tile_rows=64), configuration()),
        config_id(subject(layers=LAYERS[:1]), configuration()),
        config_id(subject(), configuration(seed=1)),
        config_id(subject(), configuration(label="l")),
    ]
    assert len({base, *others}) == 6
    assert len(base) == 10


def test_one_name_one_preset(record):
    entry = preset("pcm")
    record.add_preset(entry)
    record.add_preset(entry)
    with pytest.raises(DriftproofError, match="'pcm' with other numbers"):
        record.add_preset(entry.model_copy(update={"sha256": "changed"}))
    with pytest.raises(DriftproofError, match="reserved"):
        record.add_preset(preset("digital"))


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_value_that_is_no_number_is_refused(record, value):
    key, number = begin(record)
    record.add_preset(preset("pcm"))
    with pytest.raises(DriftproofError, match=r"cell pcm, chip 3, t_s 1: accuracy is (nan|inf)"):
        record.add_cell(cell(key, "pcm", value, chip=3, t_s=1.0), number)
    assert len(record.cells()) == 2


def test_a_cell_needs_what_it_points_to_and_comes_once(record):
    key, number = begin(record)
    with pytest.raises(DriftproofError, match="no such preset"):
        record.add_cell(cell(key, "pcm", 90.0), number)
    record.add_preset(preset("pcm"))
    with pytest.raises(DriftproofError, match="configurations"):
        record.add_cell(cell("unknown", "pcm", 90.0), number)
    with pytest.raises(DriftproofError, match="runs"):
        record.add_cell(cell(key, "pcm", 90.0), number + 1)
    with pytest.raises(DriftproofError, match="'loss'"):
        record.add_cell(cell(key, "pcm", 90.0, metric="loss"), number)
    record.add_cell(cell(key, "pcm", 90.0), number)
    with pytest.raises(DriftproofError, match="already in the record"):
        record.add_cell(cell(key, "pcm", 90.0), number)


def test_entries_are_strict():
    with pytest.raises(ValidationError, match="sed"):
        Configuration(backend="folded", periphery="ideal", compensation="tile", device="cpu", sed=0)  # type: ignore[call-arg]
    with pytest.raises(ValidationError, match="one row"):
        cell("c", DIGITAL, 90.0, chip=1)
    with pytest.raises(ValidationError):
        cell("c", "pcm", 90.0, t_s=-1.0)
    with pytest.raises(ValidationError, match="frozen"):
        cell("c", "pcm", 90.0).value = 1.0  # type: ignore[misc]
    assert Cell.model_config["extra"] == "forbid"


def test_a_killed_writer_leaves_every_committed_cell(tmp_path):
    writer = python(f"""
        from synthetic_record import *
        record = Record.create_or_open({str(tmp_path)!r})
        key, number = begin(record)
        record.add_preset(preset("pcm"))
        for chip in range(10**6):
            record.add_cell(cell(key, "pcm", 90.0, chip=chip), number)
            print(chip, flush=True)
    """)
    assert writer.stdout is not None
    for line in writer.stdout:
        if int(line) >= 20:
            break
    os.kill(writer.pid, signal.SIGKILL)
    said = [20, *(int(line) for line in writer.stdout.read().split("\n")[:-1])][-1]
    writer.wait()
    with Record.open(tmp_path) as record:
        chips = set(record.cells().query("preset == 'pcm'")["chip"])
    # The one cell between its commit and the word of it may be there too.
    assert chips in (set(range(said + 1)), set(range(said + 2)))
    with sqlite3.connect(tmp_path / FILE_NAME) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()
    with Record.create_or_open(tmp_path) as record:
        key, number = begin_again(record)
        record.add_cell(cell(key, "pcm", 90.0, chip=10**6), number)


def begin_again(record: Record) -> tuple[str, int]:
    record.claim(subject())
    return record.add_configuration(configuration()), record.start_run(run())


def test_a_second_writer_is_refused_and_readers_are_not(tmp_path):
    writer = python(f"""
        import sys, time
        from synthetic_record import *
        record = Record.create_or_open({str(tmp_path)!r})
        begin(record)
        print("ready", flush=True)
        time.sleep(60)
    """)
    assert writer.stdout is not None
    assert writer.stdout.readline() == "ready\n"
    with pytest.raises(DriftproofError, match=f"process {writer.pid} is writing"):
        Record.create_or_open(tmp_path)
    begun = time.monotonic()
    with Record.open(tmp_path) as reader:
        assert len(reader.cells()) == 2
    assert time.monotonic() - begun < 10
    os.kill(writer.pid, signal.SIGKILL)
    writer.wait()
    writer.stdout.close()
    Record.create_or_open(tmp_path).close()


def test_stop_writing_lets_others_write_and_keeps_the_record_readable(tmp_path):
    first = Record.create_or_open(tmp_path)
    key, number = begin(first)
    with pytest.raises(DriftproofError, match="this process is writing"):
        Record.create_or_open(tmp_path)
    first.stop_writing()
    with Record.create_or_open(tmp_path) as second:
        second.add_preset(preset("pcm"))
        second.add_cell(cell(key, "pcm", 90.0), number)
    assert len(first.cells()) == 3
    with pytest.raises(DriftproofError, match="open for reading"):
        first.add_preset(preset("other"))
    first.close()
    first.close()


def test_a_forgotten_record_does_not_keep_its_folder(tmp_path):
    Record.create_or_open(tmp_path)
    Record.create_or_open(tmp_path).close()


def test_a_reader_cannot_write(tmp_path):
    Record.create_or_open(tmp_path).close()
    with Record.open(tmp_path) as reader, pytest.raises(DriftproofError, match="open for reading"):
        reader.claim(subject())


def test_no_record_says_so(tmp_path):
    with pytest.raises(DriftproofError, match=r"no record\.sqlite in .*driftproof evaluate"):
        Record.open(tmp_path)
    with pytest.raises(DriftproofError, match="does not exist"):
        Record.open(tmp_path / "nowhere")
    (tmp_path / "file").write_text("")
    with pytest.raises(DriftproofError, match="is a file"):
        Record.create_or_open(tmp_path / "file")


def test_other_files_are_refused(tmp_path):
    file = tmp_path / FILE_NAME
    file.write_text("not a database, but long enough to look at " * 50)
    for opens in (Record.open, Record.create_or_open):
        with pytest.raises(DriftproofError, match="cannot be read as a driftproof record"):
            opens(tmp_path)
    file.unlink()
    connection = sqlite3.connect(file)
    connection.execute("CREATE TABLE other (x)")
    connection.commit()
    connection.close()
    with pytest.raises(DriftproofError, match="not a driftproof record"):
        Record.open(tmp_path)
    file.write_bytes(b"")
    with pytest.raises(DriftproofError, match="is empty"):
        Record.open(tmp_path)
    Record.create_or_open(tmp_path).close()
    assert Record.open(tmp_path).subject is None


def test_a_newer_schema_is_refused(tmp_path):
    Record.create_or_open(tmp_path).close()
    connection = sqlite3.connect(tmp_path / FILE_NAME)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    for opens in (Record.open, Record.create_or_open):
        with pytest.raises(DriftproofError, match=r"schema version 99.*upgrade"):
            opens(tmp_path)


def test_one_file_and_its_lock_are_all_there_is(tmp_path):
    with Record.create_or_open(tmp_path) as record:
        begin(record)
        assert sorted(path.name for path in tmp_path.iterdir()) == ["record.lock", "record.sqlite"]
