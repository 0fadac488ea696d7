"""``driftproof merge``: records of several machines become one; whatever is wrong leaves nothing behind."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from driftproof._record import FILE_NAME, Record

type Cli = Callable[..., tuple[int, str, str]]
BASE = ["--data", "digits", "--preset", "gaussian:0.1"]
QUICK = [*BASE, "--limit", 50]


def test_records_of_two_machines_become_one(cli: Cli, tmp_path: Path) -> None:
    for name, times, chips in (("here", "1s,1h", 2), ("there", "1h,1d", 3), ("at-once", "1s,1h,1d", 3)):
        words = ("--times", times, "--chips", chips, "--out", tmp_path / name)
        assert cli("evaluate", "digits-cnn", *QUICK, *words)[0] == 0
    code, out, _ = cli("merge", tmp_path / "here", tmp_path / "there", "--out", tmp_path / "all")
    assert code == 0
    # 2 × 2 chips and times, digital and ideal-analog; then 3 × 2 less the two that are there already
    assert "here: 6 cells: 6 new\n" in out
    assert "there: 8 cells: 4 new, 4 there already\n" in out
    assert "record.sqlite (10 cells)\n" in out
    with Record.open(tmp_path / "all") as merged, Record.open(tmp_path / "at-once") as whole:
        mine = merged.cells().set_index(["preset", "chip", "t_s"])["value"]
        theirs = whole.cells().set_index(["preset", "chip", "t_s"])["value"]
    missing = {(preset, chip, t_s) for preset, chip, t_s in theirs.index} - set(mine.index)
    assert missing == {("gaussian:0.1", 2, 1.0)}  # which neither machine had measured
    assert mine.sort_index().equals(theirs.drop(list(missing)).sort_index())
    assert cli("report", tmp_path / "all", "--out", tmp_path / "page")[0] == 0


def test_a_folder_without_a_record_is_named_before_anything_is_written(cli: Cli, tmp_path: Path) -> None:
    assert cli("evaluate", "digits-cnn", *QUICK, "--times", "1s", "--chips", 1, "--out", tmp_path / "a")[0] == 0
    code, _, err = cli("merge", tmp_path / "a", tmp_path / "missing", "--out", tmp_path / "all")
    assert code == 2
    assert "missing" in err
    assert not (tmp_path / "all").exists()


def old(folder: Path) -> None:
    """Write a record of the old form."""
    folder.mkdir()
    with closing(sqlite3.connect(folder / FILE_NAME)) as file:
        file.executescript((Path(__file__).parents[1] / "record" / "old_form.sql").read_text(encoding="utf-8"))


@pytest.mark.parametrize("order", [("a", "b"), ("b", "a"), ("a", "old"), ("old", "a"), ("old",)])
def test_records_that_cannot_be_one_are_refused_before_anything_is_written(
    cli: Cli, tmp_path: Path, order: tuple[str, ...]
) -> None:
    for name, limit in (("a", 50), ("b", 60)):
        words = ("--times", "1s", "--chips", 1, "--out", tmp_path / name)
        assert cli("evaluate", "digits-cnn", *BASE, "--limit", limit, *words)[0] == 0
    old(tmp_path / "old")
    code, out, err = cli("merge", *(tmp_path / name for name in order), "--out", tmp_path / "all")
    assert (code, out) == (2, "")
    assert ("earlier driftproof" if "old" in order else "n_samples") in err
    assert not (tmp_path / "all").exists()


def test_a_record_that_is_there_is_added_to_by_all_or_none(cli: Cli, tmp_path: Path) -> None:
    for name, limit, chips in (("a", 50, 1), ("b", 50, 2), ("c", 60, 1)):
        words = ("--times", "1s", "--chips", chips, "--out", tmp_path / name)
        assert cli("evaluate", "digits-cnn", *BASE, "--limit", limit, *words)[0] == 0

    def content(name: str) -> list[str]:
        with closing(sqlite3.connect(tmp_path / name / FILE_NAME)) as file:
            return list(file.iterdump())

    before = content("a")
    assert cli("merge", tmp_path / "b", tmp_path / "c", "--out", tmp_path / "a")[0] == 2
    assert cli("merge", tmp_path / "c", "--out", tmp_path / "a")[0] == 2
    assert content("a") == before
    code, out, _ = cli("merge", tmp_path / "b", "--out", tmp_path / "a")
    assert code == 0
    assert "b: 4 cells: 1 new, 3 there already\n" in out
    assert "record.sqlite (4 cells, 3 of them before)\n" in out


def test_a_record_is_not_merged_into_itself(cli: Cli, tmp_path: Path) -> None:
    for name, chips in (("a", 1), ("b", 2)):
        words = ("--times", "1s", "--chips", chips, "--out", tmp_path / name)
        assert cli("evaluate", "digits-cnn", *QUICK, *words)[0] == 0
    for named in ("a", "a/record.sqlite", "b/../a"):
        code, out, err = cli("merge", tmp_path / "b", tmp_path / named, "--out", tmp_path / "a")
        assert (code, out) == (2, "")
        assert "one of the records to merge" in err
    with Record.open(tmp_path / "a") as record:
        assert len(record.cells()) == 3
