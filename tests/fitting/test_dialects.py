"""One table, written in every way in which instruments write it, is read as the same measurements.

Nothing here is random but the readings themselves, which are drawn once from a fixed seed.
"""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from driftproof._errors import DriftproofError
from driftproof._lab_tables import TableOptions
from driftproof._lab_tables.numbers import find_decimals
from driftproof.fitting import fit_measurements, preset_text, read_measurements
from driftproof.fitting._measurements import Measurements

LEVELS, TIMES, EACH, VOLTS = (5.0, 10.0, 25.0), (1.0, 600.0, 7200.0), 12, 0.2
PREAMBLES = {
    "none": [],
    "hash": ["# Parameter analyser, export of 2026-11-20", "#", "# 3 levels, 12 devices each"],
    "bang": ["! FILE: wafer 7", "! compliance 1e-4 A"],
    "free": ["Wafer 7, die (3; 4)", "", "Operator\tA. Physicist", "Setup: 0,2 V; 1 µs"],
}
CONDUCTANCES = {"uS": 1.0, "µS": 1.0, "S": 1e-6, "nS": 1e3}
ENCODINGS = itertools.cycle(("utf-8", "utf-8-sig", "utf-16", "cp1252", "utf-16-le"))


def known() -> pd.DataFrame:
    """Readings of 36 devices at three times, with six digits."""
    rng = np.random.default_rng(20)
    rows = []
    for number, level in enumerate(np.repeat(LEVELS, EACH)):
        programmed, nu = level + rng.normal(0, 0.4), 0.05 + rng.normal(0, 0.01)
        for t_s in TIMES:
            g = programmed * ((t_s + 20) / 20) ** -nu * (1 + rng.normal(0, 0.01))
            rows.append((f"D{number:02d}", level, t_s, float(f"{g:.6g}")))
    return pd.DataFrame(rows, columns=["device", "g_target_us", "t_s", "g_us"])


KNOWN = known()


def header_and_rows(quantity: str, wide: bool, time_unit: str) -> tuple[list[str], list[list[str | float]]]:
    """Return the table with the readings as conductances, currents or resistances."""
    seconds = {"s": 1.0, "min": 60.0, "h": 3600.0, "ms": 1e-3}[time_unit]
    if quantity in CONDUCTANCES:
        names, factor = ["Target ({q})", "G ({q})"], CONDUCTANCES[quantity]
        of = KNOWN["g_us"] * factor
    elif quantity == "kOhm":
        names, factor, of = ["Target (uS)", "R ({q})"], 1.0, 1e3 / KNOWN["g_us"]
    else:  # a current in nA at 0.2 V
        names, factor, of = ["Target (uS)", "I ({q})"], 1.0, KNOWN["g_us"] * VOLTS * 1e3
    target, reading = (name.format(q=quantity) for name in names)
    table = KNOWN.assign(target=(KNOWN["g_target_us"] * factor).map(lambda x: float(f"{x:.6g}")), g=of)
    volts = {"V (mV)": 200.0} if quantity == "nA" else {}
    if not wide:
        t = table["t_s"] / seconds
        rows = [[d, T, x, *volts.values(), g] for d, T, x, g in zip(table["device"], table["target"], t, table["g"])]  # noqa: B905
        return ["Device ID", target, f"Time [{time_unit}]", *volts, reading], rows
    symbol, unit = reading.split()
    columns = [f"{symbol}({t_s / seconds!r}{time_unit}) {unit}" for t_s in TIMES]
    rows = [
        [str(device), float(of_device["target"].iloc[0]), *volts.values(), *of_device["g"]]
        for device, of_device in table.groupby("device")
    ]
    return ["Device ID", target, *volts, *columns], rows


def written(
    path: Path,
    sep: str,
    decimal: str,
    preamble: str,
    quantity: str,
    wide: bool,
    time_unit: str,
    encoding: str | None = None,
) -> Path:
    header, rows = header_and_rows(quantity, wide, time_unit)

    def cell(value: str | float) -> str:
        return value if isinstance(value, str) else f"{value!r}".replace(".", decimal)

    names = [f'"{name}"' if sep == " " and name == "Device ID" else name for name in header]
    lines = [*PREAMBLES[preamble], sep.join(names), *(sep.join(map(cell, row)) for row in rows)]
    path.write_text("\r\n".join(lines) + "\r\n\r\n", encoding=encoding or next(ENCODINGS), newline="")
    return path


