"""``--config FILE.toml`` and the ``run.toml`` beside each record: it repeats the run, cell for cell."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import driftproof as dp

type Cli = Callable[..., tuple[int, str, str]]

pytestmark = pytest.mark.usefixtures("no_pages", "network")
QUICK = ("--data", "digits", "--limit", "40", "--chips", "2")


@pytest.fixture
def here(tmp_path: Path, converter: Callable[[int], Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    converter(6)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def cells(folder: Path) -> pd.DataFrame:
    with dp.Record.open(folder) as record:
        return record.cells()


def test_a_run_is_repeated_from_another_folder_to_the_last_bit(
    cli: Cli, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words: tuple[str, ...] = (
        "--preset",
        "gaussian:0.2",
        "--preset",
        "pcm-nandakumar-2019",
        "--times",
        "1s",
        "--times",
        "1d",
    )
    words += ("--periphery", "adc6.toml", "--periphery", "ideal")
    code, _, err = cli("evaluate", "mine.py:net", *QUICK, *words, "--seed", 7, "--tile", "32x32", "--out", "first")
    assert code == 0, err
    (here / "elsewhere").mkdir()
    monkeypatch.chdir(here / "elsewhere")
    code, _, err = cli("evaluate", "--config", "../first/run.toml", "--out", "second")
    assert code == 0, err
    assert re.search(r"run.toml: out second of the command line in place of \S+first", err)
    first, second = cells(here / "first"), cells(here / "elsewhere" / "second")
    pd.testing.assert_frame_equal(first, second)
    assert len(first) == 2 * (2 + 2 * 2 * 2)
    # and it continues its own folder: nothing is measured again, and no second file is written
    assert cli("evaluate", "--config", here / "first" / "run.toml")[0] == 0
    with dp.Record.open(here / "first") as record:
        assert len(record.runs()) == 1
    assert not (here / "first" / "run-2.toml").exists()
    other = tomllib.loads((here / "elsewhere" / "second" / "run.toml").read_text())
    assert other | {"out": ""} == tomllib.loads((here / "first" / "run.toml").read_text()) | {"out": ""}


def test_a_folder_of_several_commands_has_the_options_of_each(cli: Cli, here: Path) -> None:
    for preset in ("gaussian:0.2", "gaussian:0.1"):
        assert cli("evaluate", "mine.py:net", *QUICK, "--preset", preset, "--times", "1s", "-o", "out")[0] == 0
    files = [tomllib.loads((here / "out" / name).read_text()) for name in ("run.toml", "run-2.toml")]
    assert [file["preset"] for file in files] == [["gaussian:0.2"], ["gaussian:0.1"]]


def test_a_run_that_fails_leaves_no_options(cli: Cli, here: Path) -> None:
    words = ("evaluate", "mine.py:net", *QUICK, "--preset", "gaussian:0.2", "--times", "1s", "--out", "out")
    assert cli(*words)[0] == 0
    assert cli(*(word if word != "40" else "50" for word in words))[0] == 2  # another subject
    assert not (here / "out" / "run-2.toml").exists()


def test_a_training_and_a_sensitivity_are_repeated(cli: Cli, here: Path) -> None:
    words = ("--data", "digits-train", "--limit", 64, "--preset", "gaussian:0.2", "--epochs", 1, "--batch-size", 16)
    code, _, err = cli("train", "mine.py:net", *words, "--out", "first")
    assert code == 0, err
    code, _, err = cli("train", "--config", "first/run.toml", "--out", "second")
    assert code == 0, err
    weights = [(here / folder / "last.safetensors").read_bytes() for folder in ("first", "second")]
    assert weights[0] == weights[1]
    code, _, err = cli("sensitivity", "mine.py:net", *QUICK, "--preset", "gaussian:0.2", "--out", "one")
    assert code == 0, err
    code, _, err = cli("sensitivity", "--config", "one/run.toml", "--out", "two")
    assert code == 0, err
    assert (here / "one" / "layers.csv").read_bytes() == (here / "two" / "layers.csv").read_bytes()


@pytest.mark.parametrize(
    ("text", "facts"),
    [
        ('chip = "2"', "unknown key chip .did you mean chips.*without their dashes"),
        ('presets = ["ideal"]', "unknown key presets .did you mean preset"),
        ("[device]\nname = 1", "device: wanted one text or number"),
        ("[mapping]\ntile = 1", "unknown key mapping"),
        ('command = "train"', "of `driftproof train`, not of `driftproof evaluate`"),
        ("chips = [2, 3]", "chips: wanted one text or number, got .2, 3."),
        ("chips = true", "chips: wanted one text or number"),
        ("preset = []", "preset: wanted a text, a number, or a list"),
        ("strict = 1", "strict: wanted true or false, got 1"),
        ("batch-size = 2.5", "Invalid value for '--batch-size'"),
        ("quiet = true", "unknown key quiet"),
        ("chips = ", "mine.toml.*TOML"),
    ],
)
def test_a_file_with_a_fault_is_refused(cli: Cli, here: Path, text: str, facts: str) -> None:
    Path("mine.toml").write_text(text)
    code, out, err = cli("evaluate", "mine.py:net", *QUICK[:4], "--preset", "ideal", "--config", "mine.toml", "-o", "x")
    assert code == 2
    assert re.search(facts, " ".join((out + err).split()))
    assert not Path("x").exists()


def test_what_is_missing_in_the_file_is_asked_for(cli: Cli, here: Path) -> None:
    Path("mine.toml").write_text('model = "mine.py:net"\nout = "x"\npreset = "ideal"\n')
    code, out, err = cli("evaluate", "--config", "mine.toml")
    assert code == 2
    assert "--data" in out + err


def test_the_command_line_counts_and_numbers_may_be_numbers(cli: Cli, here: Path) -> None:
    Path("mine.toml").write_text(
        'model = "mine.py:net"\ndata = "digits"\npreset = "ideal"\nlimit = 40\nchips = 3\ntimes = "1s"\n'
        "strict = false\n"
    )
    code, _, err = cli("evaluate", "--config", "mine.toml", "--chips", 1, "--limit", 40, "--out", "x")
    assert code == 0, err
    assert "mine.toml: chips 1 of the command line in place of 3" in err
    assert "limit" not in err  # the same value
    assert len(cells(here / "x")) == 3


def test_default_values_in_a_file_are_no_wishes(cli: Cli, here: Path) -> None:
    """A training without a device writes the number of its validation chips, and reads it back."""
    words: tuple[Any, ...] = (
        "--data",
        "digits-train",
        "--limit",
        32,
        "--method",
        "plain",
        "--epochs",
        1,
        "--batch-size",
        16,
    )
    assert cli("train", "mine.py:net", *words, "--out", "first")[0] == 0
    assert tomllib.loads((here / "first" / "run.toml").read_text())["validation-chips"] == 5
    code, _, err = cli("train", "--config", "first/run.toml", "--out", "second")
    assert code == 0, err
    code, _, err = cli("train", "--config", "first/run.toml", "--validation-chips", 3, "--out", "third")
    assert code == 2
    assert "--validation-chips belongs to the validation on chips" in err
