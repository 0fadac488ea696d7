"""SIGTERM, which batch systems send: the command ends as after Ctrl-C, and the record is one file with every cell."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

from driftproof._record import Record

WORDS = (
    "evaluate digits-cnn --data digits --limit 50 --preset gaussian:0.1 --times 1s --chips 2000 --threads 1 --out out"
)


def test_a_command_that_is_terminated_says_so_and_leaves_one_file(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "driftproof", *WORDS.split()]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path)
    before = 0
    while not before and process.poll() is None:
        time.sleep(0.1)
        before = count(tmp_path / "out" / "record.sqlite")
    process.send_signal(signal.SIGTERM)
    out, said = process.communicate(timeout=60)
    assert (process.returncode, out) == (143, "")
    assert said == "stopped: finished cells are kept, and the same command continues from there\n"
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["record.lock", "record.sqlite", "run.toml"]
    assert before <= count(tmp_path / "out" / "record.sqlite") < 2002


def count(file: Path) -> int:
    """Return how many cells a record has that may not have begun."""
    if not file.exists() or not file.stat().st_size:
        return 0
    with Record.open(file) as record:
        return len(record.cells())
