"""The demo: what it prints in 80 columns, what it leaves, and what a second or a stopped demo does."""

from __future__ import annotations

import csv
import re
import shlex
import shutil
from collections.abc import Callable
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import pytest
import torch

from driftproof._cli.demo import demo_command
from driftproof._cli.demo_curves import CURVES, TRAINED
from driftproof._cli.threads import exactly
from driftproof._record import Record

Cli = Callable[..., tuple[int, str, str]]
CHIPS = 3


def demo(out: Path) -> list[str]:
    """Return the lines that a demo prints."""
    printed = StringIO()
    with redirect_stdout(printed):
        demo_command(out=out, chips=CHIPS)
    return printed.getvalue().splitlines()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo") / "report"


@pytest.fixture(scope="module")
def lines(folder: Path) -> list[str]:
    return demo(folder)


def test_it_tells_the_story_on_one_screen(lines: list[str]) -> None:
    text = "\n".join(lines)
    assert len(lines) <= 20
    assert max(len(line) for line in lines if not line.startswith("report:")) <= 80
    assert f"on {CHIPS} chips of pcm-hermes-2" in text
    rows = [line for line in lines if line.startswith(("  plain", "  noise-trained"))]
    assert [row.split()[0] for row in rows] == ["plain", "plain", "noise-trained", "plain", "noise-trained"]
    for row in rows:
        assert len(re.findall(r"\d+\.\d -?\d+\.\d-\d+\.\d", row)) == 3, row  # three values with their intervals
    assert len(re.findall(r"[+-]\d+\.\d \[-?\d+\.\d, -?\d+\.\d\]", " ".join(text.split()))) == 3  # three gains
    assert "worse than the drift that was measured on the chip" in " ".join(text.split())


def test_each_remedy_helps(lines: list[str], folder: Path) -> None:
    with (folder / "summary.csv").open(encoding="utf-8") as file:
        means = {(row["label"], float(row["t_s"])): float(row["mean"]) for row in csv.DictReader(file) if row["std"]}
    year = [means[curve.label, 31536000.0] for curve in CURVES]
    # over 3 seeds and 25 chips: experiments/demo. Another processor trains other weights with the same story.
    assert year[0] < 30
    assert year[1] > year[0] + 30
    assert year[2] > year[1] + 3
    assert min(year[3:]) > 85
    assert means[CURVES[0].label, 1.0] > 90


def test_the_report_has_every_curve_and_the_caveat(lines: list[str], folder: Path) -> None:
    page = (folder / "index.html").read_text(encoding="utf-8")
    for curve in CURVES:
        assert curve.label in page
        assert (folder / curve.folder / "record.sqlite").exists()
    assert "The drift of this model is worse than the drift that was measured on the chip" in page
    assert "90 % accuracy" in page
    assert f"report: {(folder / 'index.html').resolve()}" in lines


def test_the_next_command_runs_and_downloads_nothing(lines: list[str], cli: Cli, tmp_path: Path) -> None:
    place = next(i for i, line in enumerate(lines) if line.startswith("next: "))
    program, *words = shlex.split("\n".join(lines[place:]).removeprefix("next: ").replace("\\\n", " "))
    assert program == "driftproof"
    words[words.index("--out") + 1] = str(tmp_path / "next")
    code, _, err = cli(*words, "--chips", 2, "--times", "1s", "--limit", 50, "--threads", 1)
    assert (code, err) == (0, "")


def test_a_second_demo_computes_nothing_again(lines: list[str], folder: Path) -> None:
    with Record.open(folder / CURVES[2].folder) as record:
        before = len(record.cells())
    trained = (folder / TRAINED / "log.csv").read_bytes()
    again = demo(folder)
    assert "holds a demo: what is finished there is kept" in again[0]
    assert again[-len(lines) :] == lines
    assert (folder / TRAINED / "log.csv").read_bytes() == trained  # it has the seconds of every row
    with Record.open(folder / CURVES[2].folder) as record:
        assert len(record.cells()) == before


def test_a_stopped_demo_is_continued(lines: list[str], folder: Path, tmp_path: Path) -> None:
    out = Path(shutil.copytree(folder, tmp_path / "stopped"))
    shutil.rmtree(out / CURVES[2].folder)
    (out / "index.html").unlink()
    # all but the path of the report
    assert [line for line in demo(out)[-len(lines) :] if "report:" not in line] == [
        line for line in lines if "report:" not in line
    ]
    assert (out / "index.html").exists()


def test_it_computes_in_one_thread_and_leaves_the_callers_number() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with exactly(1):
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_the_readme_shows_what_was_measured() -> None:
    """Its rows are those of seed 0 of experiments/demo, which is the demo."""
    top = Path(__file__).parents[2]
    shown = re.findall(r"^  (?:plain|noise-trained) +(.*\d)  ", (top / "README.md").read_text("utf-8"), re.MULTILINE)
    with (top / "experiments" / "demo" / "accuracy.csv").open(encoding="utf-8") as file:
        cells = {(row["label"], float(row["t_s"])): row for row in csv.DictReader(file) if row["seed"] == "0"}
    assert len(shown) == len(CURVES)
    for curve, row in zip(CURVES, shown, strict=True):
        numbers = [float(number) for number in re.findall(r"\d+\.\d", row)]
        measured = [
            float(cells[curve.label, t_s][column])
            for t_s in (1.0, 86400.0, 31536000.0)
            for column in ("mean", "ci95_new_low", "ci95_new_high")
        ]
        assert numbers == pytest.approx(measured, abs=0.06)  # both are rounded


def test_no_chips(cli: Cli, tmp_path: Path) -> None:
    code, _, err = cli("demo", "--out", tmp_path / "demo", "--chips", 0)
    assert code == 2
    assert "wanted at least 1, got 0" in err
    assert not (tmp_path / "demo").exists()