def assert_known(found: Measurements, why: object) -> None:
    assert list(found.who) == KNOWN["device"].tolist(), why
    for name, values in (("g_target_us", found.target_us), ("t_s", found.t_s), ("g_us", found.g_us)):
        np.testing.assert_allclose(values, KNOWN[name], rtol=1e-11, err_msg=str(why))
    assert len(np.unique(found.target_us)) == len(LEVELS), why  # rounding has not split a level
    assert len(np.unique(found.t_s)) == len(TIMES), why


@pytest.mark.parametrize(
    ("sep", "decimal"), [(sep, decimal) for sep in ",;\t " for decimal in ".," if sep != decimal], ids=repr
)
def test_every_dialect_is_the_same_table(tmp_path: Path, sep: str, decimal: str) -> None:
    units, preambles = itertools.cycle(("s", "min", "h", "ms")), itertools.cycle(PREAMBLES)
    for quantity, wide, _ in itertools.product((*CONDUCTANCES, "kOhm", "nA"), (False, True), range(3)):
        preamble = next(preambles)
        case = (sep, decimal, preamble, quantity, wide, next(units))
        path = written(tmp_path / "table.txt", *case)
        found = read_measurements(path)
        assert_known(found, (case, found.understood))
        above = len([line for line in PREAMBLES[preamble] if line.strip("#")])
        skipped = f"skipped {above} lines"
        assert (skipped in found.understood[0]) == bool(above), (case, found.understood)
        assert ("decimal commas" in found.understood[0]) == (decimal == ","), case
        assert not found.notes, case


def test_every_dialect_gives_the_same_preset(tmp_path: Path) -> None:
    plain = tmp_path / "table.txt"
    KNOWN.to_csv(plain, index=False)
    tables = [read_measurements(plain), read_measurements(KNOWN)]
    for case in ((";", ",", "free", "S", False, "min"), ("\t", ".", "bang", "nA", True, "s")):
        tables.append(read_measurements(written(tmp_path / "table.txt", *case)))
    presets = []
    for table in tables:
        text = preset_text(fit_measurements(table), table, name="mine")
        numbers = text[text.index("[conductance]") :]
        presets.append([line for line in numbers.splitlines() if not line.startswith("understood")])
    for other in presets[1:]:
        assert other == presets[0]
    assert "in S" not in "".join(presets[0])


def test_a_frame_needs_no_file_and_has_rows(tmp_path: Path) -> None:
    found = read_measurements(KNOWN.rename(columns={"g_us": "G (uS)", "device": "Device ID"}).assign(remark="x"))
    assert_known(found, "frame")
    assert found.file == "a DataFrame"
    assert found.understood[0] == "A DataFrame."
    assert found.notes == ("These columns are not used: remark.",)
    wrong = KNOWN.copy()
    wrong.loc[0, "g_us"] = np.nan
    wrong.loc[7, "g_us"] = -1.0
    with pytest.raises(DriftproofError) as caught:
        read_measurements(wrong)
    assert "the DataFrame: 2 faults; mend the file and fit again (the first row is row 0)" in str(caught.value)
    assert "row 0: g_us is empty" in str(caught.value)
    assert "row 7: g_us = -1: wanted 0 or more, in µS" in str(caught.value)
    with pytest.raises(DriftproofError, match="the DataFrame: no column t_s; it has device"):
        read_measurements(KNOWN.drop(columns="t_s"))
    with pytest.raises(DriftproofError, match="the DataFrame has no rows"):
        read_measurements(KNOWN.head(0))


def changed(tmp_path: Path, header: str = "device,g_target_us,t_s,g_us", sep: str = ",", **cells: str) -> Path:
    """Write the plain table with another header, separator, or other readings on some lines (``line7="…"``)."""
    lines = [header, *(sep.join(map(str, row)) for row in KNOWN.itertuples(index=False))]
    for name, text in cells.items():
        lines[int(name.removeprefix("line")) - 1] = text
    path = tmp_path / "table.csv"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


