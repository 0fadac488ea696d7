"""Worker processes compute the cells of one process, and what happens to them loses nothing."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

import driftproof as dp
from driftproof._errors import DriftproofError, DriftproofWarning
from driftproof._record import Outcome, Record
from driftproof.data import digits
from driftproof.evaluation import Deployment, Evaluator, Metric, Processes, Recalibration, Trial, ask, run
from driftproof.evaluation._executor import Plan
from driftproof.evaluation._torch_settings import TorchSettings
from driftproof.evaluation._trial import NETWORK_ITSELF
from driftproof.zoo import trained_digits_cnn
from evaluation import faulty
from evaluation.faulty import Faulty

DATA = digits().head(60)
NOISY = Deployment(device="gaussian:0.3")
ROOTS = [str(Path(dp.__file__).parents[1]), str(Path(__file__).parents[1])]


@pytest.fixture(scope="module")
def pool() -> Iterator[Processes]:
    with Processes(2, threads=1) as processes:
        yield processes


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Cells are the same at the same number of threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def chips(count: int, deployment: Deployment = NOISY, samples: object = None) -> Plan[list[Outcome]]:
    trials = [Trial(deployment, chip, t_s) for chip in range(count) for t_s in (1.0, 60.0)]
    return (yield ask(trials, samples))  # type: ignore[arg-type]


def assert_same(some: list[Outcome], others: list[Outcome], *, but: tuple[str, ...] = ()) -> None:
    for one, other in zip(some, others, strict=True):
        assert one.value == other.value
        assert np.array_equal(one.per_sample, other.per_sample)  # type: ignore[arg-type]
        assert {name: value for name, value in one.diagnostics.items() if name not in but} == other.diagnostics


def test_cells_are_those_of_one_process_bit_for_bit(pool: Processes) -> None:
    inputs = digits("train").head(40)
    trials = [
        NETWORK_ITSELF,
        *(
            Trial(deployment, chip, t_s, frozenset(digital))
            for deployment in (
                Deployment(device="pcm-nandakumar-2019"),
                Deployment(device="pcm-nandakumar-2019", recalibration=Recalibration(inputs)),
                Deployment(device="sonos-agrawal-2022", periphery="standard", calibration=inputs),
                Deployment(device="reram-wan-2022", seed=3, compensation="column"),
            )
            for chip in range(2)
            for t_s, digital in ((60.0, ()), (86_400.0, ("conv1",)))
        ),
    ]
    # a lambda travels too
    numbers = Metric.of(
        lambda y, t: float(y.double().sum()), name="sum", per_sample=lambda y, t: y.double().square().sum(dim=1)
    )

    def plan() -> Plan[list[Outcome]]:
        part = yield ask(trials[:5], range(0, 60, 7))
        assert {one.seen for one in part} == {9}
        return part + (yield ask(trials[3:]))

    for metric in ("accuracy", numbers):
        evaluator = Evaluator(trained_digits_cnn(), DATA, metric)
        serial, parallel = run(plan(), evaluator), run(plan(), evaluator, executor=pool)
        assert [one.value for one in parallel] == [one.value for one in serial]
        assert [one.diagnostics for one in parallel] == [one.diagnostics for one in serial]
        if metric == "accuracy":
            assert_same(parallel, serial)


def test_a_run_notes_its_workers_and_the_driver_stays_as_it_is(pool: Processes) -> None:
    torch.manual_seed(5)
    before, threads = torch.get_rng_state(), torch.get_num_threads()
    with Record.create_or_open(None) as record:
        run(chips(1), Evaluator(trained_digits_cnn(), DATA), record, executor=pool)
        (noted,) = record.runs().values()
    assert (noted.machine["workers"], noted.machine["threads"]) == ("2", "1")
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.get_num_threads() == threads


def test_workers_take_over_the_settings_of_torch(pool: Processes) -> None:
    settings = TorchSettings.now()
    evaluator = Evaluator(
        trained_digits_cnn(), DATA, Metric.of(lambda y, t: torch.ones(1).element_size(), name="bytes")
    )
    assert {one.value for one in run(chips(1), evaluator, executor=pool)} == {4.0}
    replace(settings, dtype=torch.float64, mkldnn=False).apply()
    try:
        changed = TorchSettings.now()
        assert changed != settings
        assert {one.value for one in run(chips(1), evaluator, executor=pool)} == {8.0}
        assert TorchSettings.now() == changed
    finally:
        settings.apply()
    assert TorchSettings.now() == settings
    assert {one.value for one in run(chips(1), evaluator, executor=pool)} == {4.0}


def test_a_warning_of_all_workers_comes_once(pool: Processes) -> None:
    evaluator = Evaluator(Faulty(faulty.grumble), DATA)
    with pytest.warns(RuntimeWarning, match="grumbles") as caught:
        run(chips(6), evaluator, executor=pool)
    assert len(caught) == 1
    clipping = Deployment(device="gaussian:0.3", periphery="standard", calibration=DATA.head(5))
    with pytest.warns(DriftproofWarning, match="are clipped") as caught:
        run(chips(6, clipping), Evaluator(trained_digits_cnn(), DATA), executor=pool)
    assert len(caught) == 1


def test_a_mistake_of_the_user_is_raised_as_in_one_process(pool: Processes) -> None:
    with pytest.raises(DriftproofError) as raised:
        run(chips(2), Evaluator(Faulty(faulty.fail), DATA), executor=pool)
    assert re.search(
        r"gaussian:0.3, chip \d, 1 s: the network fails on .*KeyError: 'not on my watch'", str(raised.value)
    )
    # the pool goes on with other workers
    evaluator = Evaluator(trained_digits_cnn(), DATA)
    assert_same(run(chips(2), evaluator, executor=pool), run(chips(2), evaluator))


def test_an_error_of_ours_says_where_it_was(pool: Processes) -> None:
    evaluator = Evaluator(trained_digits_cnn(), DATA)
    _ = evaluator.behaviour
    evaluator.data = _Broken()  # type: ignore[assignment]
    with pytest.raises(SystemError, match="a fault of the program") as raised:
        run(chips(1), evaluator, executor=pool)
    assert "in a worker:" in raised.value.__notes__[0]


class _Broken:
    """Data that raises what the user did not."""

    name = "broken"

    def __len__(self) -> int:
        return 60

    def fingerprint(self) -> str:
        return "0" * 16

    def batches(self, batch_size: int) -> Iterator[object]:
        raise SystemError("a fault of the program")


def test_a_worker_that_dies_is_replaced(tmp_path: Path, pool: Processes) -> None:
    evaluator = Evaluator(Faulty(faulty.die, tmp_path / "once"), DATA)
    pool.told.discard("lost")
    with pytest.warns(DriftproofWarning, match="a worker was killed by SIGKILL, at .*said once") as caught:
        outcomes = run(chips(4), evaluator, executor=pool)
    assert len(caught) == 1
    assert_same(outcomes, run(chips(4), evaluator), but=("attempts",))
    assert {one.diagnostics["attempts"] for one in outcomes if "attempts" in one.diagnostics} == {2}


def test_a_worker_that_hangs_is_replaced(tmp_path: Path) -> None:
    evaluator = Evaluator(Faulty(faulty.hang, tmp_path / "once"), DATA)
    with (
        Processes(1, threads=1, timeout_s=6.0) as processes,
        pytest.warns(DriftproofWarning, match="a worker has not finished a trial in 6 s, at gaussian:0.3, chip 0"),
    ):
        outcomes = run(chips(1), evaluator, executor=processes)
    assert_same(outcomes, run(chips(1), evaluator), but=("attempts",))


def test_batches_are_halved_where_memory_is_short(pool: Processes) -> None:
    evaluator = Evaluator(Faulty(faulty.want_memory), DATA, batch_size=20)
    with pytest.warns(DriftproofWarning) as caught:
        outcomes = run(chips(4), evaluator, executor=pool)
    assert [re.sub(r" at .*:", ":", str(each.message)).partition(". ")[0] for each in caught] == [
        "out of memory: further trials take 10 samples at once instead of 20",
    ]
    assert {one.diagnostics["batch_size"] for one in outcomes} == {10}
    assert_same(outcomes, run(chips(4), evaluator), but=("batch_size",))
    assert evaluator.at_once == 20


def test_workers_that_cannot_start_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    evaluator = Evaluator(trained_digits_cnn(), DATA)
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with Processes(2) as processes, pytest.raises(DriftproofError, match=r"no worker starts, in \d attempts"):
        run(chips(1), evaluator, executor=processes)
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    with Processes(2) as processes, pytest.raises(DriftproofError, match=r"no worker starts, .*/no/such/python"):
        run(chips(1), evaluator, executor=processes)


def test_what_cannot_be_sent_is_refused_by_name(pool: Processes) -> None:
    class Locked(Dataset[tuple[Tensor, str]]):
        """Samples with names, which are not held in memory: they travel as their data set."""

        def __init__(self) -> None:
            self.source = {"lock": threading.Lock()}

        def __len__(self) -> int:
            return 4

        def __getitem__(self, row: int) -> tuple[Tensor, str]:
            return torch.zeros(1, 8, 8), "zero"

    network = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(1, 2))
    evaluator = Evaluator(network, Locked(), batch_size=1)
    with pytest.raises(DriftproofError, match=r"data\.dataset\.source\.lock .*lock.* cannot be sent to another"):
        run(chips(1), evaluator, executor=pool)


@pytest.mark.parametrize(
    "wrong", [{"workers": 0}, {"workers": 2, "threads": 0}, {"workers": 1, "timeout_s": 0.0}], ids=str
)
def test_impossible_numbers_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(DriftproofError, match=r"wanted at least 1|above 0"):
        Processes(**wrong)


def test_threads_without_workers_are_refused() -> None:
    with pytest.raises(DriftproofError, match="ask for workers or a cluster"):
        dp.evaluate(trained_digits_cnn(), DATA, presets="ideal", times="1s", chips=1, threads=1)


def test_a_cluster_without_ray_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(DriftproofError, match=r"a cluster needs Ray .*install driftproof\[ray\]"):
        dp.evaluate(trained_digits_cnn(), DATA, presets="ideal", times="1s", chips=1, cluster="auto")


SCRIPT = """
import torch
from torch import nn
import driftproof as dp
from driftproof.zoo import trained_digits_cnn
from helpers import doubled

