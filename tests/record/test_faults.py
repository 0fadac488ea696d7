"""What may happen to the disk, the clock and the process: nothing that was added is lost, and one sentence says why."""

from __future__ import annotations

import math
import os
import random
import signal
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from driftproof._errors import DriftproofError
from driftproof._record import FILE_NAME, CellKey, Record, journal
from record.faults import needs_mount, on_small_disk
from synthetic_record import begin, fill, outcome, preset, run

CHIPS = """
record = Record.create_or_open(FOLDER)
made, number = begin(record, shown=dict())
place = fill(record, made, number, preset("pcm"), {}).id
def add(chip, samples=10_000):
    record.add(CellKey(place, chip), outcome(66.66, per_sample=np.arange(samples) % 3 > 0), number)
"""


@needs_mount
def test_a_full_disk_keeps_every_cell_and_goes_on_when_there_is_room(tmp_path: Path) -> None:
    code = """
        added = 0
        try:
            while True:
                add(added)
                added += 1
        except DriftproofError as error:
            print(error)
        record.close()
        with Record.open(FOLDER) as reader:
            print(added, len(reader.cells()))
        try:
            Record.create_or_open(FOLDER).start_run(run())
        except DriftproofError as error:
            print(error)
        shell(f"mount -o remount,size=8m {FOLDER}")
        with Record.create_or_open(FOLDER) as record:
            number = record.start_run(run())
            add(added)
        with Record.open(FOLDER) as reader:
            print(len(reader.cells()), sorted(path.name for path in Path(FOLDER).iterdir()))
    """
    done = on_small_disk(tmp_path / "disk", "1m", CHIPS + "".join(line[8:] for line in code.splitlines(keepends=True)))
    assert done.returncode == 0, done.stderr
    full, held, again, more = done.stdout.splitlines()
    for said in (full, again):
        assert f"{tmp_path / 'disk' / FILE_NAME}" in said
        assert said.endswith("make room on the disk, and give the same command again")
    added, cells = map(int, held.split())
    assert added > 50
    assert cells == added + 2
    assert more == f"{added + 3} ['record.lock', 'record.sqlite']"


@needs_mount
def test_a_read_only_file_system_says_so_and_is_still_read(tmp_path: Path) -> None:
    code = """
        add(0)
        record.close()
        shell(f"mount -o remount,ro {FOLDER}")
        try:
            Record.create_or_open(FOLDER)
        except DriftproofError as error:
            print(error)
        with Record.open(FOLDER) as reader:
            print(len(reader.cells()))
    """
    done = on_small_disk(tmp_path / "disk", "1m", CHIPS + "".join(line[8:] for line in code.splitlines(keepends=True)))
    assert done.returncode == 0, done.stderr
    said, cells = done.stdout.splitlines()
    assert said.startswith(
        f"cannot write to {tmp_path / 'disk'} (Read-only file system); make room or make it writable"
    )
    assert cells == "3"


@needs_mount
def test_what_a_killed_writer_left_is_read_also_where_nothing_can_be_written(tmp_path: Path) -> None:
    code = """
        import os, signal
        child = os.fork()
        if child == 0:
            exec(CHIPS)
            add(0)
            os.kill(os.getpid(), signal.SIGKILL)
        os.waitpid(child, 0)
        shell(f"mount -o remount,ro {FOLDER}")
        print(sorted(path.name for path in Path(FOLDER).iterdir()))
        with Record.open(FOLDER) as reader:
            print(len(reader.cells()))
        shell(f"mount -o remount,rw {FOLDER}")
        Record.open(FOLDER).close()
        print(sorted(path.name for path in Path(FOLDER).iterdir()))
        shell(f"mount -o remount,ro {FOLDER}")
        with Record.open(FOLDER) as reader:
            print(len(reader.cells()))
    """
    code = f"CHIPS = {CHIPS!r}\n" + "".join(line[8:] for line in code.splitlines(keepends=True))
    done = on_small_disk(tmp_path / "disk", "1m", code)
    assert done.returncode == 0, done.stderr
    left, count, folded, still = done.stdout.splitlines()
    assert "record.sqlite-wal" in left
    assert count == still == "3"
    assert folded == "['record.lock', 'record.sqlite']"


