"""``driftproof periphery``: an architect changes converters without Python."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

import driftproof as dp
from driftproof.periphery import DynamicRange, load_periphery

type Cli = Callable[..., tuple[int, str, str]]


def test_all_are_listed_and_shown(cli: Cli) -> None:
    listed = json.loads(cli("periphery", "list", "--json")[1])
    assert [each["name"] for each in listed] == ["ideal", "standard"]
    assert listed[1]["settings"] == str(load_periphery("standard"))
    assert listed[1]["settings"] in cli("periphery", "list")[1]
    shown = cli("periphery", "show", "standard")[1]
    for line in ("adc_bits 8", "input_range.kind static", "left out: IR drop"):
        assert line in " ".join(shown.split())
    standard = load_periphery("standard")
    content = json.loads(cli("periphery", "show", "standard", "--json")[1])
    assert content == standard.definition() | {"sha256": standard.sha256}


def test_what_is_written_is_read(cli: Cli, tmp_path: Path) -> None:
    out = tmp_path / "Six bits.toml"
    changes = ("adc_bits=6", "output_noise=0.02", "input_range.kind=dynamic", "dac_bits=none")
    code, said, _ = cli("periphery", "write", "standard", *(w for c in changes for w in ("--set", c)), "--out", out)
    assert code == 0
    written = load_periphery(out)
    assert (written.name, written.adc_bits, written.output_noise, written.dac_bits) == ("six-bits", 6, 0.02, None)
    assert written.input_range == DynamicRange()
    assert str(written) in said
    assert written.source.where.endswith("; changed since: " + ", ".join(changes))
    assert written.summary == "standard with " + ", ".join(changes)
    assert cli("periphery", "write", "standard", "--set", "name=mine", "--out", tmp_path / "x.toml")[0] == 0
    assert load_periphery(tmp_path / "x.toml").name == "mine"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("adc_bit=6", "unknown key adc_bit (did you mean adc_bits?)"),
        ("adc_bits=six", "adc_bits"),
        ("adc_bits", "wanted KEY=VALUE, such as adc_bits=6"),
        ("adc_bits.x=1", "adc_bits is no table"),
        ("input_range.kind=static", ""),
    ],
)
def test_what_is_wrong_is_said(change: str, said: str, cli: Cli, tmp_path: Path) -> None:
    code, _, err = cli("periphery", "write", "standard", "--set", change, "--out", tmp_path / "x.toml")
    assert (code == 2) == bool(said)
    assert said in err
    assert (tmp_path / "x.toml").exists() == (not said)


def test_a_file_is_not_written_over(cli: Cli, tmp_path: Path) -> None:
    out = tmp_path / "mine.toml"
    out.write_text("mine")
    code, _, err = cli("periphery", "write", "ideal", "--out", out)
    assert (code, out.read_text()) == (2, "mine")
    assert "exists already" in err


@pytest.mark.usefixtures("no_pages")
def test_files_with_the_name_of_another_are_told_apart_by_their_own(cli: Cli, tmp_path: Path) -> None:
    """As a newcomer makes them: copies of the standard in which a number is changed, but not the name."""
    for bits in (4, 6):
        changed = load_periphery("standard").with_changes(adc_bits=bits, input_range=DynamicRange())
        text = dp.periphery.write_periphery(changed, tmp_path / f"bits{bits}.toml").read_text()
        (tmp_path / f"bits{bits}.toml").write_text(text.replace(f'"{changed.name}"', '"standard"'))
    out = tmp_path / "out"
    words = ("digits-cnn", "--data", "digits", "--limit", 40, "--preset", "gaussian:0.1", "--chips", 3, "--times", "1s")
    files = [word for bits in (6, 4) for word in ("--periphery", tmp_path / f"bits{bits}.toml")]
    assert cli("evaluate", *words, *files, "--out", out)[0] == 0
    with dp.Record.open(out) as record:
        asked = ["standard [bits6]", "standard [bits4]"]
        assert set(record.cells()["periphery"]) == set(asked)
    code, printed, _ = cli("compare", out, "--against", "bits4", "--out", tmp_path / "table.csv")
    assert code == 0
    row = pd.read_csv(tmp_path / "table.csv").iloc[0]
    assert row["a"] == "periphery standard [bits4], gaussian:0.1"
    assert row["b"] == "periphery standard [bits6], gaussian:0.1"
    assert "of each difference alone" in printed
