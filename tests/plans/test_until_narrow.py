"""Chips on parts of the samples until an interval is narrow: what is asked for, kept, continued, shown and refused."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import driftproof as dp
from driftproof import DriftproofError
from driftproof._record import CellKey, Outcome, Record
from driftproof._record.entries import DrawnSamples
from driftproof._reporting import summarise
from driftproof._reporting.gather import gather
from driftproof._reporting.shares import yields
from driftproof.data import digits
from driftproof.evaluation import Evaluator, Trial
from driftproof.evaluation._executor import Request, Serial
from driftproof.plans._precision import Precision, drawn_samples, precision_of
from driftproof.statistics import strata_by
from driftproof.zoo import trained_digits_cnn

PCM = "pcm-nandakumar-2019"
NOISY = "gaussian:0.15"
WIDE: dict[str, Any] = {"ci": 1.0, "times": "1s"}
type Cells = dict[CellKey, tuple[Any, ...]]


def narrow(out: Path | None = None, **more: Any) -> Record:
    return dp.evaluate(trained_digits_cnn(), digits(), **{"presets": NOISY, "out": out, **WIDE} | more)


def cells(record: Record) -> Cells:
    """Return what was measured, without how long it took."""
    return {
        key: (
            outcome.value,
            None if outcome.samples is None else outcome.samples.tolist(),
            None if outcome.per_sample is None else outcome.per_sample.tolist(),
        )
        for key, outcome, _ in record.outcomes()
    }


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the record of two devices, one of them at two times."""
    folder = tmp_path_factory.mktemp("made")
    narrow(folder, presets=[NOISY, PCM], times="1s,1y").close()
    return folder


@pytest.fixture(scope="module")
def full() -> Record:
    """The same device with all samples of 20 chips."""
    return dp.evaluate(trained_digits_cnn(), digits(), presets=NOISY, times="1s", chips=20)


def test_intervals_are_as_narrow_as_was_asked_for(made: Path) -> None:
    with Record.open(made) as record:
        table = summarise(record)
    rows = table[table["chips"] > 0]
    assert len(rows) == 4
    assert (rows["drop_ci95_high"] - rows["drop_ci95_low"] <= 2 * 1.0).all()
    assert (rows["sampling"] == "stratified").all()
    assert (rows["chips"] >= 10).all()
    assert (rows["passes"] < 0.5 * rows["chips"] * rows["n_samples"]).all()


def test_the_record_alone_tells_the_estimate(made: Path) -> None:
    """Strata, seed and the samples of every cell are in the file; the brute-force estimate is that of the summary."""
    with Record.open(made) as record:
        table, (run,) = summarise(record), record.runs().values()
        assert run.drawn is not None
        assert run.drawn.by == "margin of the digital network, right or wrong"
        strata = run.drawn.samples
        digital = next(o.per_sample for key, o, _ in record.outcomes() if key.series == "digital")
        assert digital is not None
        assert (strata.sizes == np.bincount(strata.of)).all()
        for config, preset, series in record.shown():
            row = table[(table["config_id"] == config) & (table["preset"] == preset) & (table["t_s"] == 1.0)]
            if not len(row):
                continue
            found = []
            for key, outcome, _ in record.outcomes():
                if key.series != series or key.t_s != 1.0:
                    continue
                assert outcome.samples is not None
                assert outcome.per_sample is not None
                counts = np.bincount(strata.of[outcome.samples], minlength=len(strata.sizes))
                assert outcome.samples.tolist() == strata.drawn(key.chip, counts).tolist()
                lost = digital[outcome.samples].astype(float) - outcome.per_sample
                found.append(
                    sum(
                        size / len(digital) * lost[strata.of[outcome.samples] == h].mean()
                        for h, size in enumerate(strata.sizes)
                    )
                )
            assert row["drop"].item() == pytest.approx(100 * np.mean(found))
            assert row["mean"].item() == pytest.approx(100 * (digital.mean() - np.mean(found)))
            assert row["chips"].item() == len(found)


