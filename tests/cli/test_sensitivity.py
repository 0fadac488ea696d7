"""``driftproof sensitivity`` as a user types it: tables, files, going on, and how it says no."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from driftproof._cli.app import main
from driftproof._record import Record
from driftproof._reporting import report
from driftproof.plans._causes import CAUSES
from reporting.accessible import faults
from reporting.page_text import words as words_of

type Cli = Callable[..., tuple[int, str, str]]
QUICK = ["--time", "1d", "--chips", "2", "--limit", "121"]


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    """Run the command in this process: exit code, and what it printed on both streams."""

    def run(*words: object, model: str = "digits-cnn") -> tuple[int, str, str]:
        command = ["driftproof", "sensitivity", model, "--data", "digits", *QUICK, *map(str, words)]
        monkeypatch.setattr(sys, "argv", command)
        monkeypatch.setenv("COLUMNS", "80")
        code = 0
        try:
            main()
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else 1
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run


def test_layers_and_causes_are_written_and_printed(cli: Cli, tmp_path: Path) -> None:
    code, out, _ = cli("--preset", "gaussian:0.3", "--out", tmp_path)
    assert code == 0
    assert "Layer by layer: gaussian:0.3 at 1 d, 2 chips, 121 samples" in out
    assert "mapping and periphery" in out
    assert {path.name for path in tmp_path.iterdir()} == {
        *(f"{name}.{form}" for name in ("layers", "causes") for form in ("csv", "pdf", "svg", "png")),
        "record.sqlite",
        "record.lock",
        "run.toml",
        "sensitivity.html",
    }
    page = (tmp_path / "sensitivity.html").read_text(encoding="utf-8")
    assert faults(page, tmp_path) == []
    said = words_of(page)
    assert "digits-cnn on gaussian:0.3 at 1 d: what each layer costs" in said
    assert "The layer with the largest drop alone is " in said
    table = pd.read_csv(tmp_path / "layers.csv").set_index("layer")
    for layer in table.index:
        assert f"{layer} {table.loc[layer, 'macs_per_input']:,}" in said
    assert list(pd.read_csv(tmp_path / "layers.csv")["layer"]) == ["conv1", "conv2", "fc1", "fc2"]
    assert list(pd.read_csv(tmp_path / "causes.csv")["cause"]) == [*CAUSES, "all"]
    assert max(map(len, out.splitlines()[:-1])) <= 80  # the last line is a path


def test_a_target_adds_the_curve_on_the_other_half(cli: Cli, tmp_path: Path) -> None:
    words = ("--preset", "ideal,fc1=gaussian:0.9", "--target", 98, "--report-chips", 3, "--out", tmp_path)
    code, out, _ = cli(*words)
    assert code == 0
    curve = pd.read_csv(tmp_path / "curve.csv")
    assert curve.loc[curve["chosen"], "digital"].item() == "fc1"
    # of an odd number the first half, which is reported on, is the larger one
    assert "From analog to digital: ideal,fc1=gaussian:0.9 at 1 d, 3 chips, 61 samples" in " ".join(out.split())
    assert "2 other chips and 60 other samples" in " ".join(out.split())
    assert "1 digital layer of 4 (fc1)" in " ".join(out.split())
    assert "this choice, in other commands: --where '!fc1'\n" in out
    assert (tmp_path / "curve.png").exists()
    page = words_of((tmp_path / "sensitivity.html").read_text(encoding="utf-8"))
    assert "--where '!fc1'" in page
    assert "1 digital layer of 4 (fc1)" in page
    with Record.open(tmp_path) as record, Record.open(tmp_path / "reported") as reported:
        cells = [len(list(found.outcomes())) for found in (record, reported)]
        runs = [found.runs() for found in (record, reported)]
    assert min(cells) > 10
    code, again, _ = cli(*words)
    assert code == 0
    assert again == out
    with Record.open(tmp_path) as record, Record.open(tmp_path / "reported") as reported:
        assert [len(list(found.outcomes())) for found in (record, reported)] == cells
        assert [record.runs(), reported.runs()] == runs  # nothing was left to measure


def test_cells_of_an_earlier_driftproof_are_not_continued(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "deployment_cells.csv").write_text("subject,data\n")
    code, _, err = cli("--preset", "ideal", "--out", tmp_path)
    assert code == 2
    assert re.search("deployment_cells.csv .*earlier driftproof.* --out folder", " ".join(err.split()))
    assert [path.name for path in tmp_path.iterdir()] == ["deployment_cells.csv"]


def test_a_sensitivity_is_a_record_like_any_other(cli: Cli, tmp_path: Path) -> None:
    assert cli("--preset", "gaussian:0.3", "--out", tmp_path)[0] == 0
    with Record.open(tmp_path) as record:
        page = report(record, tmp_path / "report").read_text(encoding="utf-8")
        cells = record.cells()
    assert set(cells["digital"]) >= {"", "conv1", "conv2 fc1 fc2"}
    assert re.search("layers are kept digital", " ".join(page.split()))
    assert 'id="sensitivity"' in page


def test_other_data_can_be_reported_on(cli: Cli, tmp_path: Path) -> None:
    words = ("--preset", "ideal", "--target", 90, "--report-data", "digits-train", "--report-chips", 1)
    code, out, err = cli(*words, "--out", tmp_path)
    assert code == 0
    assert "keeps 90.0 %" in " ".join(out.split())
    assert "warning" not in err


def test_what_belongs_to_the_search_wants_a_target(cli: Cli, tmp_path: Path) -> None:
    code, _, err = cli("--preset", "ideal", "--margin", 1, "--out", tmp_path / "new")
    assert code == 2
    assert re.search("--margin .*--target", " ".join(err.split()))
    assert not (tmp_path / "new").exists()


def test_a_seed_that_no_record_holds_is_refused(cli: Cli, tmp_path: Path) -> None:
    for seed in (-1, 2**63):
        code, _, err = cli("--preset", "ideal", "--seed", seed, "--out", tmp_path / "new")
        assert code == 2
        assert re.search(rf"seed.* from 0 to 2\^63 - 1.* {seed}$", " ".join(err.split()))
        assert not (tmp_path / "new").exists()


def test_a_target_out_of_reach_is_refused(cli: Cli, tmp_path: Path) -> None:
    """Of the first 61 samples, on which layers are chosen here, one is wrong without any device."""
    words = ("--preset", "ideal", "--report-data", "digits-train", "--out", tmp_path)
    for target, said in ((99.95, "100.0 %.*reached"), (100.5, "target = 100.5: wanted .*, from 0 to 100")):
        code, out, err = cli(*words, "--target", target)
        assert code == 2
        assert "Layer by layer" not in out  # not after what takes long
        assert re.search(said, " ".join(err.split()))


def test_a_number_of_the_preset_can_be_changed(cli: Cli, tmp_path: Path) -> None:
    code, out, _ = cli("--preset", "gaussian:0.1", "--set", "programming.sigma=0.9", "--out", tmp_path)
    assert code == 0
    assert "programming.sigma=0.9" in out
    causes = pd.read_csv(tmp_path / "causes.csv").set_index("cause")["drop"]
    assert causes["programming"] > 5


def test_few_chips_are_marked_as_preliminary(cli: Cli, tmp_path: Path) -> None:
    code, out, _ = cli("--preset", "gaussian:0.3", "--out", tmp_path)
    assert code == 0
    assert out.count("preliminary: fewer than 20 chips") == 2  # layers, causes
    assert "preliminary Layers and causes were" in words_of((tmp_path / "sensitivity.html").read_text(encoding="utf-8"))


@pytest.mark.filterwarnings("default::driftproof.DriftproofWarning")
def test_a_network_without_training_is_told(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        "import torch\nfrom driftproof.zoo import digits_cnn\n"
        "def net():\n    torch.manual_seed(0)\n    return digits_cnn()\n"
    )
    code, _, err = cli("--preset", "ideal", "--out", tmp_path / "out", model=f"{file}:net")
    assert code == 0
    assert "the digital network is no better than chance" in " ".join(err.split())