def test_a_disk_that_refuses_in_the_middle_keeps_what_was_there(tmp_path: Path) -> None:
    """A limit of the size of files, which a write meets at any byte: SQLite then sees an error of the disk."""
    code = f"""
        import resource, signal
        FOLDER = {str(tmp_path)!r}
        exec({CHIPS!r})
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
        added = 0
        try:
            while True:
                add(added)
                added += 1
        except ValueError as error:
            print(error)
        print(added)
    """
    from record.processes import python

    said, fault = python(
        "from synthetic_record import *\n" + "".join(line[8:] for line in code.splitlines(keepends=True))
    ).communicate()
    assert fault == ""
    error, added = said.splitlines()
    assert error.endswith("check the disk and its quota, and give the same command again")
    with Record.create_or_open(tmp_path) as record:
        assert int(added) > 5
        assert len(record.cells()) == int(added) + 2
        begin(record, decided={"seed": 1})


def script(folder: Path) -> None:
    """Write all that a record can hold: after another subject that has no cell, two configurations and joined cells."""
    with Record.create_or_open(folder) as record:
        if record.subject is None:
            begin_other(record)
        for seed in range(2):
            with record.all_or_nothing():
                made, number = begin(record, decided={"seed": seed})
                entry = preset("pcm")
                place = fill(record, made, number, entry, {}).id
            for chip in range(2):
                for part in (np.arange(40), np.arange(40, 100)):
                    if record.missing(CellKey(place, chip), part)[0]:
                        entries = part % 3 > 0
                        seen = outcome(100 * entries.mean(), samples=part, per_sample=entries)
                        record.add(CellKey(place, chip), seen, number)


def begin_other(record: Record) -> None:
    """Leave what a run that failed at once leaves, of another subject."""
    from synthetic_record import subject

    record.claim(subject(model_hash="other"))
    record.add_preset(preset("pcm", family="other"))


def content(folder: Path) -> object:
    with Record.open(folder) as record:
        cells = [
            (key, seen.value, seen.mask.tolist(), seen.per_sample is not None) for key, seen, _ in record.outcomes()
        ]
        return cells, record.subject, record.shown(), record.presets(), record.configurations(), record.conversions()


def test_a_kill_before_any_statement_leaves_whole_trials_and_the_command_goes_on(tmp_path: Path) -> None:
    script(tmp_path / "whole")
    whole, statements = content(tmp_path / "whole"), 0
    for number in range(10_000):
        folder = tmp_path / str(number)
        child = os.fork()
        if child == 0:
            dies_before_statement(number, folder)
        _, status = os.waitpid(child, 0)
        if os.WIFEXITED(status):
            assert os.WEXITSTATUS(status) == 0
            break
        assert os.WTERMSIG(status) == signal.SIGKILL
        statements += 1
        if tables(folder):
            check_whole(folder)
        script(folder)
        assert content(folder) == whole, f"killed before statement {number}"
    assert statements > 60


def tables(folder: Path) -> bool:
    """Return whether a process that was killed had come as far as to make the tables."""
    with closing(sqlite3.connect(folder / FILE_NAME)) as file:
        return file.execute("SELECT 1 FROM sqlite_master").fetchone() is not None


def dies_before_statement(number: int, folder: Path) -> None:
    """Run the script in this process, which is a child's, up to a statement of those that write."""
    count = 0
    connect = sqlite3.connect

    def count_statement(statement: str) -> None:
        nonlocal count
        if not statement.startswith(("SELECT", "--")):
            if count == number:
                os.kill(os.getpid(), signal.SIGKILL)
            count += 1

    def counting(*given: object, **more: object) -> sqlite3.Connection:
        connection: sqlite3.Connection = connect(*given, **more)  # type: ignore[call-overload]
        connection.set_trace_callback(count_statement)
        return connection

    try:
        sqlite3.connect = counting  # type: ignore[assignment]
        script(folder)
        os._exit(0)
    except BaseException:
        os._exit(1)


def check_whole(folder: Path) -> None:
    """Check that what a killed process left can be read, and that every cell in it is shown."""
    with Record.open(folder) as record:
        shown = {series for _, _, series in record.shown()}
        assert {key.series for key, _, _ in record.outcomes()} <= shown


