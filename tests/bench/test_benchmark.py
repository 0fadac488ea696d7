"""The benchmark on a tiny network: what it times, what it leaves out, and that table and JSON say the same."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any

import pytest
import torch

import driftproof as dp
from bench.tiny import tiny
from driftproof.bench import _peers, _run, _workers
from driftproof.bench.__main__ import main
from driftproof.bench._cells import PERIPHERIES, Cells, periphery_of
from driftproof.bench._compiled import _tried
from driftproof.bench._needed import COLUMNS
from driftproof.bench._networks import LAYOUTS, NETWORKS, workload
from driftproof.bench._peers import COMPILED_TILE, CROSSSIM, TORCH_TILE, Peers, cell
from driftproof.bench._plain import plain_passes
from driftproof.evaluation import Evaluator

NEEDED = (
    "device,time,design,chips,samples,full_chips,full_by_samples,more\nreram,1 d,stratified,387.2,27952.8,176,62.96,1\n"
)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_run, "workload", lambda name, quick: tiny())
    monkeypatch.setattr(_run, "QUICK_WORKER_CHIPS", 1)
    monkeypatch.setattr(_run, "peak_bytes", lambda chips: 2**20 * (100 + chips))


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[str, str]:
    main(["--quick", "--networks", "tiny", *words])
    captured = capsys.readouterr()
    return captured.out, captured.err


@pytest.mark.usefixtures("small")
def test_table_and_json_say_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "needed.csv").write_text(NEEDED)
    out, progress = run(capsys, "--json", "--out", str(tmp_path / "out"), "--needed", str(tmp_path / "needed.csv"))
    results = json.loads(out)  # stdout has nothing else
    assert "choosing the best of 4 plain passes" in progress
    assert json.loads((tmp_path / "out" / "results.json").read_text()) == results
    table = (tmp_path / "out" / "results.md").read_text()
    (chosen,) = (row for row in results["plain"] if row["chosen"])
    assert chosen["seconds"] == min(row["seconds"] for row in results["plain"])
    assert f"{chosen['layout']} in batches of {chosen['batch_size']} and takes {chosen['seconds']:.3g} s" in table
    lines = [line.strip("| ").split(" | ") for line in table.splitlines() if line.startswith("| ")]
    for name, title in PERIPHERIES.items():
        rows = {row["what"]: row for row in results["cells"] if row["periphery"] == name}
        assert {"plain", "driftproof", TORCH_TILE, COMPILED_TILE} <= rows.keys()
        (line,) = (line for line in lines if line[0] == title)
        shown = [float(re.split(r" \(", text)[0]) for text in line[1:]]
        wanted = [rows[what]["seconds"] for what in ("driftproof", "driftproof, one sample")]
        wanted += [rows["driftproof"][key]["median"] for key in ("to_plain", "to_plain_of_many")]
        wanted += [rows[peer]["to_driftproof"]["median"] for peer in (TORCH_TILE, COMPILED_TILE)]
        assert shown == pytest.approx(wanted, rel=0.05, abs=0.006)
        assert rows["plain"]["to_plain"]["low"] == rows["plain"]["to_plain"]["high"] == 1
        assert rows[TORCH_TILE]["samples"] == 5
    assert "| reram | 1 d | stratified | 387 | 27953 | 176 | 63.0 |" in table
    assert "| 30 | 130 | 1.262 |" in table
    for row in results["missing"]:
        assert row["what"] in table
        assert row["why"] in table


@pytest.mark.usefixtures("small")
def test_what_is_missing_is_said_by_name(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("aihwkit", "aihwkit.simulator", "simulator"):
        monkeypatch.setitem(__import__("sys").modules, name, None)
    monkeypatch.setattr(_run, "_time_workers", lambda *_: None)  # the test above starts them
    table, _ = run(capsys, "--peripheries", "ideal")
    missing = table.partition("### Not measured")[2]
    for peer in (TORCH_TILE, COMPILED_TILE, CROSSSIM):
        assert f"tiny, ideal: {peer}" in missing
    assert "pip install aihwkit" in missing
    assert "compiled plain: left out (quick)" in missing
    assert f"{TORCH_TILE} / cell" not in table


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(
    ("words", "said"),
    [(("--peripheries", "nois"), "did you mean noise"), (("--needed", "nowhere.csv"), "cannot be read")],
)
def test_a_wrong_option_is_said_before_anything_is_timed(words: tuple[str, ...], said: str) -> None:
    with pytest.raises(SystemExit, match=said):
        main(["--quick", *words])


def test_a_wrong_network_and_a_file_without_a_column(tmp_path: Path) -> None:
    with pytest.raises(dp.DriftproofError, match="did you mean resnet20"):
        workload("resnet-20", quick=True)
    (tmp_path / "needed.csv").write_text(NEEDED.replace("samples", "samples_", 1))
    with pytest.raises(SystemExit, match=f"no column 'samples'; wanted {', '.join(COLUMNS)}"):
        main(["--networks", "resnet20", "--needed", str(tmp_path / "needed.csv")])


def test_every_cell_is_a_new_chip_on_all_inputs(monkeypatch: pytest.MonkeyPatch) -> None:
    trials: list[Any] = []
    monkeypatch.setattr(Evaluator, "__call__", lambda self, trial, samples=None: trials.append((trial, samples)))
    cells = Cells(tiny())
    noisy, one = cells.step(periphery_of("noise")), cells.step(periphery_of("ideal"), samples=1)
    for step in (noisy, noisy, one):
        step()
    assert [trial.chip for trial, _ in trials] == [0, 1, 2]
    assert [samples for _, samples in trials] == [None, None, range(1)]
    assert trials[0][0].deployment.calibration is not None
    assert trials[0][0].t_s == 86400.0


def test_plain_passes_compute_all_inputs_in_their_layout() -> None:
    of = tiny()
    seen: list[tuple[int, bool]] = []

    def look(_: object, args: tuple[torch.Tensor]) -> None:
        seen.append((len(args[0]), args[0].is_contiguous(memory_format=torch.channels_last)))

    of.network.register_forward_pre_hook(look)
    for one in plain_passes(of):
        seen.clear()
        one.step()
        assert [size for size, _ in seen] == [one.batch_size] * (20 // one.batch_size)
        assert one.layout in LAYOUTS
    assert len(plain_passes(of)) == 4


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_are_the_same_each_time_and_leave_the_random_state(name: str) -> None:
    torch.manual_seed(1)
    one, other = workload(name, quick=True), workload(name, quick=True)
    assert torch.equal(one.inputs, other.inputs)
    assert all(map(torch.equal, one.network.state_dict().values(), other.network.state_dict().values()))
    assert not one.network.training
    assert all(len(one.inputs) % size == 0 for size in one.plain_batch_sizes)
    drawn = torch.rand(3)
    torch.manual_seed(1)
    assert torch.equal(drawn, torch.rand(3))


def test_only_the_pass_of_a_peer_is_scaled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Programming takes 100 s, the pass of 5 of 20 inputs in 3 batches 2 s each: 100 + 4 × 6."""
    now = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])

    def takes(seconds: float) -> None:
        now[0] += seconds

    class Network(torch.nn.Module):
        def forward(self, batch: torch.Tensor) -> torch.Tensor:
            takes(2.0)
            return batch

    assert cell(tiny(), Network(), lambda: takes(100.0), batch_size=2)() == 124.0


