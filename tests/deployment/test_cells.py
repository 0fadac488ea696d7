"""Measured cells: in a file as they come, read again to the last bit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from driftproof.deployment import Cell, Cells
from driftproof.errors import DriftproofError

CELL = Cell(
    subject="5" * 16,
    data="d",
    device='mine, "two"',
    device_hash="h",
    compensation="column:every_s=1d",
    t_s=31_536_000.0,
    seed=0,
    chip=3,
    digital="conv1 layer1.0.conv1",
)


def test_values_come_back_from_the_file(tmp_path: Path) -> None:
    path = tmp_path / "new" / "cells.csv"
    Cells(path)[CELL] = 1 / 3
    Cells(path)[replace(CELL, digital="")] = 2.5
    again = Cells(path)
    assert again.get(CELL) == 1 / 3
    assert again.get(replace(CELL, digital="")) == 2.5
    assert again.get(replace(CELL, chip=4)) is None
    assert again.get(replace(CELL, device="renamed")) == 1 / 3


def test_a_half_written_line_is_taken_off(tmp_path: Path) -> None:
    path = tmp_path / "cells.csv"
    Cells(path)[CELL] = 91.25
    whole = path.read_text()
    path.write_text(whole + whole.splitlines()[1][:40])
    cells = Cells(path)
    assert len(cells) == 1
    cells[replace(CELL, chip=9)] = 1.0
    assert len(Cells(path)) == 2


def test_another_file_is_refused_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "cells.csv"
    path.write_text("a,b\n1,2\n")
    with pytest.raises(DriftproofError, match="does not hold measured cells"):
        Cells(path)
    assert path.read_text() == "a,b\n1,2\n"


def test_a_broken_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / "cells.csv"
    Cells(path)[CELL] = 91.25
    path.write_text(path.read_text().replace("91.25", "high"))
    with pytest.raises(DriftproofError, match="line 2: not a measured cell"):
        Cells(path)