torch.set_num_threads(1)
open("began", "a").write("once ")

class Mine(nn.Module):
    def __init__(self):
        super().__init__()
        self.network, self.function = trained_digits_cnn(), lambda x: doubled(x) / 2

    def forward(self, x):
        return self.network(self.function(x))

data, settings = dp.data.digits().head(60), {"presets": "gaussian:0.3", "times": "1s", "chips": 3}
def worst(outputs, targets):
    return float(outputs.max())
one = dp.evaluate(Mine(), data, metric=worst, workers=1, threads=1, **settings)
other = dp.evaluate(Mine(), data, metric=worst, **settings)
print(one.cells()["value"].tolist() == other.cells()["value"].tolist(), len(one.cells()))
"""


def test_a_script_without_a_main_guard_runs_once(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    (tmp_path / "helpers.py").write_text("def doubled(x):\n    return 2 * x\n")
    done = subprocess.run(
        [sys.executable, "script.py"], cwd=tmp_path, env=environment(), capture_output=True, text=True, check=True
    )
    assert done.stdout == "True 5\n"
    assert (tmp_path / "began").read_text() == "once "


def environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": os.pathsep.join(ROOTS), "OMP_NUM_THREADS": "1"}


def children(pid: int) -> set[int]:
    """Return the processes whose parent is a process."""
    found = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
        except (FileNotFoundError, ProcessLookupError):
            continue
        if parent == pid:
            found.add(int(stat.parent.name))
    return found


def alive(pids: set[int]) -> set[int]:
    running = set()
    for pid in pids:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if state != "Z":
            running.add(pid)
    return running


def finished(folder: Path) -> int:
    if not (folder / "record.sqlite").exists():
        return 0
    try:
        with Record.open(folder) as record:
            return len(list(record.outcomes()))
    except dp.DriftproofError as error:
        if "is empty" not in str(error):  # as it is between the file and its first transaction
            raise
        return 0


def wait_until(condition: object, seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < end, "too late"
        time.sleep(0.1)


DRIVER = """
import os, signal, subprocess, sys, time
from driftproof._cli.app import main
from driftproof.evaluation import _processes

