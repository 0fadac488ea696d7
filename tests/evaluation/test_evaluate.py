"""The evaluation: cells, how they are continued and extended, what is refused, and that order does not matter."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import driftproof as dp
from driftproof._errors import DriftproofError, DriftproofWarning
from driftproof.data import digits
from driftproof.plans import evaluate
from driftproof.zoo import trained_digits_cnn
from driftproof.zoo._digits_cnn import train_digits_cnn

PCM, WAN = "pcm-nandakumar-2019", "reram-wan-2022"
KEYS = ["preset", "chip", "t_s", "value", "in_validity", "n_samples"]


@pytest.fixture(scope="module")
def model() -> nn.Module:
    return trained_digits_cnn()


def run(model: nn.Module, **settings: Any) -> dp.Record:
    settings = {"presets": [PCM, WAN], "times": "1s,1d", "chips": 2, "limit": 200, **settings}
    return evaluate(model, digits(), **settings)


def rows(record: dp.Record) -> list[tuple[Any, ...]]:
    return sorted(map(tuple, record.cells()[KEYS].to_numpy().tolist()))


def test_cells_of_a_record(model: nn.Module) -> None:
    cells = run(model, times="1s,1y").cells()
    assert len(cells) == 2 + 2 * 2 * 2
    assert set(cells["preset"]) == {"digital", "ideal-analog", PCM, WAN}
    digital = cells[cells["preset"] == "digital"].iloc[0]
    assert digital["value"] >= 97
    assert cells[cells["preset"] == "ideal-analog"].iloc[0]["value"] == digital["value"]
    outside = cells[~cells["in_validity"]]
    assert set(outside["preset"]) == {WAN}
    assert set(outside["t_s"]) == {365 * 86400.0}
    assert set(cells["n_samples"]) == {200}


def test_order_company_and_threads_do_not_change_a_cell(model: nn.Module) -> None:
    together = rows(run(model, presets=[PCM, WAN, "gaussian:0.1"], times="1s,1h,1d", chips=3))
    reverse = rows(run(model, presets=["gaussian:0.1", WAN, PCM], times=["1d", "1h", 1], chips=3))
    alone = rows(run(model, presets=[WAN], times="1h", chips=3))
    assert together == reverse
    assert set(alone) <= set(together)


def test_backends_agree_cell_by_cell(model: nn.Module) -> None:
    assert rows(run(model, backend="folded")) == rows(run(model, backend="tiles"))


def test_compensation_matters_where_devices_drift(model: nn.Module) -> None:
    def mean(compensation: str) -> float:
        cells = run(model, presets=[PCM], times="1y", chips=3, compensation=compensation).cells()
        return float(cells[cells["preset"] == PCM]["value"].mean())

    assert mean("tile") > mean("none")


def test_the_same_call_continues_and_more_of_everything_extends(model: nn.Module, tmp_path: Path) -> None:
    with run(model, out=tmp_path, presets=[PCM], times="1s", chips=1) as first:
        seen = rows(first)
    with run(model, out=tmp_path, presets=[PCM], times="1s", chips=1) as again:
        assert rows(again) == seen
        assert len(again.runs()) == 1  # nothing was left to do
    with run(model, out=tmp_path, presets=[WAN, PCM], times="1s,1d", chips=2) as extended:
        assert set(seen) <= set(rows(extended))
        assert rows(extended) == rows(run(model))
    with run(model, out=tmp_path, seed=1) as other:
        assert len(other.configurations()) == 2


def test_a_folder_with_another_network_is_refused_and_kept(model: nn.Module, tmp_path: Path) -> None:
    with run(model, out=tmp_path, chips=1) as record:
        seen = rows(record)
    with pytest.raises(DriftproofError, match="model_hash"):
        run(train_digits_cnn(seed=1), out=tmp_path)
    with pytest.raises(DriftproofError, match="n_samples"):
        run(model, out=tmp_path, limit=100)
    with run(model, out=tmp_path, chips=1) as record:
        assert rows(record) == seen


def test_a_preset_with_other_numbers_under_one_name_is_refused(model: nn.Module, tmp_path: Path) -> None:
    changed = dp.load_preset(PCM, {"drift.t0_s": 30}).model_copy(update={"name": PCM})
    with run(model, out=tmp_path, presets=[PCM], chips=1):
        pass
    with pytest.raises(DriftproofError, match=PCM):
        run(model, out=tmp_path, presets=[changed], chips=1)


class Overflowing(nn.Module):
    """NaN as soon as the weights are not exactly what they were."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(64, 10)
        self.register_buffer("wanted", self.fc(torch.ones(1, 64)).detach())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        gap = (self.fc(torch.ones(1, 64)) - self.wanted).abs().max()
        outputs: Tensor = self.fc(x.flatten(1)) / (gap < 1e-3)
        return outputs


