"""What other programs read, and what a newcomer guesses: JSON on stdout, short flags, completion, quiet, progress."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import driftproof as dp
from driftproof._progress import Progress, no_progress
from driftproof.data import digits
from driftproof.zoo import trained_digits_cnn

type Cli = Callable[..., tuple[int, str, str]]
QUICK = ("evaluate", "digits-cnn", "--data", "digits", "--limit", "40", "--chips", "2", "--times", "1s")


def test_evaluate_prints_its_summary_as_json_and_nothing_else(cli: Cli, tmp_path: Path) -> None:
    code, out, _ = cli(*QUICK, "--preset", "gaussian:0.2", "--json", "--out", tmp_path)
    assert code == 0
    content = json.loads(out)
    assert Path(content["report"]).exists()
    assert Path(content["record"]).name == "record.sqlite"
    rows = pd.DataFrame(content["summary"])
    written = pd.read_csv(tmp_path / "summary.csv")
    assert list(rows["preset"]) == list(written["preset"])
    assert rows["mean"].to_numpy() == pytest.approx(written["mean"].to_numpy())
    assert rows["worst"].isna().tolist() == written["worst"].isna().tolist()


def test_presets_and_doctor_are_json(cli: Cli, tmp_path: Path) -> None:
    listed = json.loads(cli("presets", "list", "--json")[1])
    assert [entry["name"] for entry in listed] == dp.preset_names()
    (pcm,) = (entry for entry in listed if entry["name"] == "pcm-nandakumar-2019")
    assert (pcm["g_us"], pcm["family"]) == ([0.0, 25.0], "PCM")
    (gaussian,) = (entry for entry in listed if entry["name"] == "gaussian")
    assert (gaussian["argument"], gaussian["g_us"]) == ("sigma", None)
    shown = json.loads(cli("presets", "show", "pcm-nandakumar-2019", "--set", "drift.t0_s=30", "--json")[1])
    assert shown["drift"]["t0_s"] == 30
    assert shown["sha256"] == dp.load_device("pcm-nandakumar-2019", {"drift.t0_s": 30}).sha256
    code, out, _ = cli("doctor", "--json")
    assert (code, json.loads(out)["sound"], json.loads(out)["driftproof"]) == (0, True, dp.__version__)


def test_doctor_in_json_fails_as_in_words(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("driftproof._conversion.health._try_tile", lambda name: "no")
    code, out, _ = cli("doctor", "--json")
    assert (code, json.loads(out)["sound"]) == (2, False)
    assert "pip install aihwkit==" in json.loads(out)["advice"]


@pytest.mark.usefixtures("no_pages")
def test_quiet_prints_nothing(cli: Cli, tmp_path: Path, network: str) -> None:
    code, out, err = cli("evaluate", network, *QUICK[2:], "--preset", "gaussian:0.2", "-q", "-o", tmp_path / "a")
    assert (code, out, err) == (0, "", "")
    words: tuple[object, ...] = (
        network,
        "--data",
        "digits-train",
        "--limit",
        64,
        "--epochs",
        1,
        "--batch-size",
        16,
        "--method",
        "plain",
    )
    code, out, err = cli("train", *words, "--quiet", "--out", tmp_path / "b")
    assert (code, out, err) == (0, "", "")
    words = (network, "--data", "digits", "--limit", 30, "--preset", "gaussian:0.1", "--chips", 1)
    code, out, err = cli("sensitivity", *words, "--quiet", "--out", tmp_path / "c")
    assert (code, out, err) == (0, "", "")


def test_a_record_is_exported_to_stdout(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli(*QUICK, "--preset", "gaussian:0.2", "-o", "a")[0] == 0
    code, out, _ = cli("export", "a", "--out", "-")
    assert (code, out) == (0, Path("a/cells.csv").read_text())
    assert json.loads(cli("export", "a", "--format", "json", "-o", "-")[1])["subject"]["n_samples"] == 40
    assert not Path("-").exists()
    table = dp.summarise("a")
    assert list(table["preset"]) == ["digital", "ideal-analog", "gaussian:0.2"]
    pd.testing.assert_frame_equal(table, dp.summarise(Path("a") / "record.sqlite"))


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["evaluate", "--batch", "3"], "--batch-size"),
        (["evaluate", "--num-chips", "3"], "--chips"),
        (["evaluate", "--confg", "3"], "--config"),
        (["train", "--methd", "sam"], "--method"),
        (["report", "x", "--kep", "3"], "--keep"),
        (["train", "digits-cnn", "--data", "digits-train", "--out", "OUT", "--method", "RWP"], "did you mean rwp"),
    ],
    ids=lambda part: " ".join(part) if isinstance(part, list) else None,
)
def test_a_wrong_word_gets_a_hint(cli: Cli, words: list[str], hint: str) -> None:
    code, out, err = cli(*words)
    assert code == 2
    assert hint in out + err


def test_the_shell_is_told_what_there_is(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(dp.__file__).parents[1])}
    command = [
        sys.executable,
        "-c",
        "import sys; sys.argv[0] = 'driftproof'; from driftproof._start import main; main()",
    ]
    for line, words in (("driftproof ev", ["evaluate"]), ("driftproof evaluate --pe", ["--periphery"])):
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            env=environment
            | {"_DRIFTPROOF_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(len(line.split()) - 1)},
        )
        assert done.stdout.split() == words, done.stderr
    asked = environment | {"_DRIFTPROOF_COMPLETE": "source_bash"}
    done = subprocess.run(command, capture_output=True, text=True, env=asked)
    assert "complete -o default -F" in done.stdout


def test_help_has_panels(cli: Cli) -> None:
    from driftproof._cli import panels

    said = cli("evaluate", "--help", columns=80)[1]
    for panel in (panels.NETWORK, panels.DEVICE, panels.MAPPING, panels.PERIPHERY, panels.STATISTICS, panels.OUTPUT):
        assert f"─ {panel} ─" in said
    options = said.partition("─ Options ─")[2].partition("╰")[0]
    assert re.findall(r"--[a-z-]+", options) == ["--help"]


class Clock:
    """A clock that goes on by some seconds with each look at it."""

    def __init__(self, step_s: float) -> None:
        self.now, self.step_s = 0.0, step_s

    def __call__(self) -> float:
        self.now += self.step_s
        return self.now


def test_progress_writes_lines_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress(4000, clock=Clock(1.0)) as bar:
        for number in range(4000):
            bar.step(f"chip {number}")
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "10 of 4,000 (chip 9), 10 s so far, about 1.11 h left"
    assert lines[-1] == "4,000 of 4,000 (chip 3999), 1.11 h so far"
    assert 20 < len(lines) < 100  # of 4,000: at least 10 s and 5 % of the time apart


def test_a_short_task_and_hidden_progress_write_no_line(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress(90, clock=Clock(0.1)) as bar:
        for _ in range(90):
            bar.step("chip")
    with no_progress(), Progress(90, clock=Clock(100.0)) as bar:
        bar.step("chip")
    with Progress(90, shown=False, clock=Clock(100.0)) as bar:
        bar.step("chip")
    assert capsys.readouterr().err == ""


def test_a_resumed_task_counts_the_time_of_its_own_steps(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress(100, done=98, clock=Clock(20.0)) as bar:
        bar.step("chip")
    assert capsys.readouterr().err == "99 of 100 (chip), 20 s so far, at most about 20 s left\n"


def test_each_cell_is_told_once_it_is_kept(tmp_path: Path) -> None:
    told: list[dict[str, Any]] = []

    def keep(cell: dict[str, Any]) -> None:
        told.append(cell)

    model, data = trained_digits_cnn(), digits().head(40)
    same: dict[str, Any] = {"presets": ["gaussian:0.2"], "times": "1s,1d", "out": tmp_path, "on_cell": keep}
    dp.evaluate(model, data, chips=2, **same)
    assert [(cell["device"], cell["chip"], cell["t_s"]) for cell in told] == [
        ("digital", 0, 0.0),
        ("ideal", 0, 0.0),
        *(("gaussian:0.2", chip, t_s) for chip in range(2) for t_s in (1.0, 86400.0)),
    ]
    assert [(cell["done"], cell["total"]) for cell in told] == [(number, 6) for number in range(1, 7)]
    table = dp.evaluate(model, data, chips=3, **same).cells()
    assert [cell["chip"] for cell in told[6:]] == [2, 2]  # the others were there
    values = table.loc[table["preset"] == "gaussian:0.2"].set_index(["chip", "t_s"])["value"]
    for cell in told[2:]:
        assert cell["value"] == values[cell["chip"], cell["t_s"]]
    assert all(isinstance(value, str | int | float) for cell in told for value in cell.values())


def test_a_function_that_fails_at_a_cell_leaves_it_in_the_record(tmp_path: Path) -> None:
    def fail(cell: dict[str, Any]) -> None:
        if cell["device"] == "gaussian:0.2":
            raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match="mine"):
        dp.evaluate(
            trained_digits_cnn(),
            digits().head(40),
            presets="gaussian:0.2",
            times="1s",
            chips=2,
            out=tmp_path,
            on_cell=fail,
        )
    with dp.Record.open(tmp_path) as record:
        assert len(record.cells().query("preset == 'gaussian:0.2'")) == 1


def test_a_slow_start_does_not_make_the_time_left_long(capsys: pytest.CaptureFixture[str]) -> None:
    times = iter([0.0, 60.0, *(61.0 + step for step in range(20))])  # 60 s until the first step is done, then 1 s each
    with Progress(100, clock=lambda: next(times)) as bar:
        for _ in range(12):
            bar.step("chip")
    first, second = capsys.readouterr().err.splitlines()
    assert first == "1 of 100 (chip), 1 min so far, at most about 1.65 h left"
    assert second == "11 of 100 (chip), 1.17 min so far, about 1.48 min left"
