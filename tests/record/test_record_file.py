"""The file of a record: one writer, many readers, kill -9, and files that are no record."""

from __future__ import annotations

import os
import re
import signal
import socket
import sqlite3
import time
from pathlib import Path

import pytest

from driftproof._errors import DriftproofError
from driftproof._record import FILE_NAME, CellKey, Record
from record.processes import python
from synthetic_record import begin, fill, outcome, preset, run, series, subject


def test_a_killed_writer_leaves_every_committed_cell(tmp_path: Path) -> None:
    writer = python(f"""
        from synthetic_record import *
        record = Record.create_or_open({str(tmp_path)!r})
        made, number = begin(record)
        place = fill(record, made, number, preset("pcm"), {{}}).id
        right = np.arange(10_000) % 3 > 0
        for chip in range(10**6):
            record.add(CellKey(place, chip), outcome(66.66, per_sample=right), number)
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
        entries = {len(seen.per_sample) for _, seen, _ in record.outcomes() if seen.per_sample is not None}
    # The one cell between its commit and the word of it may be there too.
    assert chips in (set(range(said + 1)), set(range(said + 2)))
    assert entries == {10_000}
    with sqlite3.connect(tmp_path / FILE_NAME) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()
    with Record.create_or_open(tmp_path) as record:
        record.claim(subject())
        place = next(series_id for _, name, series_id in record.shown() if name == "pcm")
        record.add(CellKey(place, 10**6), outcome(90.0), record.start_run(run()))


def test_a_killed_writer_leaves_all_of_a_joined_cell_or_what_it_was(tmp_path: Path) -> None:
    writer = python(f"""
        from synthetic_record import *
        record = Record.create_or_open({str(tmp_path)!r})
        made, number = begin(record, n_samples=9_999)
        place = fill(record, made, number, preset("pcm"), {{}}).id
        for sample in range(9_999):
            seen = outcome(100.0, 9_999, samples=np.array([sample]), per_sample=np.array([True]))
            record.add(CellKey(place), seen, number)
            print(sample + 1, flush=True)
    """)
    assert writer.stdout is not None
    for line in writer.stdout:
        if int(line) >= 20:
            break
    os.kill(writer.pid, signal.SIGKILL)
    said = [20, *(int(line) for line in writer.stdout.read().split("\n")[:-1])][-1]
    writer.wait()
    with Record.open(tmp_path) as record:
        (seen,) = [seen for _, seen, _ in record.outcomes() if seen.per_sample is not None]
        assert record.cells()["n_samples"].iloc[-1] == seen.seen
    assert seen.seen in (said, said + 1)
    assert seen.samples is not None
    assert seen.samples.tolist() == list(range(seen.seen))


def test_a_second_writer_is_refused_and_readers_are_not(tmp_path: Path) -> None:
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
    named = rf"process {writer.pid} on {re.escape(socket.gethostname())} \(since 20..-.*\) is writing the record in"
    with pytest.raises(DriftproofError, match=named):
        Record.create_or_open(tmp_path)
    begun = time.monotonic()
    with Record.open(tmp_path) as reader:
        assert len(reader.cells()) == 2
    assert time.monotonic() - begun < 10
    os.kill(writer.pid, signal.SIGKILL)
    writer.wait()
    writer.stdout.close()
    Record.create_or_open(tmp_path).close()


def test_a_reader_sees_one_moment_while_another_process_writes(tmp_path: Path) -> None:
    writer = Record.create_or_open(tmp_path)
    begin(writer)
    statements: list[str] = []
    with writer, Record.open(tmp_path) as reader:
        reader._connection.set_trace_callback(statements.append)
        assert len(reader.cells()) == 2
        assert len(statements) == 1  # SQLite shows one statement one state of the file
        begin(writer, decided={"seed": 1})
        assert [cell.preset for cell, _ in reader.entries()] == ["digital", "ideal-analog"] * 2
        assert len(statements) == 2
        assert len(reader.cells()) == 4


def test_stop_writing_lets_others_write_and_keeps_the_record_readable(tmp_path: Path) -> None:
    first = Record.create_or_open(tmp_path)
    made, number = begin(first)
    with pytest.raises(DriftproofError, match="this process is writing"):
        Record.create_or_open(tmp_path)
    first.stop_writing()
    with Record.create_or_open(tmp_path) as second:
        fill(second, made, number, preset("pcm"), {0.0: [90.0]})
    assert len(first.cells()) == 3
    with pytest.raises(DriftproofError, match="open for reading"):
        first.add_preset(preset("other"))
    first.close()
    first.close()


def test_what_fails_inside_all_or_nothing_leaves_nothing(tmp_path: Path) -> None:
    with Record.create_or_open(tmp_path) as record:
        _, number = begin(record)

        def two_cells() -> None:
            with record.all_or_nothing():
                place = record.add_series(series("pcm"))
                record.add(CellKey(place), outcome(90.0), number)
                record.add(CellKey(place), outcome(90.0), number)

        with pytest.raises(DriftproofError, match="already in the record"):
            two_cells()
        assert len(list(record.outcomes())) == 2
        begin(record, decided={"seed": 1})  # and it goes on
    with Record.open(tmp_path) as record:
        assert len(record.cells()) == 4
        assert series("pcm").id not in record.series()


def test_a_forgotten_record_does_not_keep_its_folder(tmp_path: Path) -> None:
    Record.create_or_open(tmp_path)
    Record.create_or_open(tmp_path).close()


def test_a_reader_cannot_write(tmp_path: Path) -> None:
    Record.create_or_open(tmp_path).close()
    with Record.open(tmp_path) as reader, pytest.raises(DriftproofError, match="open for reading"):
        reader.claim(subject())


def test_no_record_says_so(tmp_path: Path) -> None:
    with pytest.raises(DriftproofError, match=r"no record\.sqlite in .*driftproof evaluate"):
        Record.open(tmp_path)
    with pytest.raises(DriftproofError, match="does not exist"):
        Record.open(tmp_path / "nowhere")
    (tmp_path / "file").write_text("")
    with pytest.raises(DriftproofError, match="is a file"):
        Record.create_or_open(tmp_path / "file")


def test_other_files_are_refused(tmp_path: Path) -> None:
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


def test_a_newer_schema_is_refused(tmp_path: Path) -> None:
    Record.create_or_open(tmp_path).close()
    connection = sqlite3.connect(tmp_path / FILE_NAME)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    for opens in (Record.open, Record.create_or_open):
        with pytest.raises(DriftproofError, match=r"schema version 99.*upgrade"):
            opens(tmp_path)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_one_file_and_its_lock_are_all_there_is_of_a_record_that_nobody_writes(tmp_path: Path) -> None:
    writer = Record.create_or_open(tmp_path)
    begin(writer)
    assert names(tmp_path) == ["record.lock", "record.sqlite", "record.sqlite-shm", "record.sqlite-wal"]
    writer.stop_writing()
    assert names(tmp_path) == ["record.lock", "record.sqlite"]
    copy = tmp_path / "copy.sqlite"
    copy.write_bytes((tmp_path / FILE_NAME).read_bytes())
    with Record.open(copy) as record:
        assert len(record.cells()) == len(writer.cells()) == 2
    writer.close()
    with Record.create_or_open(tmp_path) as again:
        begin(again, decided={"seed": 1})
    assert names(tmp_path) == ["copy.sqlite", "record.lock", "record.sqlite"]


def test_a_writer_that_ends_while_another_reads_leaves_its_log_to_the_reader(tmp_path: Path) -> None:
    writer = Record.create_or_open(tmp_path)
    begin(writer)
    reader = Record.open(tmp_path)
    begun = time.monotonic()
    writer.close()
    assert time.monotonic() - begun < 10  # it does not wait for the reader
    assert len(reader.cells()) == 2
    reader.close()
    assert names(tmp_path) == ["record.lock", "record.sqlite"]
    with Record.create_or_open(tmp_path) as again:
        begin(again, decided={"seed": 1})
        assert len(again.cells()) == 4


def test_a_record_to_which_nothing_is_added_stays_as_it_is(tmp_path: Path) -> None:
    with Record.create_or_open(tmp_path) as record:
        begin(record)
    before = (tmp_path / FILE_NAME).read_bytes()
    with Record.create_or_open(tmp_path) as record:
        record.claim(subject())
    assert (tmp_path / FILE_NAME).read_bytes() == before
