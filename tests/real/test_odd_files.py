"""Files and paths that no reader expects: refused with the file's name, in bounded time and memory."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import driftproof as dp
from driftproof._errors import DriftproofError
from driftproof.fitting import read_measurements
from driftproof.measured import load_measured
from driftproof.periphery import load_periphery
from driftproof.zoo._weights import load_weights
from real.test_fuzz import in_time, write_measured, write_record


def deep_toml(path: Path) -> None:
    path.write_text("a = " + "[" * 10_000 + "]" * 10_000)


def deep_tables(path: Path) -> None:
    path.write_text("a = " + "{b = " * 10_000 + "1" + "}" * 10_000)


def many_digits(path: Path) -> None:
    path.write_text(f"a = {'9' * 5_000}")


def no_text(path: Path) -> None:
    path.write_bytes(b"\xff\xfe\x00" * 10)


def huge(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(2**40)


def fifo(path: Path) -> None:
    os.mkfifo(path)


def device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def loop(path: Path) -> None:
    path.symlink_to(path)


def folder(path: Path) -> None:
    path.mkdir()


EVERYWHERE = (no_text, huge, fifo, device, loop, folder)
READERS: dict[str, Callable[[Path], object]] = {
    "preset.toml": dp.load_preset,
    "periphery.toml": load_periphery,
    "measured.csv": read_measurements,
    "weights.safetensors": lambda path: load_weights(nn.Linear(2, 2), path),
    "weights.pt": lambda path: load_weights(nn.Linear(2, 2), path),
    "record.sqlite": dp.Record.open,
}


@pytest.mark.parametrize("make", [deep_toml, deep_tables, many_digits, *EVERYWHERE], ids=lambda make: make.__name__)
@pytest.mark.parametrize("name", READERS)
def test_no_reader_waits_or_fills_the_memory(name: str, make: Callable[[Path], None], tmp_path: Path) -> None:
    path = tmp_path / name
    make(path)
    with in_time(), pytest.raises(DriftproofError) as caught:
        READERS[name](path)
    assert name in str(caught.value) or str(tmp_path) in str(caught.value)


def header(announced: str) -> bytes:
    text = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {announced}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode()


@pytest.mark.parametrize("announced", ["(1000000, 1000000)", "(10,)", "(-1, 3)"])
def test_an_array_that_announces_other_numbers_than_it_has(announced: str, tmp_path: Path) -> None:
    path = write_measured(tmp_path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("g_plus_us.npy", header(announced) + np.zeros(3).tobytes())
    with in_time(), pytest.raises(DriftproofError, match=r"fc\.npz: not an \.npz file"):
        load_measured(tmp_path / "chips")


PARTS = {
    "500 folders deep": "/".join(["a" * 9] * 500),
    "a name of 300 letters": "b" * 300,
    "a zero byte": "a\0b",
}


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("call", ["evaluate", "report", "save", "train", "export"])
def test_a_folder_that_cannot_be_made_is_named(call: str, part: str, tmp_path: Path) -> None:
    out, network = tmp_path / PARTS[part], nn.Sequential(nn.Linear(4, 3)).eval()
    data = torch.randn(20, 4), torch.arange(20) % 3
    if call in ("report", "export"):
        write_record(tmp_path / "record")
    calls: dict[str, Callable[[], object]] = {
        "evaluate": lambda: dp.evaluate(network, data, presets=["ideal"], times="1s", chips=1, out=out),
        "report": lambda: dp.report(tmp_path / "record", out),
        "save": lambda: dp.save(dp.convert(network, "ideal"), out / "chip"),
        "train": lambda: dp.train(network, data, epochs=1, batch_size=10, out=out),
        "export": lambda: dp.Record.open(tmp_path / "record"),
    }
    if call == "export":
        out = out if part != "a zero byte" else tmp_path / "\udcff\udcfe"  # not UTF-8
        words = [sys.executable, "-m", "driftproof", "export", str(tmp_path / "record"), "--out", str(out / "x.csv")]
        done = subprocess.run(words, capture_output=True, text=True, check=False, errors="replace")
        assert (done.returncode, "Traceback" in done.stderr) == (2, False)
        assert "error: " in done.stderr
        return
    if part == "500 folders deep" and os.pathconf("/", "PC_PATH_MAX") > len(str(out)):
        pytest.skip("this file system takes the path")
    with in_time(), pytest.raises(DriftproofError, match=r"cannot be made|cannot write"):
        calls[call]()