def test_a_peer_that_fails_while_it_computes_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails() -> None:
        raise RuntimeError("no such tile")

    monkeypatch.setattr(_peers, "_torch_tile", lambda of, periphery: (of.network, fails))
    steps, missing = Peers(tiny()).steps(periphery_of("ideal"))
    assert missing[TORCH_TILE] == "it failed with RuntimeError: no such tile"
    assert COMPILED_TILE in steps


def test_workers_are_used_where_there_are_some(monkeypatch: pytest.MonkeyPatch) -> None:
    now, asked = [0.0], []
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])

    def evaluate(network: Any, data: Any, *, chips: int, workers: int, threads: int, **_: Any) -> dp.Record:
        asked.append((workers, threads, chips))
        now[0] += 30.0 + 5.0 * workers + 2.0 * chips / workers  # starting is not counted
        return dp.Record.create_or_open(None)

    monkeypatch.setattr(_workers, "evaluate", evaluate)
    rows, why = _workers.chips_per_second(tiny(), chips=10, rounds=2)
    assert not why
    assert [(row["workers"], round(row["chips_per_second"], 9), round(row["to_one"]["median"], 9)) for row in rows] == [
        (1, 0.5, 1.0),
        (2, 1.0, 2.0),
    ]
    assert asked == [(1, 1, 1), *[(1, 1, 11), (1, 1, 1), (2, 1, 22), (2, 1, 2)] * 2]

    def without(network: Any, data: Any, *, chips: int) -> dp.Record:
        raise AssertionError

    monkeypatch.setattr(_workers, "evaluate", without)
    assert _workers.chips_per_second(tiny(), chips=10, rounds=2) == (
        [],
        "evaluate has no option workers in this version",
    )


def test_a_compilation_that_fails_or_takes_too_long_is_said() -> None:
    assert _tried(time.sleep, (60.0,), limit_s=0.5) == "torch.compile took more than 0.5 s"
    assert _tried(time.sleep, ("not a number",), limit_s=60.0) == "torch.compile failed (exit code 1)"
    assert not _tried(time.sleep, (0.0,), limit_s=60.0)


def test_each_ratio_has_its_own_reference() -> None:
    runs = {"plain": [1.0, 10.0, 2.0], "driftproof": [2.0, 20.0, 4.0], "driftproof, one sample": [1.0, 10.0, 2.0]}
    rows = _run.rows_of("net", "ideal", runs | {TORCH_TILE: [12.0, 120.0, 24.0]}, dict.fromkeys([*runs, TORCH_TILE], 2))
    plain, own, one, peer = rows
    assert [row["to_plain"]["median"] for row in rows] == [1, 2, 1, 12]
    assert peer["to_driftproof"]["median"] == 6
    # a plain pass of 2,000 inputs takes 1,000 times as long; a cell takes 1 s and 1,999 times 1 s
    assert own["to_plain_of_many"]["median"] == 2.0
    assert plain["to_driftproof"] is own["to_driftproof"] is one["to_plain_of_many"] is None