def test_the_estimate_is_near_that_of_all_samples(made: Path, full: Record) -> None:
    """The first ten chips are the same: within the sampling of a few hundred samples, 4 standard errors."""
    whole, part = summarise(full), summarise(Record.open(made))
    rows = [table[(table["preset"] == NOISY) & (table["t_s"] == 1.0)].iloc[0] for table in (whole, part)]
    error = sum((row["drop_ci95_high"] - row["drop_ci95_low"]) / 4 for row in rows)
    assert abs(rows[0]["drop"] - rows[1]["drop"]) < 2 * error


def test_raw_values_of_parts_are_never_told_as_those_of_all(made: Path) -> None:
    evidence = gather(made)
    for (key, preset, t_s), row in evidence.rows.items():
        if preset not in (NOISY, PCM):
            continue
        raw = row.cells["value"].mean()
        shown = evidence.series(key, preset).query("t_s == @t_s").iloc[0]
        assert raw < shown["mean"] - 0.5  # samples in doubt are harder
        assert shown[["std", "worst", "p5", "std_measured", "worst_measured"]].isna().all()
        assert yields(evidence, key, preset, 90.0) == []
        assert not len(evidence.chips(key, preset, t_s))
    assert evidence.partial_cells
    assert evidence.any_stratified


def test_a_comparison_of_parts_is_paired_by_strata(made: Path) -> None:
    """Not of raw values: the difference is that of the stratified estimates on the same samples."""
    table = dp.compare(made, against=NOISY)
    summary = summarise(Record.open(made)).set_index(["preset", "t_s"])
    assert len(table) == 2
    for row in table.to_dict("records"):
        means = summary.loc[(PCM, row["t_s"]), "mean"] - summary.loc[(NOISY, row["t_s"]), "mean"]
        assert row["mean_b"] - row["mean_a"] == pytest.approx(means)
        assert row["difference"] == pytest.approx(means, abs=1.5)
        assert row["ci95_low"] < row["difference"] < row["ci95_high"]
        assert row["chips"] >= 10


def test_the_report_says_what_was_seen(made: Path, tmp_path: Path) -> None:
    page = dp.report(made, tmp_path).read_text("utf-8")
    assert "random samples from strata of the digital network" in page
    assert "samples in all</span>" in page
    assert not (tmp_path / "yields.csv").exists()
    assert "% of chips that" not in page


class Breaks(Serial):
    """Stops the run, as Ctrl-C does, after some trials."""

    def __init__(self, trials: int) -> None:
        self.left = trials

    def outcomes(self, evaluator: Evaluator, requests: Sequence[Request]) -> Iterator[tuple[int, Outcome]]:
        for pair in super().outcomes(evaluator, requests):
            if not self.left:
                raise KeyboardInterrupt
            self.left -= 1
            yield pair


