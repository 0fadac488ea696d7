"""A record on a network file system: machines that do not see each other's locks, and readers during a write.

No network is at hand: the folder is said to be on one, the other process takes no lock that this one could see, and it
says that it is on another machine.
"""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest

from driftproof._errors import DriftproofError, DriftproofWarning
from driftproof._record import CellKey, Record, claim, lock, opening
from driftproof._record.mounts import file_system, is_network
from record.processes import python
from synthetic_record import begin, fill, outcome, preset

QUICK = {"BEAT_S": 0.05, "WATCH_S": 0.6, "_SETTLE_S": 0.1}
MOUNTS = """\
/dev/sda / ext4 rw,relatime 0 0
server:/home /home nfs4 rw,local_lock=none 0 0
/dev/sdb /home/me/my\\040disk xfs rw 0 0
none /scratch tmpfs rw 0 0
10.0.0.1@tcp:/fs /scratch lustre rw,flock 0 0
user@host: /home/me/far fuse.sshfs rw 0 0
"""

WRITER = """
    import sys
    from driftproof._record import claim, lock, opening, schema
    from synthetic_record import *
    for name, value in {quick!r}.items():
        setattr(claim, name, value)
    lock.file_system = opening.file_system = lambda path: "nfs4"
    claim._machine = lambda: {machine!r}
    connect = schema.connect
    schema.connect = lambda target, **given: connect(target + "&vfs=unix-none" * ("mode=" in target), **given)
    record = Record.create_or_open({folder!r})
    made, number = begin(record)
    place = fill(record, made, number, preset("pcm"), {{}}).id
    print("ready", flush=True)
    for chip in range(10**6):
        if {waits!r}:
            sys.stdin.readline()
        try:
            record.add(CellKey(place, chip), outcome(66.66, per_sample=np.arange(10_000) % 3 > 0), number)
        except ValueError as error:
            print(error, flush=True)
            break
        if {waits!r}:
            print(chip, flush=True)
"""


@pytest.mark.parametrize(
    ("path", "kind", "network"),
    [
        ("/var/out", "ext4", False),
        ("/home/you/out", "nfs4", True),
        ("/home/me/my disk/out", "xfs", False),
        ("/homely", "ext4", False),
        ("/scratch/job", "lustre", True),
        ("/home/me/far", "fuse.sshfs", True),
    ],
)
def test_the_file_system_of_a_path_is_that_of_its_deepest_and_last_mount(path: str, kind: str, network: bool) -> None:
    assert file_system(Path(path), MOUNTS) == kind
    assert is_network(kind) == network


@pytest.mark.skipif(not Path("/proc/self/mounts").exists(), reason="the type of a file system is known on Linux only")
def test_the_file_system_of_this_machine(tmp_path: Path) -> None:
    assert file_system(Path("/proc/self")) == "proc"
    told = subprocess.run(["stat", "-f", "-c", "%T", str(tmp_path)], capture_output=True, text=True, check=True)
    assert file_system(tmp_path)[:3] == told.stdout[:3]


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in QUICK.items():
        monkeypatch.setattr(claim, name, value)
    for module in (lock, opening):
        monkeypatch.setattr(module, "file_system", lambda path: "nfs4")


@pytest.fixture
def unseen_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "_lock", lambda descriptor: None)


