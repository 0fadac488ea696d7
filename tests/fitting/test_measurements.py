"""Reading a user's CSV file: what it may be, and what is said, line by line, when it is not."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from driftproof._errors import DriftproofError
from driftproof.fitting import read_measurements
from driftproof.fitting._measurements import Measurements
from fitting.made import made, write_csv

HEADER = "device,g_target_us,t_s,g_us"


def good(devices: int = 12) -> list[str]:
    """Lines 2 to 25: twelve devices at 10 µS, two times each; device i stands on lines 2 + 2 i and 3 + 2 i."""
    return [f"d{i},10,{t},{10 + 0.1 * i - 0.2 * (t > 1)}" for i in range(devices) for t in (1, 100)]


def read(tmp_path: Path, lines: list[str], header: str = HEADER) -> Measurements:
    path = tmp_path / "mine.csv"
    path.write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    return read_measurements(path)


def faults(tmp_path: Path, lines: list[str], header: str = HEADER) -> str:
    with pytest.raises(DriftproofError) as caught:
        read(tmp_path, lines, header)
    assert "mine.csv" in str(caught.value)
    return str(caught.value)


def test_a_good_file(tmp_path: Path) -> None:
    found = read(tmp_path, good())
    assert found.told_apart
    assert found.file == "mine.csv"
    assert len(found.sha256) == 64
    assert found.who[:3] == ("d0", "d0", "d1")
    assert found.line.tolist() == list(range(2, 26))
    np.testing.assert_allclose(found.g_us[:4], [10, 9.8, 10.1, 9.9])


def test_columns_in_any_order_spaces_and_others_that_are_named(tmp_path: Path) -> None:
    lines = [f"{g}, {t} ,{name},{target},note" for name, target, t, g in (line.split(",") for line in good())]
    found = read(tmp_path, lines, "g_us, t_s,device,g_target_us,remark")
    assert len(found.notes) == 1
    assert re.search("not used: remark", found.notes[0])
    np.testing.assert_allclose(found.g_us, read(tmp_path, good()).g_us)


def test_a_byte_order_mark_quotes_and_empty_lines_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text("\ufeff" + "\r\n".join([HEADER, *good()]) + "\r\n\r\n\n", encoding="utf-8", newline="")
    assert len(read_measurements(path).g_us) == 24


def test_groups(tmp_path: Path) -> None:
    lines = [line.replace(line.split(",")[0], "wafer 1") for line in good()]
    found = read(tmp_path, lines, HEADER.replace("device", "group"))
    assert not found.told_apart
    assert set(found.who) == {"wafer 1"}


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("d3,10,,10", "line 8: t_s is empty: wanted a number in s"),
        ("d3,10,1,", "line 8: g_us is empty: wanted a number in µS"),
        (",10,1,10", "line 8: device is empty: wanted a name or number"),
        ("d3,10,1", "line 8: 3 cells: wanted 4 cells, as in the header"),
        ("d3,10,1,10,7", "line 8: 5 cells: wanted 4 cells, as in the header"),
        ("d3,10,soon,10", "line 8: t_s = 'soon': wanted a number in s"),
        ("d3,ten,1,10", "line 8: g_target_us = 'ten': wanted a number in µS"),
        ('d3,10,1,"9,9"', "line 8: g_us = '9,9': wanted a number in µS (a decimal comma? wanted a point)"),
        ("d3,10,1,1_0", "line 8: g_us = '1_0': wanted a number in µS"),
        ("d3,10,1,nan", "line 8: g_us = nan: wanted a finite number in µS"),
        ("d3,10,inf,10", "line 8: t_s = inf: wanted a finite number in s"),
        ("d3,10,1,-0.5", "line 8: g_us = -0.5: wanted 0 or more, in µS"),
        ("d3,10,-1,10", "line 8: t_s = -1: wanted 0 or more, in s"),
        ("d3,-10,1,10", "line 8: g_target_us = -10: wanted 0 or more, in µS"),
        ("d2,10,1,10.2", "line 8: the same as line 6: wanted each reading once"),
        ("d2,10,1,11", "line 8: device d2 at t_s = 1 once more (line 6 has g_us = 10.2, this line 11)"),
        (
            "d2,10,50,10.2",
            "line 8: device d2: t_s = 50 after 100 on line 7: wanted times that increase within a device",
        ),
        ("d2,12,200,12", "line 8: device d2 has g_target_us = 12, but 10 on line 6: wanted one target per device"),
        ("d3,10,1,100", "line 8: g_us = 100 is about 10 times the median of its level, 10.65 µS: a slip of the unit?"),
        ("d3,10,1,10300", "line 8: g_us = 10300 is about 1000 times the median of its level"),
        ("d3,10,1,1.0", "line 8: g_us = 1 is about 0.1 times the median of its level"),
        ("d3,10,1,0.0103", "line 8: g_us = 0.0103 is about 0.001 times the median of its level"),
    ],
)
def test_a_faulty_row_is_said_with_its_line(tmp_path: Path, row: str, words: str) -> None:
    lines = good()
    lines[6] = row  # on line 8: the first reading of d3
    assert words in faults(tmp_path, lines)


def test_lines_are_counted_as_an_editor_does(tmp_path: Path) -> None:
    lines = good()
    lines[2] = '"d\n1",10,1,10'  # a name over two lines
    lines[6] = "d3,10,1,x"
    assert "line 9: g_us = 'x'" in faults(tmp_path, lines)


def test_several_faults_are_said_together(tmp_path: Path) -> None:
    lines = good()
    lines[0], lines[5], lines[9] = "d0,10,1,?", "d2,10,100,-1", "d4,10,0.5,10.4"
    said = faults(tmp_path, lines)
    assert "3 faults; mend the file and fit again (the first line is line 1)" in said
    assert said.index("line 2: ") < said.index("line 7: ") < said.index("line 11: ")


def test_many_faults_are_counted(tmp_path: Path) -> None:
    said = faults(tmp_path, [*good(), *["d99,10,1,x"] * 30])
    assert "30 faults" in said
    assert said.count("\n  line ") == 20
    assert said.endswith("... and 10 more")


@pytest.mark.parametrize(
    ("factor", "words"),
    [
        (1e3, ["about 1000 times g_target_us", "is g_us in nS?", "divide g_us by 1000"]),
        (1e-3, ["about 0.001 times g_target_us", "is g_us in mS?", "multiply g_us by 1000"]),
        (1e-6, ["about 1e-06 times g_target_us", "is g_us in S?", "multiply g_us by 1e+06"]),
        (10, ["about 10 times g_target_us", "divide g_us by 10"]),
        (0.1, ["about 0.1 times g_target_us", "multiply g_us by 10"]),
    ],
)
def test_units_that_are_wrong_throughout(tmp_path: Path, factor: float, words: list[str]) -> None:
    rows = [line.split(",") for line in good()]
    said = faults(tmp_path, [f"{who},{target},{t},{float(g) * factor:.6g}" for who, target, t, g in rows])
    assert "1 fault;" in said  # not one for each row
    for word in words:
        assert word in said


def test_everything_in_siemens(tmp_path: Path) -> None:
    rows = [line.split(",") for line in good()]
    said = faults(tmp_path, [f"{who},1e-5,{t},{float(g) * 1e-6:.6g}" for who, _, t, g in rows])
    assert "the largest g_target_us is 1e-05: wanted µS; is it in S? then multiply by 1e6" in said


def test_too_few_devices_of_each_level(tmp_path: Path) -> None:
    few = [
        f"e{i},{level},1,{level}"
        for level, count in ((5, 4), (20, 9), (25, 10))
        for i in range(100 * level, 100 * level + count)
    ]
    said = faults(tmp_path, [*good(), *few])
    assert "level 5 µS: 4 devices came, at least 10 are wanted of each level" in said
    assert "level 20 µS: 9 devices came" in said
    assert "level 25" not in said
    said = faults(tmp_path, [f"a,5,{t},5" for t in (1, 100) for _ in range(3)], HEADER.replace("device", "group"))
    assert "level 5 µS: 3 readings at one time came" in said


def test_nothing_that_conducts(tmp_path: Path) -> None:
    assert "every g_us is 0: wanted readings" in faults(tmp_path, [f"d{i},10,1,0" for i in range(20)])


def test_targets_that_are_no_levels(tmp_path: Path) -> None:
    said = faults(tmp_path, [f"d{i},{10 + i / 7:.4f},1,10" for i in range(60)])
    assert "60 different values of g_target_us: wanted at most 50 levels" in said


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", ["not a CSV file", "is empty"]),
        (b"\n \n", ["is empty"]),
        (b"device,g_target_us,t_s,g_us\n", ["no rows under the header"]),
        (b"PK\x03\x04\x00\x00", ["not a CSV file", "an Excel workbook", "save the sheet as CSV"]),
        (b"\xd0\xcf\x11\xe0\x00", ["not a CSV file", "an old Excel workbook; save the sheet as CSV"]),
        (b"\x89HDF\r\n", ["not a CSV file", "an HDF5 or MATLAB file", "as a pandas DataFrame"]),
        (b"\x1f\x8b\x08", ["a gzip archive; unpack it first"]),
        (b"device,g_target_us\n1,2\0\0", ["not a CSV file: line 2 has zero bytes: is it a binary file?"]),
        (b"device,g_target_us\n\x01\x02", ["not a CSV file: line 2 has control characters (0x01)"]),
        (b"device,\x81\n\xff\xfe", ["no text in UTF-8, UTF-16 or latin-1"]),
        (b"# one\n! two\n", ["it has comments only"]),
        (b"device,g_target_us,t_s,g_us\n# d1,no row\n", ["no rows under the header on line 1; 1 line"]),
        (b'device,g_target_us,t_s,g_us\nd0,10,1,"10\n', ["not a CSV file", "line 2"]),
        (b"device,g_target_us,t_s,g_us,t_s\nd0,10,1,10,1\n", ["line 1", "t_s more than once"]),
        (
            b"device,g_goal,t_s,g_us\nd0,10,1,10\n",
            ["line 1: no column g_target_us", "it has device, g_goal", '--columns g_target_us="…"'],
        ),
        (b"unit,g_target_us,t_s,g_us\nd0,10,1,10\n", ["no column device or group; it has"]),
        (
            b"name,when,h\nd0,1,10\n",
            ["no column device or group", "no column g_target_us", "no column t_s", "no column g_us"],
        ),
    ],
)
def test_files_that_are_no_such_table(tmp_path: Path, content: bytes, words: list[str]) -> None:
    path = tmp_path / "mine.csv"
    path.write_bytes(content)
    with pytest.raises(DriftproofError) as caught:
        read_measurements(path)
    for word in (str(path), *words):
        assert word in str(caught.value)


def test_no_file(tmp_path: Path) -> None:
    for path in (tmp_path / "none.csv", tmp_path):
        with pytest.raises(DriftproofError, match="there is no such file"):
            read_measurements(path)


@pytest.mark.parametrize("levels", [(0.0, 1.0, 10.0, 25.0), (0.5, 2.0)])
def test_noisy_devices_are_no_faults(tmp_path: Path, levels: tuple[float, ...]) -> None:
    """Read noise of 40 % and drift by a factor of 4 are the device's own, not slips of the unit."""
    rows = made(levels=levels, devices=400, times=(1.0, 1e3, 1e6, 3e7))
    found = read_measurements(write_csv(tmp_path / "noisy.csv", rows))
    np.testing.assert_allclose(found.g_us, rows.g_us, rtol=1e-6)
    assert found.who == rows.who