# --- what only the user knows ---


def test_columns_and_units_by_name(tmp_path: Path) -> None:
    path = changed(tmp_path, "Unit, no.;Goal;When;Cond", sep=";")
    with pytest.raises(DriftproofError, match=r"line 1: no column device or group.*--columns device="):
        read_measurements(path)
    columns = "device=Unit, no.,g_target_us=Goal,t_s=When,g_us=Cond"
    with pytest.raises(
        DriftproofError, match=r"'Goal' .g_target_us. and column 'Cond' .g_us. have no unit: say --unit"
    ):
        read_measurements(path, columns=columns)
    assert_known(read_measurements(path, columns=columns, unit="g_target_us=uS,g_us=uS,t_s=s"), "text")
    mapped = {"device": "Unit, no.", "g_target_us": "Goal", "t_s": "When", "g_us": "Cond"}
    assert_known(read_measurements(path, columns=mapped, unit=["uS", "t_s=s"]), "mapping")
    found = read_measurements(path, columns=mapped, unit="g_target_us=S,g_us=S,t_s=min")
    assert (found.g_us[0], found.t_s[0]) == (KNOWN["g_us"][0] * 1e6, 60.0)
    assert "t_s is 'When' × 60" in found.understood[1]
    with pytest.raises(DriftproofError, match=r"no column 'Gaol' \(did you mean Goal\?\), which --columns gives for"):
        read_measurements(path, columns=columns.replace("Goal", "Gaol"), unit="S")


def test_a_unit_overrules_the_header(tmp_path: Path) -> None:
    path = changed(tmp_path)
    found = read_measurements(path, unit="g_us=nS,g_target_us=nS")
    np.testing.assert_allclose(found.g_us, KNOWN["g_us"] / 1000)
    with pytest.raises(DriftproofError, match=r"unit 'furlong' of 't_s': wanted one of s, ms, min, h, d"):
        read_measurements(path, unit="t_s=furlong")


def test_a_unit_below_the_header(tmp_path: Path) -> None:
    path = changed(tmp_path, "device,target,time,g\n,uS,min,uS")
    found = read_measurements(path)
    np.testing.assert_allclose(found.t_s, KNOWN["t_s"] * 60)
    assert found.line[0] == 3


def test_a_current_needs_a_voltage(tmp_path: Path) -> None:
    path = changed(tmp_path, "device,target (uS),t (s),I (uA)")
    with pytest.raises(DriftproofError, match=r"g_us \('I \(uA\)'\) is a current: wanted a column.*V \(V\), or --volt"):
        read_measurements(path)
    np.testing.assert_allclose(read_measurements(path, voltage_v=1.0).g_us, KNOWN["g_us"])
    with pytest.raises(DriftproofError, match=r"--voltage 0: wanted a voltage in V, and not 0"):
        read_measurements(path, voltage_v=0.0)
    with pytest.raises(DriftproofError, match=r"named like a conductance and has a unit of current: say --unit g_us="):
        read_measurements(changed(tmp_path, "device,target (uS),t (s),G (uA)"), voltage_v=1.0)


def test_a_conductance_counts_before_the_current_beside_it(tmp_path: Path) -> None:
    table = KNOWN.rename(columns={"g_us": "G (uS)"}).assign(**{"I (A)": 1.0, "V": 0.2})
    found = read_measurements(table)
    assert_known(found, "G, I and V")
    assert found.notes == ("These columns are not used: I (A), V.",)


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ("Dev.,Cell,t_s,g_us,g_target_us", "'Dev.' and 'Cell' could both be device"),
        ("device,g_target_us,t_s,G (S),Conductance (uS)", "'G (S)' and 'Conductance (uS)' could both be g_us"),
        ("device,g_target_us,t_s,I (A),R (Ohm)", "'I (A)' and 'R (Ohm)' could both be g_us"),
        ("device,g_target_us,1 h (uS),60 min (uS)", "'1 h (uS)' and '60 min (uS)' are of the same time"),
        ("device,g_target_us,1 h,1 d", "columns '1 h', '1 d' (g_us) have no unit: say --unit g_us=UNIT, with one of S"),
        ("device,g_target_us,1,2", "if '1', '2' are times, say --unit t_s=UNIT"),
    ],
)
def test_a_header_that_can_be_read_in_two_ways_is_refused(tmp_path: Path, header: str, words: str) -> None:
    path = tmp_path / "table.csv"
    path.write_text(f"{header}\n" + ",".join(["1"] * (header.count(",") + 1)), encoding="utf-8")
    with pytest.raises(DriftproofError) as caught:
        read_measurements(path)
    assert words in str(caught.value)
    if "could both" in words:
        assert "say which with --columns" in str(caught.value)


