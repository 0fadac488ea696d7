"""The command line in this process."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from driftproof._cli.app import main
from driftproof.periphery import DynamicRange, load_periphery, write_periphery


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Run the command in this process: exit code, and what it printed on both streams."""

    def run(*words: object, columns: int = 200) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["driftproof", *map(str, words)])
        monkeypatch.setenv("COLUMNS", str(columns))
        code = 0
        try:
            main()
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else 1
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run


@pytest.fixture
def no_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw nothing and write no page, where a test is about something else."""

    def page(records: object, out: Path, keep: object = None, title: str = "", said: str = "") -> Path:
        return out / "index.html"

    monkeypatch.setattr("driftproof._reporting.report", page)
    monkeypatch.setattr("driftproof._drawing._save", lambda *_: b"")
    monkeypatch.setattr("driftproof._drawing._exactly", lambda *_: b"")


@pytest.fixture
def network(tmp_path: Path) -> str:
    """Write a small network with BatchNorm, and return its name for a command."""
    file = tmp_path / "mine.py"
    file.write_text(
        "import torch\n"
        "from torch import nn\n\n"
        "def net():\n"
        "    torch.manual_seed(0)\n"
        "    first = nn.Sequential(nn.Conv2d(1, 4, 3, stride=2), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten())\n"
        "    return nn.Sequential(first, nn.Linear(36, 10)).eval()\n"
    )
    return f"{file}:net"


@pytest.fixture
def converter(tmp_path: Path) -> Callable[[int], Path]:
    """Write the file of a periphery with an ADC of some bits, which measures no input ranges."""

    def write(bits: int) -> Path:
        made = load_periphery("standard").with_changes(name=f"adc{bits}", adc_bits=bits, input_range=DynamicRange())
        return write_periphery(made, tmp_path / f"adc{bits}.toml")

    return write
