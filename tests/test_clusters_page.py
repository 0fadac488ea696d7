"""The recipes of docs/clusters.md, as far as one machine runs them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import torch

import driftproof as dp
from driftproof._record import Record
from driftproof.data import digits
from driftproof.zoo import trained_digits_cnn

TOP = Path(__file__).parents[1]
PAGE = (TOP / "docs" / "clusters.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, flags=re.DOTALL)


def test_the_jobs_of_an_array_and_their_merged_record_are_one_evaluation(tmp_path: Path) -> None:
    job, after = blocks("bash")
    job = job.replace("CHIPS=25 ", "CHIPS=2 ")
    assert "CHIPS=2 " in job
    (tmp_path / "driftproof").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m driftproof "$@"\n')
    (tmp_path / "driftproof").chmod(0o755)
    environment = os.environ | {
        "PATH": os.pathsep.join([str(tmp_path), os.environ["PATH"]]),
        "PYTHONPATH": str(TOP / "src"),
        "OMP_NUM_THREADS": "1",
        "SLURM_CPUS_PER_TASK": "1",
    }
    for task in range(2):
        words = {"SLURM_ARRAY_TASK_ID": str(task)}
        subprocess.run(["bash", "-ec", job], cwd=tmp_path, env=environment | words, check=True, capture_output=True)
    merge = after.splitlines()[0]
    subprocess.run(["bash", "-ec", merge], cwd=tmp_path, env=environment, check=True, capture_output=True)
    with Record.open(tmp_path / "out" / "all") as merged:
        cells = merged.cells().set_index(["preset", "chip", "t_s"])["value"].to_dict()
        assert {run.machine["workers"] for run in merged.runs().values()} == {"1"}
    torch.set_num_threads(1)
    settings = {"presets": "pcm-nandakumar-2019", "times": "1s,1d,1y", "chips": 4}
    with dp.evaluate(trained_digits_cnn(), digits(), **settings) as whole:  # type: ignore[arg-type]
        assert cells == whole.cells().set_index(["preset", "chip", "t_s"])["value"].to_dict()


def test_its_python_runs() -> None:
    (code,) = blocks("python")
    names: dict[str, object] = {"__name__": "__main__"}
    exec(compile(code, "clusters.md", "exec", dont_inherit=True), names)
    assert len(names["layers"].layers) == 4  # type: ignore[attr-defined]