@pytest.mark.parametrize("header", ["Unit;Goal;1;100;1000", "Unit;Target;1;100;1000", "Device;Goal;1;100;1000"])
def test_one_message_says_all_that_a_wide_table_lacks(tmp_path: Path, header: str) -> None:
    """A user who does what the first message says has no second one."""
    path = tmp_path / "wide.csv"
    rows = [f"d{i};10;{10 + i / 10};{9 + i / 10};{8 + i / 10}" for i in range(12)]
    path.write_text("\n".join([header, *rows]), encoding="utf-8")
    with pytest.raises(DriftproofError) as caught:
        read_measurements(path)
    said, headers = str(caught.value), {"device": "Unit", "g_target_us": "Goal"}
    assert "if '1', '100', '1000' are times, say --unit t_s=UNIT with one of s," in said
    assert "(g_us)" in said
    assert " have no unit: say --unit g_us=UNIT" in said
    assert ("'Target' (g_target_us) have no unit" in said) == ("Target" in header)
    columns = {name: other for name, other in headers.items() if f'{name}="…"' in said}
    assert set(columns.values()) == {*header.split(";")} & {*headers.values()}
    assert 't_s="…"' not in said
    assert ("and their units, where they have none, with --unit" in said) == bool(columns)
    found = read_measurements(path, columns=columns, unit="t_s=s,g_us=uS,g_target_us=uS")
    assert (len(found.g_us), found.t_s.max()) == (36, 1000.0)


def test_the_channels_of_an_analyser(tmp_path: Path) -> None:
    path = changed(tmp_path, "Device ID;Target (uS);t (s);I1 (uA);V1 (V)\n" + "\n", sep=";")
    text = path.read_text(encoding="utf-8").replace("\n\n", "\n").split("\n")
    path.write_text("\n".join([text[0], *(f"{line};0.5" for line in text[1:] if line)]), encoding="utf-8")
    np.testing.assert_allclose(read_measurements(path).g_us, KNOWN["g_us"] / 0.5)
    path.write_text("\n".join([f"{text[0]};I2 (A)", *(f"{x};0.5;1" for x in text[1:] if x)]), encoding="utf-8")
    with pytest.raises(DriftproofError, match=r"'I1 \(uA\)' and 'I2 \(A\)' could both be g_us"):
        read_measurements(path)


def test_row_and_column_are_a_device_if_the_user_says_so(tmp_path: Path) -> None:
    table = KNOWN.assign(**{"Row No.": KNOWN["device"].str[:2], "Column No.": KNOWN["device"].str[2:]})
    frame = table.drop(columns="device").rename(columns={"g_us": "what"})
    path = tmp_path / "cells.csv"
    frame.to_csv(path, index=False)
    with pytest.raises(DriftproofError) as caught:
        read_measurements(path)
    assert 'say --columns device="Row No.+Column No."' in str(caught.value)
    assert "g_us can be a conductance, a resistance, or a current with the voltage in a column V (V)" in str(
        caught.value
    )
    columns = {"device": "Row No.+Column No.", "g_us": "what"}
    found = read_measurements(path, columns=columns, unit="g_us=uS")
    assert found.who[:4] == ("D0/0", "D0/0", "D0/0", "D0/1")
    assert "device is 'Row No.+Column No.'" in found.understood[1]
    assert not any("not used" in note for note in found.notes)
    assert read_measurements(frame, columns=columns, unit="g_us=uS").who == found.who
    with pytest.raises(DriftproofError, match=r"no column 'Row No.\+Col'"):
        read_measurements(path, columns={**columns, "device": "Row No.+Col"})


