"""The command line as a user types it: what it prints, what it leaves, and how it says no."""

from __future__ import annotations

import os
import pickle
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import torch

import driftproof as dp
from driftproof._presets import preset_names
from driftproof.zoo import resnet20, save_weights
from reporting.page_text import words as words_of

Cli = Callable[..., tuple[int, str, str]]

QUICK = ["--times", "1s,1d", "--chips", "2", "--limit", "50"]


def evaluate(cli: Cli, out: Path, *words: object) -> tuple[int, str, str]:
    quick = [word for option in zip(QUICK[::2], QUICK[1::2], strict=True) if option[0] not in words for word in option]
    return cli(
        "evaluate", "digits-cnn", "--data", "digits", "--preset", "pcm-nandakumar-2019", *quick, "--out", out, *words
    )


def test_evaluate_writes_everything_and_continues(cli: Cli, tmp_path: Path) -> None:
    code, out, _ = evaluate(cli, tmp_path)
    assert code == 0
    assert "pcm-nandakumar-2019" in out
    assert {"record.sqlite", "cells.csv", "summary.csv", "index.html"} <= {path.name for path in tmp_path.iterdir()}
    before = pd.read_csv(tmp_path / "cells.csv")
    assert len(before) == 2 + 4
    code, _, _ = evaluate(cli, tmp_path, "--chips", 3, "--preset", "gaussian:0.1")
    after = pd.read_csv(tmp_path / "cells.csv")
    assert code == 0
    assert len(after) == 2 + 2 * 2 * 3
    assert before.merge(after).shape == before.shape
    summary = pd.read_csv(tmp_path / "summary.csv")
    assert {"digital", "ideal-analog", "gaussian:0.1"} <= set(summary["preset"])


def test_one_report_out_of_two_records_and_export(cli: Cli, tmp_path: Path) -> None:
    evaluate(cli, tmp_path / "a", "--label", "compensated")
    evaluate(cli, tmp_path / "b", "--label", "bare", "--compensation", "none")
    code, out, _ = cli("report", tmp_path / "a", tmp_path / "b", "--out", tmp_path / "both", "--keep", 90)
    assert code == 0
    assert "index.html" in out
    page = (tmp_path / "both" / "index.html").read_text()
    assert "compensated" in page
    assert "bare" in page
    assert cli("export", tmp_path / "a", "--format", "json")[0] == 0
    assert (tmp_path / "a" / "cells.json").exists()


def test_tables_for_papers_go_to_a_file_or_to_the_standard_output(cli: Cli, tmp_path: Path) -> None:
    evaluate(cli, tmp_path / "a", "--label", "compensated")
    code, out, _ = cli("export", tmp_path / "a", "--format", "latex")
    assert (code, out) == (0, f"latex: {tmp_path / 'a' / 'summary.tex'}\n")
    written = (tmp_path / "a" / "summary.tex").read_text()
    evaluate(cli, tmp_path / "b", "--label", "bare", "--compensation", "none")
    code, out, _ = cli("export", tmp_path / "a", "--format", "latex", "--out", "-")
    assert (code, out) == (0, written)
    assert not Path("-").exists()
    both = (tmp_path / "a", tmp_path / "b")
    code, out, _ = cli("export", *both, "--format", "markdown", "--table", "pivot", "--out", "-")
    assert code == 0
    assert "| device" in out
    assert "compensated" in out
    assert "bare" in out
    code, _, err = cli("export", *both, "--format", "markdown")
    assert code == 2
    assert "several records: give the table an --out FILE, or --out - for the standard output" in err


def test_set_changes_the_device(cli: Cli, tmp_path: Path) -> None:
    code, out, _ = evaluate(cli, tmp_path, "--set", "programming.sigma_us.0=12")
    assert code == 0
    assert "programming.sigma_us.0=12" in out
    values = pd.read_csv(tmp_path / "cells.csv").groupby("preset")["value"].mean()
    assert values.drop(["digital", "ideal-analog"]).max() < values["digital"] - 5


def test_convert_lists_every_layer(cli: Cli) -> None:
    code, out, _ = cli("convert", "digits-cnn", "--preset", "ideal")
    assert code == 0
    assert "digital: normalisation" in out
    assert "analog" in out


def test_presets_list_and_show(cli: Cli) -> None:
    _, listed, _ = cli("presets", "list")
    for name in preset_names():
        assert name in listed
        code, out, _ = cli("presets", "show", name)
        assert code == 0
        assert "fitted_by" in out
    rows = {line.split()[0].partition(":")[0]: line.split() for line in listed.splitlines() if line.strip()}
    anywhen = {name for name in preset_names() if "any" in rows[name]}
    assert anywhen == {"gaussian", "gaussian-layer", "gaussian-multiplicative", "ideal", "levels", "uniform"}


