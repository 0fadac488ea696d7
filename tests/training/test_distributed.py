"""Two processes train one network: as one process with the micro-batches of both, and their weights never part.

Every method does: micro-batches and processes have a perturbation of their own, keyed by their place among all, and
what a method makes of the update's gradient (GSAM's and LookSAM's parts, ARWP's v) is of the exchanged one. (m-RWP
takes two batches for a micro-batch, so two processes with two closures each are one with four.) With BatchNorm the
weights do not part either, but each process normalises with its own batch, as torch has it.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from training.small import ASCENDING, NAMES, equal
from training.two_processes import STEPS, WORLD, Place, run

HERE = Path(__file__).parent
LIMIT_S = 120


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    folder = tmp_path_factory.mktemp("processes")
    environment = os.environ | {
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join([str(HERE.parent), *sys.path]),
        "GLOO_SOCKET_IFNAME": os.environ.get("GLOO_SOCKET_IFNAME", "lo"),
    }
    command = [sys.executable, str(HERE / "two_processes.py"), str(folder)]
    started = [
        subprocess.Popen([*command, str(rank)], env=environment, stderr=subprocess.PIPE, text=True)
        for rank in range(WORLD)
    ]
    try:
        said = [process.communicate(timeout=LIMIT_S)[1] for process in started]
    finally:
        for process in started:
            process.kill()
    assert [process.returncode for process in started] == [0] * WORLD, "\n".join(said)
    return [torch.load(folder / f"{rank}.pt", weights_only=False) for rank in range(WORLD)]


@pytest.fixture(scope="module")
def alone() -> dict[str, Any]:
    return run(Place(0, 1))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("case", ["2", "adaptive", "unused"])
def test_two_processes_are_one_with_the_micro_batches_of_both(name: str, case: str, both: Any, alone: Any) -> None:
    if f"{name}, {case}" not in alone:
        assert (name, case) == ("m-rwp", "unused")
        return
    wanted = alone[f"{name}, {case}"]
    for process in both:
        got = process[f"{name}, {case}"]
        for key, value in wanted["weights"].items():
            torch.testing.assert_close(got["weights"][key], value, rtol=1e-6, atol=1e-6)
        assert got["norm"] == pytest.approx(wanted["norm"], rel=1e-5)
        for mine, schedule in zip(got["method"]["schedules"], wanted["method"]["schedules"], strict=True):
            assert mine == pytest.approx(schedule, rel=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_weights_and_states_never_part(name: str, both: Any) -> None:
    """Bit for bit: gradients, weights, the optimizer's and the method's own state, in every case."""
    first, second = both
    for case in (case for case in first if case.startswith(f"{name}, ")):
        one, other = first[case], second[case]
        for part in ("gradients", "optimizer", "method", "norm", "skipped"):
            assert equal(one[part], other[part]), f"{case}: {part}"
        for key, value in one["weights"].items():
            if "running" not in key:  # the statistics are those of each process's batches
                assert torch.equal(value, other["weights"][key]), f"{case}: {key}"


@pytest.mark.parametrize("name", NAMES)
def test_an_overflow_in_one_process_skips_the_update_in_all(name: str, both: Any) -> None:
    for at in (1, 2) if name in ASCENDING else (1,):
        for process in both:
            case = process[f"{name}, overflow {at}"]
            passes = 1 if name == "looksam" else 2  # its third update is between two ascents
            assert case["skips"] == [False, False, at <= passes, False], f"pass {at}"
            assert case["scale"] == (8.0 if at <= passes else 16.0)
            assert all(bool(torch.isfinite(value).all()) for value in case["weights"].values())


@pytest.mark.parametrize("name", NAMES)
def test_gradients_are_exchanged_once_in_an_update(name: str, both: Any) -> None:
    """In its last pass: neither in the first of two passes, nor in the first of two micro-batches."""
    assert [process[f"exchanges of {name}"] for process in both] == [1, 1]


def test_processes_never_share_a_draw(both: Any, alone: Any) -> None:
    first, second = (set(process["keys"]) for process in both)
    assert len(first) == len(second) == 3 * 2
    assert not first & second
    assert sorted(first | second) == alone["keys"]
    assert STEPS > 3


def test_a_closure_that_exchanges_nothing_is_refused(both: Any) -> None:
    for process in both:
        assert "the DistributedDataParallel, not the network inside" in process["inside"]