signal.signal(signal.SIGINT, signal.default_int_handler)
folder, forks = sys.argv[1:]
start = subprocess.Popen
def start_and_fork(*given, **more):
    process = start(*given, **more)
    if "pass_fds" in more and os.fork() == 0:
        time.sleep(120)
        os._exit(0)
    return process
if forks == "True":  # a process that keeps the connections of the workers open when the driver is gone
    _processes.subprocess.Popen = start_and_fork
command = "driftproof evaluate evaluation/slow.py:network --data digits --limit 60 --preset gaussian:0.3 --times 1s"
sys.argv = [*command.split(), "--chips", "100", "--workers", "2", "--threads", "1", "--out", folder]
main()
"""


@pytest.mark.skipif(not Path("/proc").exists(), reason="processes are looked up in /proc")
@pytest.mark.parametrize("how", ["SIGKILL", "SIGINT"])
def test_no_worker_outlives_its_driver_and_the_run_goes_on(how: str, tmp_path: Path) -> None:
    command, forks = [sys.executable, "-c", DRIVER], how == "SIGKILL"
    with subprocess.Popen(
        [*command, str(tmp_path), str(forks)],
        cwd=ROOTS[1],
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as driver:
        wait_until(lambda: finished(tmp_path) > 4 or driver.poll() is not None)
        workers = {pid for pid in children(driver.pid) if b"start_and_fork" not in command_of(pid)}
        others = children(driver.pid) - workers
        driver.send_signal(getattr(signal, how))
        code = driver.wait(30)
        try:
            assert (code, len(workers), len(others)) == (130 if how == "SIGINT" else -9, 2, 2 * forks)
            wait_until(lambda: not alive(workers), 15.0)
        finally:
            for pid in others:
                os.kill(pid, signal.SIGKILL)
        said = driver.communicate()[1]
    assert "Traceback" not in said
    assert (how == "SIGINT") == ("the same command continues" in said)
    with Record.open(tmp_path) as record:
        cells = record.cells().set_index(["preset", "chip"])["value"].to_dict()
        chips_done = int(record.cells()["chip"].max())
    # another executor goes on
    network = Faulty(faulty.be_slow)
    settings: dict[str, Any] = {"presets": "gaussian:0.3", "times": "1s", "chips": chips_done + 2}
    with dp.evaluate(network, DATA, out=tmp_path, name="slow.py:network", **settings) as more:
        continued = more.cells().set_index(["preset", "chip"])["value"].to_dict()
        assert len(more.runs()) == 2
    with dp.evaluate(network, DATA, **settings) as serial:
        expected = serial.cells().set_index(["preset", "chip"])["value"].to_dict()
    assert cells.items() <= expected.items()
    assert continued == expected


def command_of(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()