def writer(folder: Path, machine: str = "another", *, waits: bool = True) -> subprocess.Popen[str]:
    """Start a process that writes a record, as if on another machine."""
    process = python(
        WRITER.format(quick=QUICK, folder=str(folder), machine=machine, waits=waits), stdin=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def goes_on(process: subprocess.Popen[str]) -> str:
    """Let a writer add one cell, and return what it says."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("\n")
    process.stdin.flush()
    return process.stdout.readline()


def end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


@pytest.mark.usefixtures("network", "unseen_locks")
def test_a_living_writer_of_another_machine_is_named(tmp_path: Path) -> None:
    process = writer(tmp_path)
    refused = pytest.raises(DriftproofError, match=f"process {process.pid} on .* is writing the record in")
    with refused, pytest.warns(DriftproofWarning, match=r"watching for 0\.6 s whether it still lives"):
        Record.create_or_open(tmp_path)
    assert goes_on(process) == "0\n"
    end(process)


@pytest.mark.usefixtures("network", "unseen_locks")
def test_a_writer_that_died_on_another_machine_is_taken_over_with_all_its_cells(tmp_path: Path) -> None:
    process = writer(tmp_path)
    assert goes_on(process) == "0\n"
    end(process)
    with pytest.warns(DriftproofWarning, match="watching"):
        record = Record.create_or_open(tmp_path)
    with record:
        assert len(record.cells()) == 3
        begin(record, decided={"seed": 1})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["record.lock", "record.sqlite"]


@pytest.mark.usefixtures("network")
def test_a_writer_that_died_on_this_machine_is_taken_over_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    end(writer(tmp_path, claim._machine()))
    monkeypatch.setattr(claim, "WATCH_S", 1e6)
    Record.create_or_open(tmp_path).close()


@pytest.mark.usefixtures("network", "unseen_locks")
def test_a_writer_that_stood_still_until_it_was_taken_over_writes_no_more(tmp_path: Path) -> None:
    process = writer(tmp_path)
    assert goes_on(process) == "0\n"
    process.send_signal(signal.SIGSTOP)
    os.waitpid(process.pid, os.WUNTRACED)
    with pytest.warns(DriftproofWarning, match="watching"):
        record = Record.create_or_open(tmp_path)
    with record:
        process.send_signal(signal.SIGCONT)
        said = goes_on(process)
        assert f"process {os.getpid()} on " in said
        assert "has taken over the record in" in said
        process.wait(60)
        begin(record, decided={"seed": 1})  # the claim is still this process's
    with Record.open(tmp_path) as record:
        assert len(record.cells()) == 3 + 2
        assert record._connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"


@pytest.mark.usefixtures("network")
def test_readers_see_whole_moments_while_another_machine_writes(tmp_path: Path) -> None:
    process = writer(tmp_path, waits=False)
    counts = []
    until = time.monotonic() + 2
    while time.monotonic() < until:
        with Record.open(tmp_path) as record:
            chips = [key.chip for key, seen, _ in record.outcomes() if seen.per_sample is not None]
            assert record._connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
        assert chips == list(range(len(chips)))
        counts.append(len(chips))
    end(process)
    assert counts == sorted(counts)
    assert len(set(counts)) > 3
    assert counts[-1] > 500  # the log was copied into the record meanwhile


@pytest.mark.usefixtures("network")
def test_a_copy_during_which_the_log_began_anew_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copyfile, copied = shutil.copyfile, []
    with Record.create_or_open(tmp_path) as record:
        made, number = begin(record)
        place = fill(record, made, number, preset("pcm"), {}).id

        def add(chips: range) -> None:
            for chip in chips:
                record.add(CellKey(place, chip), outcome(66.66, per_sample=np.arange(10_000) % 3 > 0), number)

        def slow_copy(source: Path, to: Path) -> None:
            copyfile(source, to)
            copied.append(source.name)
            if len(copied) == 1:
                add(range(100, 1000))

        add(range(100))
        monkeypatch.setattr(opening.shutil, "copyfile", slow_copy)
        with Record.open(tmp_path) as reader:
            chips = [key.chip for key, seen, _ in reader.outcomes() if seen.per_sample is not None]
    assert chips == list(range(1000))
    assert copied.count("record.sqlite") == 2


def test_where_files_cannot_be_locked_the_claim_alone_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, network: None
) -> None:
    def no_locks(descriptor: int) -> None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr(lock, "_lock", no_locks)
    monkeypatch.setattr(lock, "file_system", lambda path: "unknown")
    first = Record.create_or_open(tmp_path)
    with pytest.warns(DriftproofWarning, match="this process"), pytest.raises(DriftproofError, match="this process"):
        Record.create_or_open(tmp_path)
    begin(first)
    first.stop_writing()
    with Record.create_or_open(tmp_path) as second:
        begin(second, decided={"seed": 1})
    assert len(first.cells()) == 2  # what it held when it stopped
    first.close()


@pytest.mark.usefixtures("network")
def test_a_claim_that_was_deleted_stops_its_writer(tmp_path: Path) -> None:
    with Record.create_or_open(tmp_path) as record:
        begin(record)
        (tmp_path / claim.CLAIM_NAME).unlink()
        with pytest.raises(DriftproofError, match="somebody has deleted the claim"):
            begin(record, decided={"seed": 1})