@pytest.mark.parametrize("trials", [1, 3, 13])
def test_a_stopped_run_continues_to_the_same_cells(
    trials: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = cells(narrow())
    with monkeypatch.context() as patched:
        patched.setattr("driftproof.evaluation._executor_choice.Serial", lambda: Breaks(trials))
        with pytest.raises(KeyboardInterrupt):
            narrow(tmp_path)
    with Record.open(tmp_path) as record:
        assert len(cells(record)) == trials
    again = narrow(tmp_path)
    assert cells(again) == whole
    assert summarise(again)["drop"].tolist() == summarise(narrow())["drop"].tolist()
    drawn = {run.drawn for run in again.runs().values()}
    assert len(drawn) == 1


def test_the_same_command_again_measures_nothing(tmp_path: Path) -> None:
    first = narrow(tmp_path)
    before = cells(first)
    first.close()
    again = narrow(tmp_path)
    assert cells(again) == before
    assert len(again.runs()) == 1


def test_a_narrower_interval_adds_to_what_was_seen(tmp_path: Path) -> None:
    few = narrow(tmp_path, ci=3.0)
    before = cells(few)
    few.close()
    more = cells(narrow(tmp_path, ci=0.6))
    assert before.keys() <= more.keys()
    assert len(more) > len(before)


def test_full_cells_serve_and_are_not_measured_again(tmp_path: Path) -> None:
    """Chips that saw all samples are in the estimate with all of them, beside chips that saw parts."""
    full = dp.evaluate(trained_digits_cnn(), digits(), presets=NOISY, times="1s", chips=4, out=tmp_path)
    values = full.cells()
    assert all(run.drawn is None for run in full.runs().values())
    full.close()
    both = narrow(tmp_path)
    held = both.cells()
    assert (held[held["preset"] == NOISY]["n_samples"].iloc[:4] == len(digits())).all()
    last = summarise(both).iloc[-1]
    row = gather(both).rows[last["config_id"], last["preset"], last["t_s"]]
    wanted = values[values["preset"] == NOISY]["value"].to_numpy()
    assert row.statistics.value.chip_means[:4] == pytest.approx(wanted)
    assert not row.whole


def test_all_samples_of_all_chips_stay_the_default(full: Record) -> None:
    table = summarise(full)
    assert (table["sampling"] == "all").all()
    assert table["worst"].notna().any()
    assert (full.cells()["n_samples"] == len(digits())).all()


def test_the_mean_and_new_inputs_can_be_asked_for() -> None:
    these = narrow(ci=2.5)
    new = narrow(ci=2.5, ci_of="mean", ci_on="new")
    row = summarise(new).iloc[-1]
    assert row["ci95_new_high"] - row["ci95_new_low"] <= 2 * 2.5
    assert len(new.cells()) >= len(these.cells())


def test_too_few_inputs_for_new_ones_are_said() -> None:
    with pytest.warns(UserWarning, match="inputs are too few for new inputs, with any number of chips"):
        narrow(ci=0.3, ci_on="new")


def test_a_budget_stops_and_goes_where_intervals_are_widest(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that moves on by 0.2 s a look: the test does not depend on how fast the machine is."""
    began, clock = time.perf_counter(), iter(np.arange(0.0, 1000.0, 0.2))
    with monkeypatch.context() as patched:
        patched.setattr(
            "driftproof.plans._until_narrow.time", SimpleNamespace(perf_counter=lambda: began + float(next(clock)))
        )
        record = narrow(ci=None, budget="4s", presets=[NOISY, "gaussian:0.01"])
    rows = {row["preset"]: row for row in summarise(record).to_dict("records")}
    assert rows[NOISY]["chips"] > rows["gaussian:0.01"]["chips"] >= 4
    assert {rows[name]["sampling"] for name in (NOISY, "gaussian:0.01")} == {"stratified"}
    with pytest.warns(UserWarning, match="budget of 0.01 s was over before every interval had 10 chips"):
        short = narrow(ci=None, budget=0.01)
    assert summarise(short).iloc[-1]["chips"] == 4


def test_a_metric_without_a_margin_has_strata_of_its_entries() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(6, 1)).eval()
    inputs = torch.randn(300, 6, generator=torch.Generator().manual_seed(0))
    data = (inputs, torch.randn(300, 1, generator=torch.Generator().manual_seed(1)))
    record = dp.evaluate(network, data, presets="gaussian:0.1", times="1s", metric="mse", ci=0.05)
    (run,) = record.runs().values()
    assert run.drawn is not None
    assert run.drawn.by == "digital entry of the metric"
    digital = next(o.per_sample for key, o, _ in record.outcomes() if key.series == "digital")
    assert digital is not None
    strata = run.drawn.samples
    assert digital[strata.of == 0].min() >= digital[strata.of == 1].max()
    row = summarise(record).iloc[-1]
    assert row["ci95_high"] - row["ci95_low"] <= 2 * 0.05


def test_margins_are_those_of_the_logits() -> None:
    """The distance between the output of the target and the largest other one, from the pass that tells the digital."""
    evaluator = Evaluator(trained_digits_cnn(), digits().head(60))
    outcome, margins = evaluator.digital_with_margins()
    assert margins is not None
    inputs, targets = next(iter(digits().head(60).batches(60)))
    logits = evaluator.network(inputs)
    for row, target, margin in zip(logits.tolist(), targets.tolist(), margins, strict=True):
        others = max(value for place, value in enumerate(row) if place != target)
        assert margin == pytest.approx(abs(row[target] - others), abs=1e-4)
    assert outcome.per_sample is not None
    assert evaluator(Trial(None)) is outcome


def test_the_strata_of_a_record_are_used_again(tmp_path: Path) -> None:
    """Not those of this machine's margins, which may differ by rounding."""
    narrow(tmp_path, ci=3.0).close()
    evaluator = Evaluator(trained_digits_cnn(), digits())
    with Record.open(tmp_path) as record:
        held = next(run.drawn for run in record.runs().values())
        evaluator.digital_with_margins = None  # type: ignore[assignment, method-assign]  # must not be called
        assert drawn_samples(evaluator, record, seed=99) == held


def test_strata_are_kept_as_text_and_damage_is_seen() -> None:
    entry = DrawnSamples.of(strata_by(np.arange(500.0), seed=3), "margin")
    again = DrawnSamples.model_validate_json(entry.model_dump_json())
    assert (again.samples.of == strata_by(np.arange(500.0)).of).all()
    assert again.samples.seed == 3
    with pytest.raises(ValueError, match="strata cannot be read"):
        DrawnSamples(by="margin", seed=0, strata=entry.strata[:-8])


def test_partial_records_merge(tmp_path: Path) -> None:
    """Chips from two records with one set of strata are one estimate."""
    one = narrow(tmp_path / "a")
    one.close()
    other = narrow(tmp_path / "b", presets=PCM)
    other.close()
    with Record.create_or_open(tmp_path / "c") as into:
        for name in "ab":
            with Record.open(tmp_path / name) as part:
                into.merge(part)
        table = summarise(into)
    for name, preset in (("a", NOISY), ("b", PCM)):
        with Record.open(tmp_path / name) as part:
            alone = summarise(part).set_index("preset").loc[preset]
        assert table.set_index("preset").loc[preset, "drop"] == alone["drop"]


class Joint(nn.Module):
    """Its outputs for a sample depend on the others in the batch."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.fc(x - x.mean(dim=0))
        return out


@pytest.mark.parametrize(
    ("more", "text"),
    [
        ({"ci": 0.0}, "ci=0.0: wanted a half-width above 0"),
        ({"ci": float("nan")}, "ci=nan"),
        ({"ci": 0.5, "chips": 30}, "chips=30 and ci or budget"),
        ({"ci": None, "budget": "0s"}, "budget='0s': wanted a time above 0"),
        ({"ci": None, "budget": "soon"}, "time 'soon'"),
        ({"ci": None, "ci_on": "new"}, "give one of them too"),
        ({"ci_of": "loss"}, "wanted 'drop' or 'mean'"),
        ({"ci_on": "all"}, "wanted 'these' or 'new' samples"),
        ({"metric": "f1"}, "f1 has none"),
    ],
)
def test_refusals(more: dict[str, Any], text: str) -> None:
    with pytest.raises(DriftproofError, match=text):
        narrow(**more)


@pytest.mark.filterwarnings("ignore:the samples of a batch see each other")
def test_a_network_whose_samples_see_each_other_is_refused(tmp_path: Path) -> None:
    data = (torch.randn(40, 4), torch.arange(40) % 3)
    with pytest.raises(DriftproofError, match="ci and budget: the samples of a batch see each other"):
        dp.evaluate(Joint().eval(), data, presets=NOISY, times="1s", ci=1.0, out=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_precision_says_what_was_asked_for() -> None:
    assert precision_of(None, None) is None
    assert precision_of(None, "5m") == Precision(budget_s=300.0)
    assert precision_of(0.5, "1h", "mean", "new") == Precision(ci=0.5, budget_s=3600.0, of="mean", on="new")
