"""Tables for papers and programs: what they hold is what the summary holds, and LaTeX and Markdown read it."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from driftproof import DriftproofError, Record, compare, export, report, summarise
from driftproof._reporting.export_tables import exported
from driftproof._reporting.text_table import TextTable
from synthetic_record import begin, fill, large_record, preset

DAY = 86_400.0


@pytest.fixture(scope="module")
def record() -> Iterator[Record]:
    with Record.create_or_open(None) as made:
        for tile, label in enumerate(("8_bit", "6_bit")):
            conditions, number = begin(made, label, decided={"tile_rows": 64 * 2**tile})
            for name, valid_s in (("sonos", (0.0, 1e8)), ("pcm", (0.0, 10.0))):
                values = {t: [90.0 - tile - 0.1 * chip for chip in range(5)] for t in (1.0, DAY)}
                fill(made, conditions, number, preset(name, valid_s=valid_s), values)
        yield made


def markdown(text: str) -> pd.DataFrame:
    """Return the table of a Markdown file, every cell as text."""
    rows = [line.strip("|").split("|") for line in text.splitlines() if line.startswith("|")]
    head, rule, *body = [[cell.strip() for cell in row] for row in rows]
    assert all(re.fullmatch("-+:?", cell) for cell in rule)
    return pd.DataFrame(body, columns=head)


def latex(text: str) -> list[list[str]]:
    """Return the rows between the rules of a LaTeX table."""
    assert [line for line in text.splitlines() if line.endswith("rule")] == [r"\toprule", r"\midrule", r"\bottomrule"]
    inside = text.partition(r"\toprule")[2].partition(r"\bottomrule")[0].replace("\\midrule\n", "")
    return [line.removesuffix(r" \\").split(" & ") for line in inside.strip().splitlines()]


def wanted(record: Record, label: str, name: str, t_s: float) -> str:
    rows = summarise(record)
    row = rows[(rows["label"] == label) & (rows["preset"] == name) & (rows["t_s"] == t_s)].iloc[0]
    return f"{row['mean']:.2f} [{row['ci95_low']:.2f}, {row['ci95_high']:.2f}]"


def test_the_summary_for_reading_has_every_mean_and_interval(record: Record) -> None:
    text = exported(record, "markdown").decode()
    table = markdown(text)
    assert list(table.columns) == ["device", "configuration", "digital", "1 s", "1 d"]
    assert table["device"].tolist() == ["sonos", "sonos", "pcm", "pcm"]  # as asked, not by the alphabet
    for _, row in table.iterrows():
        label = row["configuration"].replace("\\", "")
        for time, t_s in (("1 s", 1.0), ("1 d", DAY)):
            star = r" \*" if row["device"] == "pcm" and t_s == DAY else ""
            assert row[time] == wanted(record, label, row["device"], t_s) + star
    assert r"\*: outside the range of validity" in text
    assert "preliminary: fewer than 20 chips" in text
    assert "mean over 5 chips with its 95 % interval for other chips, on these samples" in text


def test_latex_is_the_same_table_with_its_letters_escaped(record: Record) -> None:
    head, *rows = latex(exported(record, "latex").decode())
    assert head == ["device", "configuration", "digital", "1 s", "1 d"]
    assert {row[1] for row in rows} == {r"8\_bit", r"6\_bit"}
    assert rows[0][3] == wanted(record, rows[0][1].replace("\\", ""), "sonos", 1.0)


def test_the_pivot_has_devices_and_configurations_at_one_time(record: Record) -> None:
    data = pd.read_csv(io.BytesIO(exported(record, "csv", table="pivot", time="1s"))).set_index("preset")
    assert list(data.index) == ["sonos", "pcm"]
    rows = summarise(record)
    rows = rows[(rows["t_s"] == 1.0) & (rows["chips"] > 0)].set_index(["preset", "label"])
    for name in data.index:
        for label in ("8_bit", "6_bit"):
            for column, suffix in (("mean", ""), ("ci95_low", " low"), ("ci95_high", " high")):
                assert data.loc[name, f"{label}{suffix}"] == pytest.approx(rows.loc[(name, label), column], rel=1e-12)
    shown = markdown(exported(record, "markdown", table="pivot").decode())
    assert shown["device"].tolist() == ["digital", "sonos", "pcm"]
    assert shown.iloc[1, 1:].tolist() == [
        wanted(record, name.replace("\\", ""), "sonos", DAY) for name in shown.columns[1:]
    ]
    with pytest.raises(DriftproofError, match="time 2d: nothing was measured then; there are 1 s, 1 d"):
        exported(record, "csv", table="pivot", time="2d")


def test_differences_have_the_sign_of_compare(record: Record) -> None:
    table = compare(record)
    text = exported(record, "latex", table="comparisons").decode()
    rows = latex(text)[1:]
    assert len(rows) == table.groupby(["a", "b"]).ngroups == 2
    first = table.iloc[0]
    number = f"{first['difference']:.2f} [{first['ci95_low']:.2f}, {first['ci95_high']:.2f}]"
    assert rows[0][2] == re.sub(r"-(?=\d)", "$-$", number)
    data = pd.read_csv(io.BytesIO(exported(record, "csv", table="comparisons")))
    assert data["difference"].tolist() == table["difference"].tolist()
    assert json.loads(exported(record, "json", table="comparisons"))[0]["b"] == first["b"]


def test_several_records_make_one_table(tmp_path: Path) -> None:
    for name in ("plain", "robust"):
        large_record(tmp_path / name, chips=3, label=name, model_hash=name).close()
    both = [tmp_path / "plain", tmp_path / "robust"]
    cells = pd.read_csv(export(both, "csv", tmp_path / "cells.csv"))
    assert set(cells["label"]) == {"plain", "robust"}
    assert len(cells) == 2 * len(pd.read_csv(export(both[0], "csv", tmp_path / "one.csv")))
    assert set(markdown(exported(both, "markdown").decode())["configuration"]) == {"plain", "robust"}
    with pytest.raises(DriftproofError, match="json holds everything of one record"):
        exported(both, "json")


def test_what_does_not_go_together_is_refused(record: Record) -> None:
    with pytest.raises(DriftproofError, match="latex: a table of single cells is data"):
        exported(record, "latex", table="cells")
    with pytest.raises(
        DriftproofError,
        match=r"table 'sumary' \(did you mean summary\?\): there are cells, summary",
    ):
        exported(record, "csv", table="sumary")  # type: ignore[arg-type]
    with pytest.raises(DriftproofError, match="time = '1d' belongs to the table 'pivot', and the table is 'cells'"):
        exported(record, "csv", time="1d")


def test_a_report_writes_them_and_keeps_a_users_own_file(record: Record, tmp_path: Path) -> None:
    report(record, tmp_path)
    report(record, tmp_path)  # its own files are replaced
    assert latex((tmp_path / "summary.tex").read_text())[0][0] == "device"
    assert len(markdown((tmp_path / "comparisons.md").read_text())) == 2
    (tmp_path / "summary.tex").write_text("my own table")
    with pytest.raises(DriftproofError, match=r"summary.tex was not written by driftproof"):
        report(record, tmp_path)
    assert (tmp_path / "summary.tex").read_text() == "my own table"


def test_letters_that_mean_something_in_latex_and_markdown_are_text() -> None:
    odd = r"50 % of a_b & {c} $x$ \d #e ~f ^g"
    table = TextTable(["name", "x"], [[odd, "-1"], ["[a](b)", "a|b *c*"]], ["note"])
    (line,) = (line for line in table.latex().splitlines() if line.startswith("50"))
    assert line == (
        r"50 \% of a\_b \& \{c\} \$x\$ \textbackslash{}d \#e \textasciitilde{}f \textasciicircum{}g & $-$1 \\"
    )
    assert r"| [a]\(b)  " in table.markdown()
    assert r"a\|b \*c\*" in table.markdown()
