"""The whole loop in two processes, as ``torchrun`` starts them: the run of one process with two micro-batches."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from driftproof.zoo import load_weights
from training.loop_script import network, run


def in_two_processes(method: str, out: Path) -> None:
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--standalone"]
    script = Path(__file__).with_name("loop_script.py")
    done = subprocess.run(
        [*command, script, method, out], capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("method", ["rwp", "looksam", "m-rwp"])
def test_two_processes_train_as_one(method: str, tmp_path: Path) -> None:
    run(method, tmp_path / "one", 2)
    in_two_processes(method, tmp_path / "two")
    for file in ("last.safetensors", "best.safetensors"):
        one, two = network(), network()
        load_weights(one, tmp_path / "one" / file)
        load_weights(two, tmp_path / "two" / file)
        for a, b in zip(one.parameters(), two.parameters(), strict=True):
            torch.testing.assert_close(a, b, atol=1e-6, rtol=1e-5)
    logs = []
    for name in ("one", "two"):
        with (tmp_path / name / "log.csv").open(encoding="utf-8") as file:
            logs.append(list(csv.DictReader(file)))
    assert [row["updates"] for row in logs[0]] == [row["updates"] for row in logs[1]]
    before = (tmp_path / "two" / "last.safetensors").read_bytes()
    in_two_processes(method, tmp_path / "two")  # a finished run is left as it is
    assert (tmp_path / "two" / "last.safetensors").read_bytes() == before