def test_times_that_are_plain_numbers_need_their_unit(tmp_path: Path) -> None:
    table = KNOWN.pivot(index=["device", "g_target_us"], columns="t_s", values="g_us").reset_index()
    table.columns = [f"{name:g}" if isinstance(name, float) else name for name in table.columns]
    found = read_measurements(table, unit="t_s=s,g_us=uS")
    assert_known(found, "numbers")


@pytest.mark.parametrize(
    ("cells", "decimal", "first"),
    [
        (("1,234", "1,300"), None, None),  # both readings are possible
        (("1,234", "1,300"), ",", 1.234),
        (("1,234", "1,300"), ".", 1234.0),
        (("1,234", "9.5"), None, None),
        (("1.234", "9,5"), None, None),
        (("1,2345", "1,300"), None, 1.2345),
        (("0,123", "0,124"), None, 0.123),
        (("1,234E+00", "1,300"), None, 1.234),
        (("1.234,5", "9,5"), None, 1234.5),
        (("1,234.5", "9.5"), None, 1234.5),
        (("1,234,567", "9"), None, 1234567.0),
        (("1.234", "1.300"), None, 1.234),
    ],
)
def test_decimals_and_thousands(cells: tuple[str, ...], decimal: str | None, first: float | None) -> None:
    texts = pd.Series(cells, index=[7, 8])
    options = TableOptions(decimal=decimal)
    if first is not None:
        assert find_decimals("file", texts, options).numbers(texts).iloc[0] == first
        return
    with pytest.raises(
        DriftproofError, match=r"file: line [78]: .* with a decimal mark, or 1234 with one between"
    ) as caught:
        find_decimals("file", texts, options)
    assert "say --decimal , if commas are decimal marks, or --decimal . if points are" in str(caught.value)


def test_comments_that_look_like_rows_are_refused(tmp_path: Path) -> None:
    path = changed(tmp_path, line8="#D02,5.0,1.0,5.5", line20="# a comment, that is one")
    with pytest.raises(
        DriftproofError, match=r"line 8: '#D02.*say --comment '#' to leave .* or --comment none to read"
    ):
        read_measurements(path)
    found = read_measurements(path, comment="#")
    assert "skipped 2 lines (8, 20) of comments below it" in found.understood[0]
    assert len(found.g_us) == len(KNOWN) - 2
    named = KNOWN.assign(device="#" + KNOWN["device"])
    named.to_csv(path, index=False)
    assert set(read_measurements(path, comment="none").who) == set(named["device"])


def test_headers_once_more(tmp_path: Path) -> None:
    header = "device,g_target_us,t_s,g_us"
    rows = KNOWN.to_csv(index=False, header=False).splitlines()
    path = tmp_path / "table.csv"
    path.write_text("\n".join([header, *rows[:9], header, *rows[9:]]), encoding="utf-8")
    found = read_measurements(path)
    assert_known(found, "repeated")
    assert "skipped 1 line (11) that repeat the header" in found.understood[0]
    other = "device,g_target_us,g_us,t_s"
    path.write_text("\n".join([header, *rows[:9], other, *rows[9:]]), encoding="utf-8")
    with pytest.raises(DriftproofError, match=r"line 11: another header \('device, g_target_us, g_us, t_s'\) than on"):
        read_measurements(path)


def test_a_header_behind_a_comment_mark(tmp_path: Path) -> None:
    path = changed(tmp_path, "# device,g_target_us,t_s,g_us")  # as numpy.savetxt writes it
    assert_known(read_measurements(path), "savetxt")


def test_rows_that_end_with_a_separator_and_rows_of_nothing(tmp_path: Path) -> None:
    path = changed(tmp_path)
    lines = path.read_text(encoding="utf-8").splitlines()
    path.write_text("\n".join([lines[0], *(f"{line}," for line in lines[1:]), ",,,", ""]), encoding="utf-8")
    assert_known(read_measurements(path), "trailing")


# --- readings that failed ---