def test_nan_outputs_stop_the_run_and_keep_what_is_finished(tmp_path: Path) -> None:
    with pytest.raises(DriftproofError, match=rf"{PCM}, chip 0, 1 s: the outputs of \d+ of \d+ samples are NaN"):
        run(Overflowing(), out=tmp_path)
    assert set(dp.Record.open(tmp_path).cells()["preset"]) == {"digital", "ideal-analog"}


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"chips": 0}, "chips: wanted at least 1, got 0"),
        ({"batch_size": 0}, "batch size: wanted at least 1"),
        ({"limit": 0}, "1"),
        ({"limit": 100_000}, "597"),
        ({"times": "soon"}, "time 'soon'"),
        ({"times": "-1s"}, "time"),
        ({"times": ""}, "time"),
        ({"presets": []}, "no presets"),
        ({"presets": ["pcm"]}, "unknown preset 'pcm'"),
        ({"presets": [PCM, PCM]}, "2 presets are called"),
        ({"backend": "tile"}, "did you mean tiles"),
        ({"compensation": "all"}, "unknown compensation"),
        ({"torch_device": "gpu"}, "cpu or cuda"),
        ({"strict": True, "times": "1s,1y"}, f"{WAN} is valid from 1 s to 2 d, not at 1 y"),
    ],
)
def test_impossible_requests_are_explained_before_anything_runs(
    model: nn.Module, tmp_path: Path, settings: dict[str, Any], words: str
) -> None:
    with pytest.raises(DriftproofError) as caught:
        run(model, out=tmp_path / "out", **settings)
    assert words in str(caught.value)
    assert not (tmp_path / "out" / "record.sqlite").exists()


def test_wrong_shapes_and_targets_are_explained(model: nn.Module) -> None:
    with pytest.raises(DriftproofError, match=r"does not take inputs float32 \[4, 3, 9, 9\]"):
        evaluate(model, (torch.zeros(4, 3, 9, 9), torch.zeros(4).long()), presets=[PCM])
    with pytest.raises(DriftproofError, match="integer class"):
        evaluate(model, (torch.zeros(4, 1, 8, 8), torch.zeros(4)), presets=[PCM])
    with pytest.raises(DriftproofError, match=r"outputs of shape \[4, classes\]"):
        evaluate(nn.Conv2d(1, 2, 3), (torch.zeros(4, 1, 8, 8), torch.zeros(4).long()), presets=[PCM])


def test_a_failing_compiled_tile_is_a_warning_and_the_run_goes_on(
    model: nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "driftproof._conversion.health._try_tile", lambda name: "" if name.startswith("Torch") else "no"
    )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", DriftproofWarning)
        record = run(model, backend="tiles", presets=[PCM], chips=1, times="1s")
    assert any("torch-based tile" in str(warning.message) for warning in caught)
    assert len(record.cells()) == 3


WORKER = """
import sys
from driftproof.data import digits
from driftproof.plans import evaluate
from driftproof.zoo import trained_digits_cnn
evaluate(trained_digits_cnn(), digits(), presets=["pcm-nandakumar-2019", "reram-wan-2022"],
         times="1s,1h,1d,30d", chips=30, limit=200, out=sys.argv[1]).close()
"""


def finished(folder: Path) -> int:
    """Return how many cells a record has, 0 before there is one."""
    try:
        with dp.Record.open(folder) as record:
            return len(record.cells())
    except DriftproofError:
        return 0


def test_killed_three_times_the_record_equals_the_unbroken_one(model: nn.Module, tmp_path: Path) -> None:
    chance = random.Random(7)
    kills = 0
    for _ in range(20):
        before = finished(tmp_path)
        process = subprocess.Popen([sys.executable, "-c", WORKER, str(tmp_path)])
        while process.poll() is None and finished(tmp_path) <= before:
            time.sleep(0.01)
        time.sleep(chance.uniform(0.0, 0.5))
        if process.poll() is None and kills < 3:
            process.send_signal(signal.SIGKILL)
            kills += 1
        elif process.wait() == 0:
            break
        process.wait()
    assert kills == 3
    with dp.Record.open(tmp_path) as broken:
        whole = run(model, times="1s,1h,1d,30d", chips=30)
        assert rows(broken) == rows(whole)
        assert len(broken.runs()) >= 3


