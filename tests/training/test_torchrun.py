"""The whole loop in two processes, as ``torchrun`` starts them: the run of one process with two micro-batches."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from driftproof.zoo._weights import load_weights
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
        with (tmp_path / name / "log.csv").open(encoding="utf-8") as log:
            logs.append(list(csv.DictReader(log)))
    assert [row["updates"] for row in logs[0]] == [row["updates"] for row in logs[1]]
    found = [json.loads((tmp_path / "two" / f"found{rank}.json").read_text()) for rank in (0, 1)]
    assert found[0] == found[1]  # weights, rows and the best epoch are the same in all processes
    assert found[0]["best_epoch"] in (1, 2)
    before = (tmp_path / "two" / "last.safetensors").read_bytes()
    in_two_processes(method, tmp_path / "two")  # a finished run is left as it is
    assert (tmp_path / "two" / "last.safetensors").read_bytes() == before


def test_of_several_processes_one_speaks(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--standalone"]
    code = "import sys; from driftproof._cli.app import main; sys.exit(main())"
    (tmp_path / "main.py").write_text(code)
    words = ["train", "digits-cnn", "--data", "digits-train", "--limit", "200", "--epochs", "1", "--lr", "0.001"]
    device = ["--preset", "gaussian:0.2", "--strength", "auto", "--validation-chips", "1", "--batch-size", "50"]
    done = subprocess.run(
        [*command, tmp_path / "main.py", *words, *device, "--out", tmp_path / "out"],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("strength 1: validation") == 1
    assert done.stdout.count("best: epoch 1") == 1
    assert done.stdout.count("weights:") == 1
