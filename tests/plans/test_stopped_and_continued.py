"""A plan that was killed goes on where it was: the same answer, and no finished cell is computed again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from driftproof._record import DIGITAL, Record
from plans.asking import answer

TESTS = Path(__file__).parents[1]


def finished(folder: Path) -> int:
    """Return how many cells of chips a folder's records hold."""
    records = [place for place in (folder, folder / "reported") if (place / "record.sqlite").exists()]
    count = 0
    for place in records:
        with Record.open(place) as record:
            count += sum(key.series != DIGITAL for key, _, _ in record.outcomes())
    return count


# the search has fewer than 40 cells to choose on, and the last few of all are its report's
@pytest.mark.parametrize(("question", "cells"), [("sensitivity", 5), ("causes", 7), ("search", 9), ("search", -4)])
def test_a_killed_plan_goes_on_where_it_was(question: str, cells: int, tmp_path: Path) -> None:
    whole, in_order = answer(question, None)
    cells %= len(in_order)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")])}
    command = [sys.executable, "-m", "plans.asking", question, str(tmp_path), str(cells)]
    died = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert died.returncode == -signal.SIGKILL, died.stderr
    assert finished(tmp_path) == cells
    again, computed = answer(question, tmp_path)
    assert computed == in_order[cells:]
    assert again == whole
    assert answer(question, tmp_path) == (whole, [])


def test_every_run_that_added_cells_is_noted_once(tmp_path: Path) -> None:
    answer("sensitivity", tmp_path)
    answer("sensitivity", tmp_path)
    answer("causes", tmp_path)
    with Record.open(tmp_path) as record:
        assert len(record.runs()) == 2