def test_a_power_cut_loses_at_most_what_was_added_after_the_last_wait_for_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A power cut is played: of what was written since the last wait any sector may be lost, the log may be shorter."""
    clock = 0.0
    monkeypatch.setattr(journal.time, "monotonic", lambda: clock)
    record = Record.create_or_open(tmp_path / "whole")
    made, number = begin(record)
    place, right = fill(record, made, number, preset("pcm"), {}).id, np.arange(10_000) % 3 > 0
    log, synced, size = tmp_path / "whole" / f"{FILE_NAME}-wal", 0, 0
    for chip in range(43):
        clock += 0.3
        waits = record._journal is not None and clock - record._journal._synced >= journal.SYNC_S
        record.add(CellKey(place, chip), outcome(66.66, per_sample=right), number)
        if waits:
            synced, size = chip + 1, log.stat().st_size
    assert synced == 40  # 0.3 s per cell: three cells after the last wait
    whole = log.read_bytes()
    assert len(whole) > size
    rng, lost = random.Random(0), set()
    for trial in range(60):
        left = bytearray(whole[: rng.choice([len(whole), rng.randrange(size, len(whole))])])
        share = rng.choice([0.0, 0.02, 0.2])
        for sector in range(-(-size // 512), len(left) // 512):
            if rng.random() < share:
                left[512 * sector : 512 * sector + 512] = rng.choice([bytes(512), rng.randbytes(512)])
        folder = tmp_path / str(trial)
        folder.mkdir()
        (folder / FILE_NAME).write_bytes((tmp_path / "whole" / FILE_NAME).read_bytes())
        (folder / f"{FILE_NAME}-wal").write_bytes(left)
        with Record.open(folder) as held:
            chips = [key.chip for key, seen, _ in held.outcomes() if seen.per_sample is not None]
            assert held._connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
        assert chips == list(range(len(chips)))
        assert synced <= len(chips) <= 43
        lost.add(43 - len(chips))
    assert lost == {0, 1, 2, 3}
    record.close()


@pytest.mark.parametrize("jump_s", [-1e9, 1e9])
def test_a_clock_that_jumps_changes_neither_order_nor_waits(
    jump_s: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, waits = 0.0, []
    monkeypatch.setattr(journal.time, "monotonic", lambda: clock)
    monkeypatch.setattr(journal.time, "time", lambda: jump_s * clock)
    with Record.create_or_open(tmp_path) as record:
        made, number = begin(record)
        place = fill(record, made, number, preset("pcm"), {}).id
        for chip in range(4):
            clock += 0.6
            number = record.start_run(run(started=f"{2040 + int(math.copysign(10, jump_s)) * chip}-01-01T00:00:00Z"))
            waits.append(record._connection.execute("PRAGMA synchronous").fetchone()[0])
            record.add(CellKey(place, chip, 1.0), outcome(90.0), number)
    assert waits == [1, 2, 1, 2]  # NORMAL and FULL: every second one is a second after the last wait
    with Record.open(tmp_path) as record:
        runs = {key.chip: record.runs()[number].started for key, _, number in record.outcomes() if key.t_s}
        assert list(runs) == [0, 1, 2, 3]
        assert sorted(runs.values(), reverse=jump_s < 0) == list(runs.values())


def test_a_child_does_not_hold_the_lock_of_a_parent_that_died(tmp_path: Path) -> None:
    from record.processes import python

    writer = python(f"""
        import os, time
        from synthetic_record import *
        record = Record.create_or_open({str(tmp_path)!r})
        begin(record)
        if os.fork() == 0:
            time.sleep(60)
            os._exit(0)
        print("ready", flush=True)
        time.sleep(60)
    """)
    assert writer.stdout is not None
    assert writer.stdout.readline() == "ready\n"
    with pytest.raises(DriftproofError, match=f"process {writer.pid} "):
        Record.create_or_open(tmp_path)
    os.kill(writer.pid, signal.SIGKILL)
    writer.wait()
    with Record.create_or_open(tmp_path) as record:
        assert len(record.cells()) == 2