@pytest.mark.parametrize("cell", ["", "nan", "N/A", "-", "9.91E37", "Overflow", "inf"])
def test_readings_that_failed_are_refused_or_left_out_and_counted(tmp_path: Path, cell: str) -> None:
    path = changed(tmp_path, line6=f"D01,5.0,600.0,{cell}", line9=f"D02,5.0,600.0,{cell}")
    with pytest.raises(DriftproofError) as caught:
        read_measurements(path)
    assert "2 faults" in str(caught.value)
    assert "line 6: g_us" in str(caught.value)
    assert "--missing leave-out" in str(caught.value)
    found = read_measurements(path, missing="leave-out")
    assert len(found.g_us) == len(KNOWN) - 2
    assert found.notes == ("Left out: 2 lines (6, 9) with readings that are empty, nan or an overflow.",)


def test_a_wide_table_with_gaps(tmp_path: Path) -> None:
    path = written(tmp_path / "table.txt", ";", ".", "none", "uS", True, "s", "utf-8")
    lines = path.read_text(encoding="utf-8").splitlines()
    cells = lines[2].split(";")
    lines[2] = ";".join([*cells[:3], "", cells[4]])
    path.write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(
        DriftproofError, match=r"line 3: g_us \('G\(600\.0s\) \(uS\)'\) is empty: wanted a number in µS"
    ):
        read_measurements(path)
    assert len(read_measurements(path, missing="leave-out").g_us) == len(KNOWN) - 1


def test_negative_conductances_are_refused_or_zero_and_counted(tmp_path: Path) -> None:
    path = changed(tmp_path, line6="D01,5.0,600.0,-0.01")
    with pytest.raises(DriftproofError) as caught:
        read_measurements(path)
    assert "line 6: g_us = -0.01: wanted 0 or more, in µS" in str(caught.value)
    assert "--negative zero" in str(caught.value)
    found = read_measurements(path, negative="zero")
    assert found.g_us[4] == 0
    assert found.notes == ("Taken as 0: negative conductances on 1 line (6).",)


def test_a_target_or_time_is_never_left_out(tmp_path: Path) -> None:
    path = changed(tmp_path, line6="D01,nan,600.0,5", line9="D02,5.0,-600.0,5")
    with pytest.raises(DriftproofError) as caught:
        read_measurements(path, missing="leave-out", negative="zero")
    assert "line 6: g_target_us = nan: wanted a finite number" in str(caught.value)
    assert "line 9: t_s = -600: wanted 0 or more" in str(caught.value)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"sep": ";;"}, "--sep ';;': wanted one character, or tab, space, comma, semicolon"),
        ({"decimal": "x"}, "--decimal 'x': wanted '.' or ','"),
        ({"sep": ",", "decimal": ","}, "--sep and --decimal are both ','"),
        ({"comment": ""}, "--comment: wanted the start of a comment"),
        ({"missing": "drop"}, "--missing 'drop': wanted 'refuse' or 'leave-out'"),
        ({"negative": "clip"}, "--negative 'clip': wanted 'refuse' or 'zero'"),
        ({"columns": "devise=x"}, "--columns 'devise=x' (did you mean device?): wanted NAME=…"),
        ({"columns": "device=x,device=y"}, "--columns: device is given twice"),
        ({"columns": "device="}, "--columns 'device=': there is nothing behind the ="),
        ({"sep": "tab"}, "line 1: no column device or group"),
    ],
)
def test_impossible_options_are_explained(tmp_path: Path, options: dict[str, str], words: str) -> None:
    with pytest.raises(DriftproofError) as caught:
        read_measurements(changed(tmp_path), **options)  # type: ignore[arg-type]
    assert words in str(caught.value)


def test_hostile_files_are_refused_with_their_place(tmp_path: Path) -> None:
    path = changed(tmp_path, line7="D01;5.0;7200.0;5.0", line8="Footer", line9='D02,"a text",600.0,5')
    with pytest.raises(DriftproofError) as caught:
        read_measurements(path)
    for words in (
        "line 7: 1 cell: wanted 4 cells, as in the header (separated by semicolons?)",
        "line 8: 1 cell: wanted 4 cells",
        "line 9: g_target_us = 'a text': wanted a number in µS",
    ):
        assert words in str(caught.value)
    for content in (b"\x00\xff" * 500, b"\xfe\xff\xd8", b"a" * 300_000, b"," * 300_000, b'"' * 999, b"1,2\n" * 5000):
        path.write_bytes(content)
        with pytest.raises(DriftproofError, match=r"table\.csv"):
            read_measurements(path)
