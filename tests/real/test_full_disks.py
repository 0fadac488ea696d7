"""No room for a file: one sentence, exit code 2, what was there before is whole, and the same command goes on."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, ({size}, {size}))
sys.argv = ["driftproof", *{words!r}]
from driftproof._start import main
main()
"""
NETWORK = """
import torch
from torch import nn


def model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 200), nn.ReLU(), nn.Linear(200, 10))
"""


def run(words: list[str], folder: Path, size: int | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command, with a limit of the size of a file in bytes."""
    command = [sys.executable, "-m", "driftproof", *words]
    if size is not None:
        command = [sys.executable, "-c", LIMITED.format(size=size, words=words)]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder, timeout=300)


COMMANDS = {
    "train": "train mine.py:model --data digits-train --method plain --epochs 2 --out out",
    "convert": "convert mine.py:model --preset pcm-nandakumar-2019 --input-shape 64 --to safetensors --out out",
    "evaluate": "evaluate digits-cnn --data digits --limit 50 --preset gaussian:0.1 --times 1s --chips 2 --out out",
}


@pytest.mark.parametrize(
    ("name", "kilobytes"), [("train", 4), ("train", 60), ("convert", 20), ("evaluate", 4), ("evaluate", 20)]
)
def test_no_room_ends_in_a_sentence_and_the_command_goes_on(name: str, kilobytes: int, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(NETWORK)
    full = run(COMMANDS[name].split(), tmp_path, kilobytes * 1000)
    assert "Traceback" not in full.stderr
    if full.returncode != 0:
        assert full.returncode == 2
        assert "error: " in full.stderr
        assert [path for path in tmp_path.rglob(".*") if path.is_file()] == [], "a temporary file was left"
    again = run(COMMANDS[name].split(), tmp_path)
    assert again.returncode == 0, again.stderr
