"""Loops that step by themselves, in two processes: weights never part, or the loop is refused."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from training.loops_in_two_processes import ONE_PASS
from training.small import NAMES

HERE = Path(__file__).parent
LIMIT_S = 120
REFUSED = {
    "rwp bare step": "not wrapped in DistributedDataParallel: the update would differ",
    "sam bare step": "not wrapped in DistributedDataParallel: the update would differ",
    "rwp bare gradient": "not wrapped in DistributedDataParallel: the gradient would differ",
    "sam bare gradient": "not wrapped in DistributedDataParallel: the gradient would differ",
    "rwp bare perturbed": "after the first update, so nothing exchanges the gradients",
    "rwp inside step": "the gradients differ between the processes: nothing was updated",
    "sam inside step": "the gradients differ between the processes: nothing was updated",
    "rwp inside gradient": "after the first update, so nothing exchanges the gradients",
    "sam inside gradient": "after the first update, so nothing exchanges the gradients",
    "other start": "the weights differ between the processes before the first update",
    "sharded step": "split over the processes (FSDP",
    "sharded perturbed": "split over the processes (FSDP",
}


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    folder = tmp_path_factory.mktemp("processes")
    environment = os.environ | {
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join([str(HERE.parent), *sys.path]),
        "GLOO_SOCKET_IFNAME": os.environ.get("GLOO_SOCKET_IFNAME", "lo"),
    }
    command = [sys.executable, str(HERE / "loops_in_two_processes.py"), str(folder)]
    started = [
        subprocess.Popen([*command, str(rank)], env=environment, stderr=subprocess.PIPE, text=True) for rank in (0, 1)
    ]
    try:
        said = [process.communicate(timeout=LIMIT_S)[1] for process in started]
    finally:
        for process in started:
            process.kill()
    assert [process.returncode for process in started] == [0, 0], "\n".join(said)
    return [torch.load(folder / f"{rank}.pt", weights_only=False) for rank in (0, 1)]


def equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(value, other[name]) for name, value in one.items())


def test_ranks_never_drift(both: list[dict[str, Any]]) -> None:
    cases = [case for case in both[0] if not case.startswith("refused")]
    assert len(cases) == 2 * (len(NAMES) - 1) + 2 * len(ONE_PASS) + 3
    for case in cases:
        assert equal(both[0][case], both[1][case]), case


@pytest.mark.parametrize("name", [name for name in NAMES if name != "noise-injection"])
def test_the_gradient_is_that_of_a_step(name: str, both: list[dict[str, Any]]) -> None:
    for process in both:
        assert equal(process[f"{name}: step"], process[f"{name}: gradient"])


@pytest.mark.parametrize("inner", [False, True])
@pytest.mark.parametrize("name", ONE_PASS)
def test_a_perturbed_network_inside_its_wrapper_is_a_step(name: str, inner: bool, both: list[dict[str, Any]]) -> None:
    for process in both:
        assert equal(process[f"{name}: step"], process[f"{name}: perturbed {inner}"])


def test_gradients_that_are_exchanged_by_hand_are_those_of_the_wrapper(both: list[dict[str, Any]]) -> None:
    for key, value in both[0]["rwp: step"].items():
        torch.testing.assert_close(value, both[0]["rwp: by hand"][key], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("case", REFUSED)
def test_what_would_drift_is_refused_in_all_processes(case: str, both: list[dict[str, Any]]) -> None:
    for process in both:
        assert REFUSED[case] in process[f"refused: {case}"]