def values(record: dp.Record, preset: str) -> list[float]:
    cells = record.cells()
    found: list[float] = cells[cells["preset"] == preset].sort_values(["chip", "t_s"])["value"].tolist()
    return found


def test_the_seed_and_the_tile_size_reach_the_chips(model: nn.Module) -> None:
    settings = {"presets": ["gaussian:0.3"], "times": "1s", "chips": 4}
    base = values(run(model, **settings), "gaussian:0.3")
    assert values(run(model, seed=1, **settings), "gaussian:0.3") != base
    small = dp.TileSize(16, 5)
    folded, tiles = (run(model, tile=small, backend=backend, **settings) for backend in ("folded", "tiles"))
    assert values(folded, "gaussian:0.3") == values(tiles, "gaussian:0.3") != base


def test_configurations_in_one_folder_are_evaluated_apart(model: nn.Module, tmp_path: Path) -> None:
    settings = {"presets": [PCM], "times": "1y", "chips": 3}
    with (
        run(model, out=tmp_path, **settings) as first,
        run(model, out=tmp_path, compensation="none", **settings) as both,
    ):
        cells = both.cells()
        bare = cells[(cells["compensation"] == "none") & (cells["preset"] == PCM)]["value"].tolist()
        assert bare == values(run(model, compensation="none", **settings), PCM)
        assert values(first, PCM) != bare


def test_code_that_changed_behind_the_same_weights_is_noticed(tmp_path: Path) -> None:
    class Signed(nn.Module):
        def __init__(self, sign: float) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.fc, self.sign = nn.Linear(64, 10), sign

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            outputs: Tensor = self.fc(x.flatten(1)) * self.sign
            return outputs

    run(Signed(1.0), out=tmp_path, chips=1)
    with pytest.raises(DriftproofError, match="digital accuracy"):
        run(Signed(-1.0), out=tmp_path, chips=2)


def test_a_run_that_failed_at_once_does_not_block_its_folder(model: nn.Module, tmp_path: Path) -> None:
    images = digits().inputs
    assert isinstance(images, Tensor)
    with pytest.raises(DriftproofError, match="NaN"):
        evaluate(model, (images * float("nan"), digits().targets), presets=[PCM], times="1s", chips=1, out=tmp_path)
    with evaluate(model, (images, digits().targets), presets=[PCM], times="1s", chips=1, out=tmp_path) as record:
        assert len(record.cells()) == 3


def test_noise_that_changes_nothing_is_an_error(model: nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "driftproof.laws._programming.gaussian.GaussianProgramming.programmed", lambda law, w, xi: w.clone()
    )
    with pytest.raises(DriftproofError, match="changes no weight"):
        run(model, presets=["gaussian:0.1"])
    run(model, presets=["gaussian:0", "ideal", "levels:255"], chips=1)


class OwnForward(nn.Module):
    """A user's network around another one that it calls `module`."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        outputs: Tensor = self.module(1 - x)
        return outputs


def test_a_network_around_a_module_keeps_its_own_forward(model: nn.Module) -> None:
    data = digits().head(100)
    assert isinstance(data.inputs, Tensor)
    cells = evaluate(OwnForward(model), (1 - data.inputs, data.targets), presets=["ideal"], times="1s", chips=1).cells()
    assert cells["value"].min() > 97


@pytest.mark.parametrize(
    ("targets", "outputs"),
    [(torch.full((4,), 99), 10), (torch.full((4,), -1), 10), (torch.zeros(4).bool(), 10)],
)
def test_targets_that_are_no_classes_are_refused(targets: torch.Tensor, outputs: int) -> None:
    with pytest.raises(DriftproofError, match="class"):
        evaluate(nn.Linear(3, outputs), (torch.randn(4, 3), targets), presets=[PCM])


def test_whatever_a_network_raises_is_a_message() -> None:
    class Picky(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(3, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            assert x.shape[1] == 3, "wrong image height"
            outputs: Tensor = self.fc(x)
            return outputs

    with pytest.raises(DriftproofError, match="wrong image height"):
        evaluate(Picky(), (torch.randn(4, 5), torch.zeros(4).long()), presets=[PCM])