def test_doctor(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    code, out, _ = cli("doctor")
    assert (code, "sound" in out) == (0, True)
    monkeypatch.setattr(
        "driftproof._conversion.health._try_tile", lambda name: "" if name.startswith("Torch") else "no"
    )
    code, out, _ = cli("doctor")
    assert code == 2
    assert "pip install aihwkit==" in out


def test_the_package_runs_as_a_module(tmp_path: Path) -> None:
    for words, code, printed in ((["--version"], 0, "driftproof 0"), (["presets", "show", "pcm"], 2, "unknown preset")):
        command = [sys.executable, "-m", "driftproof", *words]
        environment = {**os.environ, "PYTHONPATH": str(Path(dp.__file__).parents[1])}
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment)
        assert (done.returncode, printed in done.stdout + done.stderr) == (code, True)


def test_version_and_help(cli: Cli) -> None:
    assert "driftproof 0" in cli("--version")[1]
    assert "evaluate" in cli("--help")[1]


@pytest.fixture
def files(tmp_path: Path) -> Path:
    torch.save({"conv1.weight": torch.zeros(2, 2)}, tmp_path / "other.pt")
    (tmp_path / "object.pt").write_bytes(pickle.dumps({"weights": Path()}))
    save_weights(resnet20(), tmp_path / "random.safetensors")
    (tmp_path / "broken.toml").write_text("name = ")
    (tmp_path / "nan.py").write_text(
        "import torch\n"
        "class N(torch.nn.Module):\n"
        "    def __init__(self):\n        super().__init__()\n        self.fc = torch.nn.Linear(64, 10)\n"
        "    def forward(self, x):\n        return self.fc(x.flatten(1)) * float('nan')\n"
        "def model():\n    return N()\n"
        "def images():\n    return torch.zeros(4, 3, 8, 8), torch.zeros(4).long()\n"
        "def nothing():\n    return torch.nn.Sequential(torch.nn.LayerNorm(8))\n"
    )
    return tmp_path


DIGITS = ["evaluate", "digits-cnn", "--data", "digits", "--preset", "ideal", "--out", "OUT"]
RESNET = ["evaluate", "resnet20", "--data", "digits", "--preset", "ideal", "--out", "OUT"]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["evaluat"], ["evaluate"]),
        (["presets", "show", "pcm-nandakumar"], ["did you mean pcm-nandakumar-2019"]),
        (["presets", "show", "broken.toml"], ["broken.toml", "TOML"]),
        ([*DIGITS, "--set", "sigma=2"], ["'sigma'"]),
        ([*DIGITS, "--set", "sigma"], ["--set 'sigma'", "key=number"]),
        ([*DIGITS, "--chips", "0"], ["chips", "at least 1"]),
        ([*DIGITS, "--seed", "-1"], ["seed", "from 0 to 2^63 - 1", "-1"]),
        ([*DIGITS, "--times", "tomorrow"], ["time 'tomorrow'", "1s, 1h, 30d, 1y"]),
        ([*DIGITS, "--backend", "tile"], ["did you mean tiles"]),
        ([*DIGITS, "--compensation", "colum"], ["did you mean column"]),
        ([*DIGITS, "--limit", "0"], ["1"]),
        ([*DIGITS[:3], "cifar10:/nowhere", *DIGITS[4:]], ["/nowhere", "download=True"]),
        ([*DIGITS[:3], "digit", *DIGITS[4:]], ["did you mean digits"]),
        (["evaluate", "resnet21", *RESNET[2:]], ["did you mean resnet"]),
        (RESNET, ["random weights", "--weights"]),
        ([*RESNET, "--weights", "none.pt"], ["none.pt"]),
        ([*RESNET, "--weights", "other.pt"], ["conv1.weight", "[2, 2]"]),
        ([*RESNET, "--weights", "object.pt"], ["object.pt", "plain"]),
        ([*RESNET, "--weights", "random.safetensors"], ["inputs", "[8, 1, 8, 8]"]),
        (["evaluate", "nan.py:model", *DIGITS[2:]], ["digital", "NaN"]),
        (["evaluate", "nan.py:nothing", *DIGITS[2:]], ["on tiles", "LayerNorm"]),
        (["evaluate", "nan.py:modle", *DIGITS[2:]], ["model"]),
        ([*DIGITS[:3], "nan.py:images", *DIGITS[4:]], ["inputs", "[4, 3, 8, 8]"]),
        (["report", "empty", "--out", "OUT"], ["empty"]),
        (["export", "empty"], ["empty"]),
        (["convert", "digits-cnn", "--preset", "ideal", "--input-shape", "a,b"], ["--input-shape"]),
    ],
    ids=lambda value: " ".join(value)[-60:] if isinstance(value, list) else None,
)
def test_bad_input_ends_with_a_message_and_exit_code_2(
    cli: Cli, files: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], expected: list[str]
) -> None:
    monkeypatch.chdir(files)
    code, out, err = cli(*words)
    assert code == 2, err
    assert "Traceback" not in out + err
    text = " ".join((out + err).split())
    for part in expected:
        assert part in text


def test_a_folder_with_another_record_is_kept(cli: Cli, tmp_path: Path) -> None:
    evaluate(cli, tmp_path)
    before = (tmp_path / "record.sqlite").read_bytes()
    code, _, err = evaluate(cli, tmp_path, "--limit", 60)
    assert code == 2
    assert "n_samples" in err
    assert (tmp_path / "record.sqlite").read_bytes() == before


def test_the_installed_command_ends_without_a_traceback(tmp_path: Path) -> None:
    command = [str(Path(sys.executable).parent / "driftproof"), "presets", "show", "pcm"]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "COLUMNS": "200"})
    assert done.returncode == 2
    assert "preset 'pcm'" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_damaged_record_is_explained(cli: Cli, tmp_path: Path) -> None:
    evaluate(cli, tmp_path)
    path = tmp_path / "record.sqlite"
    whole = bytearray(path.read_bytes())
    whole[4096 * 2 :] = b"\xff" * (len(whole) - 4096 * 2)
    path.write_bytes(bytes(whole))
    code, out, err = cli("report", tmp_path, "--out", tmp_path / "report")
    assert code == 2
    assert "Traceback" not in out + err
    assert "error:" in err


def test_an_output_that_cannot_be_written_is_explained(cli: Cli, tmp_path: Path) -> None:
    evaluate(cli, tmp_path / "a")
    (tmp_path / "file").write_text("mine")
    for words in (["report", tmp_path / "a", "--out", tmp_path / "file" / "sub"], ["demo", "--out", tmp_path / "file"]):
        code, _, err = cli(*words)
        assert code == 2
        assert "file" in err
    assert (tmp_path / "file").read_text() == "mine"


def test_a_users_own_page_is_not_replaced(cli: Cli, tmp_path: Path) -> None:
    evaluate(cli, tmp_path / "a")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "index.html").write_text("<h1>my page</h1>")
    code, _, err = cli("report", tmp_path / "a", "--out", tmp_path / "mine")
    assert code == 2
    assert re.search("index.html.*not written by driftproof", err)
    evaluate(cli, tmp_path / "b", "--label", "b")
    code, _, err = cli("report", tmp_path / "a", tmp_path / "b", "--out", tmp_path / "a")
    assert code == 2
    assert f"{tmp_path / 'a'}" in err


def test_names_are_printed_as_they_are(cli: Cli, tmp_path: Path) -> None:
    _, _, err = cli("presets", "show", "gaussian:abc")
    assert "gaussian:abc:" in err
    _, out, _ = evaluate(cli, tmp_path / "a:x:b")
    assert "a:x:b" in out


def test_a_stopped_run_says_that_nothing_is_lost(tmp_path: Path) -> None:
    command = [
        str(Path(sys.executable).parent / "driftproof"),
        "evaluate",
        "digits-cnn",
        "--data",
        "digits",
        "--preset",
    ]
    command += ["pcm-nandakumar-2019", "--chips", "5000", "--out", str(tmp_path)]

    def heed_interrupts() -> None:
        # a shell starts background jobs with Ctrl-C ignored, and children inherit that
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, preexec_fn=heed_interrupts)
    try:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and not (tmp_path / "record.sqlite").exists():
            time.sleep(0.1)
        time.sleep(2)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130
    assert re.search("cells are kept.*same command", err)
    assert "Traceback" not in err


SMALL = """
import torch
from torch import nn
from driftproof.data import digits

def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 10)).eval()

def train():
    return digits("train")
"""


def test_mixed_devices_compensation_and_recalibration(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(SMALL)
    code, out, err = cli(
        "evaluate", f"{tmp_path}/mine.py:net", "--data", "digits", *QUICK, "--out", tmp_path / "out",
        "--preset", "pcm-nandakumar-2019,0=ideal", "--compensation", "column:every_s=1d",
        "--recalibrate", "time", "--calibration-data", "digits-train", "--calibration-limit", "64",
    )  # fmt: skip
    assert code == 0, err
    page = words_of((tmp_path / "out" / "index.html").read_text())
    assert re.search("compensation column:every_s=86400.* BatchNorm .*at every time on 64 inputs of digits-train", page)
    assert "pcm-nandakumar-2019,0=ideal" in out
    before = pd.read_csv(tmp_path / "out" / "cells.csv")
    assert set(before["compensation"]) == {"column:every_s=86400"}


@pytest.mark.parametrize(
    ("words", "facts"),
    [
        (["--recalibrate", "time"], "--recalibrate .*--calibration-data .*go together"),
        (["--calibration-data", "digits-train"], "--recalibrate .*--calibration-data .*go together"),
        (["--calibration-limit", "9"], "--calibration-limit .*--calibration-data"),
        (["--recalibrate", "later", "--calibration-data", "digits-train"], "'later'.* programming .* time"),
        (["--compensation", "tile:every=1d"], "did you mean every_s"),
        (["--preset", "ideal,head=gaussian"], "'head'.* no layer"),
        (["--preset", "measured:nowhere"], "device.toml"),
    ],
)
def test_new_choices_are_refused_with_what_to_do(cli: Cli, tmp_path: Path, words: list[str], facts: str) -> None:
    preset = [] if "--preset" in words else ["--preset", "gaussian"]
    code, _, err = cli("evaluate", "digits-cnn", "--data", "digits", *QUICK, *preset, *words, "--out", tmp_path / "out")
    assert code == 2
    assert re.search(facts, " ".join(err.split()))
    assert not (tmp_path / "out" / "record.sqlite").exists()
