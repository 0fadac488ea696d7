"""Reports of records that hold the outcome of every sample: drops, intervals for new inputs, yields, comparisons."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest

from driftproof._errors import DriftproofError
from driftproof._record import DIGITAL_CELL, CellKey, Conditions, Record, Series
from driftproof._reporting import compare, report, summarise
from driftproof._reporting.gather import gather
from driftproof._reporting.page_tables import alone_note
from driftproof._reporting.verdict import Verdict, verdicts
from driftproof.statistics import corrected, crossed
from reporting.page_text import words
from synthetic_record import (
    begin,
    conditions,
    configuration,
    conversion,
    fill,
    key_of,
    outcome,
    preset,
    run,
    subject,
)

Bits = npt.NDArray[np.bool_]
SAMPLES, DIGITAL_SHARE = 2000, 0.92


def digital(seed: int = 0) -> Bits:
    return np.random.default_rng(seed).random(SAMPLES) < DIGITAL_SHARE


def chips_of(seed: int, shares: list[float], base: Bits | None = None) -> Bits:
    """Return outcomes of chips, each of which gets a share of what the digital network has right."""
    random, right = np.random.default_rng(seed), digital() if base is None else base
    lost = random.random((len(shares), SAMPLES))
    return np.stack([right & (row > share) for row, share in zip(lost, shares, strict=True)])


def add_chips(record: Record, made: Conditions, number: int, name: str, times: dict[float, Bits]) -> None:
    entry = preset(name)
    record.add_preset(entry)
    series = Series(device_sha256=entry.sha256, conditions=made)
    record.show(key_of(record, made), name, record.add_series(series))
    for t_s, right in times.items():
        for chip, row in enumerate(right):
            found = outcome(100 * float(row.mean()), SAMPLES, per_sample=row)
            record.add(CellKey(series.id, chip, t_s), found, number)


def made_of(
    folder: Path | None, times: dict[str, dict[float, Bits]], label: str = "", **about: Any
) -> tuple[Record, Conditions]:
    """Return a record of the outcomes, preset → time → [chips, samples]."""
    record = Record.create_or_open(folder)
    right = digital()
    decided, shown = about.pop("decided", {}), about.pop("shown", {})
    record.claim(subject(n_samples=SAMPLES, **about))
    made, number = begin_by_sample(record, right, label, decided, shown)
    for name, of_times in times.items():
        add_chips(record, made, number, name, of_times)
    return record, made


def begin_by_sample(
    record: Record, right: Bits, label: str, decided: dict[str, Any], shown: dict[str, Any] | None = None
) -> tuple[Conditions, int]:
    made = conditions(**decided)
    record.add_conversion(made.conversion_id, conversion())
    key = key_of(record, made)
    record.add_configuration(key, configuration(made, label=label, **(shown or {})))
    number = record.start_run(run())
    record.show(key, "digital", record.add_series(Series()))
    if record.outcome(DIGITAL_CELL) is None:
        record.add(DIGITAL_CELL, outcome(100 * float(right.mean()), SAMPLES, per_sample=right), number)
    return made, number


LITTLE, MUCH = [0.010, 0.012, 0.008, 0.011, 0.015, 0.009], [0.05, 0.06, 0.045, 0.055, 0.09, 0.05]


def test_the_summary_has_the_statistics_of_the_outcomes() -> None:
    right = chips_of(1, LITTLE)
    record, _ = made_of(None, {"pcm": {1.0: right}})
    with record:
        row = summarise(record).iloc[-1]
    of, change = crossed(right), crossed(right, digital())
    assert (row["ci95_low"], row["ci95_high"]) == pytest.approx(of.interval("these"))
    assert (row["ci95_new_low"], row["ci95_new_high"]) == pytest.approx(of.interval("new"))
    assert row["drop"] == pytest.approx(-change.mean)
    assert (-row["drop_ci95_new_high"], -row["drop_ci95_new_low"]) == pytest.approx(change.interval("new"))
    assert row["worst"] == pytest.approx(corrected(of).min())
    assert row["worst_measured"] == pytest.approx(100 * right.mean(axis=1).min())
    assert row["std"] < row["std_measured"]
    # the paired drop is known better than the mean
    assert row["drop_ci95_new_high"] - row["drop_ci95_new_low"] < 0.6 * (row["ci95_new_high"] - row["ci95_new_low"])


def test_the_digital_network_may_have_seen_more_samples_than_a_chip() -> None:
    right, seen = chips_of(1, LITTLE), np.arange(0, SAMPLES, 2)
    record, made = made_of(None, {})
    with record:
        entry = preset("pcm")
        record.add_preset(entry)
        series = Series(device_sha256=entry.sha256, conditions=made)
        record.show(key_of(record, made), "pcm", record.add_series(series))
        for chip, row in enumerate(right[:, seen]):
            found = outcome(100 * float(row.mean()), SAMPLES, samples=seen, per_sample=row)
            record.add(CellKey(series.id, chip, 1.0), found, 1)
        table = summarise(record).iloc[-1]
    assert table["drop"] == pytest.approx(-crossed(right[:, seen], digital()[seen]).mean)
    assert not math.isnan(table["ci95_new_low"])


def test_chips_on_different_samples_have_no_interval_for_new_ones() -> None:
    right = chips_of(1, LITTLE)
    record, made = made_of(None, {})
    with record:
        entry = preset("pcm")
        record.add_preset(entry)
        series = Series(device_sha256=entry.sha256, conditions=made)
        record.show(key_of(record, made), "pcm", record.add_series(series))
        for chip, row in enumerate(right):
            seen = np.arange(chip, SAMPLES, 2)
            found = outcome(100 * float(row[seen].mean()), SAMPLES, samples=seen, per_sample=row[seen])
            record.add(CellKey(series.id, chip, 1.0), found, 1)
        table = summarise(record).iloc[-1]
    assert math.isnan(table["ci95_new_low"])
    assert not math.isnan(table["ci95_low"])


def verdict_of(times: dict[float, Bits], keep: float) -> Verdict:
    record, made = made_of(None, {"pcm": times})
    with record:
        (found,) = verdicts(gather(record), key_of(record, made), keep)
    return found


def test_the_first_sentence_is_the_paired_drop(tmp_path: Path) -> None:
    little, much = chips_of(1, LITTLE), chips_of(2, MUCH)
    record, _ = made_of(None, {"pcm": {1.0: little, 3600.0: much}})
    with record:
        text = words(report(record, tmp_path, keep=80).read_text())
    ends = [end for right in (little, much) for end in sorted(-e for e in crossed(right, digital()).interval("new"))]
    drops = [-crossed(right, digital()).mean for right in (little, much)]
    intervals = [f"{low:.1f} to {high:.1f}" for low, high in (ends[:2], ends[2:])]
    said = (
        f"On pcm, resnet20 loses {drops[0]:.1f} points of accuracy at 1 s (95 % interval {intervals[0]}) and "
        f"{drops[1]:.1f} points at 1 h ({intervals[1]}) compared with the digital network, which reaches "
        f"{100 * digital().mean():.1f} % on 2,000 samples of cifar10; the intervals hold for new inputs of this "
        "kind and other chips of the device."
    )
    assert said in text
    assert "Yield: the share of all chips" in text
    assert "without the noise of the samples" in text


def test_a_verdict_is_what_the_interval_allows() -> None:
    times = {1.0: chips_of(1, LITTLE), 3600.0: chips_of(2, MUCH)}
    means = [100 * right.mean() for right in times.values()]
    assert verdict_of(times, 80).text.startswith(
        "keeps 80 % accuracy for at least 1 hour, the last valid time measured"
    )
    near = verdict_of(times, round(means[1] - 0.2, 2)).text  # the interval for new inputs is ±1.5
    assert near.startswith("stays above")
    assert "but its interval reaches below from 1 h on: whether it is above" in near
    assert "at 1 h is not decided by 6 chips and 2,000 samples; about" in near
    assert near.endswith("would decide it")
    below = verdict_of(times, round(means[0] + 0.2, 2)).text
    assert "on average from the first measured time, 1 s" in below
    assert "but its interval reaches above: whether it is above" in below
    assert verdict_of(times, 99).text.startswith("is below 99 % from the first measured time, 1 s")


def test_intervals_of_the_same_samples_would_claim_more() -> None:
    """The chips alone would decide what chips and samples together do not."""
    right = chips_of(2, MUCH)
    low = crossed(right).interval("these")[0]
    keep = round(low - 0.1, 2)
    assert "but its interval reaches below" in verdict_of({1.0: right}, keep).text


def test_yields_and_lifetimes_are_written(tmp_path: Path) -> None:
    record, _ = made_of(None, {"pcm": {1.0: chips_of(1, LITTLE), 3600.0: chips_of(2, MUCH)}})
    with record:
        report(record, tmp_path, keep=90)
    yields, lifetimes = (pd.read_csv(tmp_path / f"{name}.csv") for name in ("yields", "lifetimes"))
    first = yields.iloc[0]
    assert (first["t_s"], first["threshold"], first["share"]) == (1.0, 90.0, 1.0)
    assert first["share_ci95_new_low"] < first["share_ci95_low"] < 1.0
    assert set(lifetimes["share_of_chips"].fillna(0)) == {0, 0.5, 0.95}
    assert set(lifetimes["against"].fillna("")) == {"", "digital"}
    mean = lifetimes.iloc[0]
    assert mean["kind"] == "crossed"
    assert 1 < mean["lifetime_s"] < 3600
    assert mean["ci95_to_s"] == 3600


# --- comparisons ---


def test_a_comparison_is_paired_on_chips_and_samples(tmp_path: Path) -> None:
    little, much = chips_of(1, LITTLE), chips_of(2, MUCH)
    a, _ = made_of(tmp_path / "a", {"pcm": {1.0: little}}, label="plain")
    b, _ = made_of(tmp_path / "b", {"pcm": {1.0: much[:4]}}, label="robust", model_hash="other")
    with a, b:
        (row,) = compare([a, tmp_path / "b"]).to_dict("records")
    of = crossed(much[:4], little[:4])
    assert (row["a"], row["b"], row["chips"], row["n_samples"]) == ("plain, pcm", "robust, pcm", 4, SAMPLES)
    assert row["difference"] == pytest.approx(row["mean_b"] - row["mean_a"]) == pytest.approx(of.mean)
    assert (row["ci95_new_low"], row["ci95_new_high"]) == pytest.approx(of.interval("new"))
    assert row["p"] == row["p_holm"] == pytest.approx(of.p_value("new"))


def test_presets_of_one_record_are_compared_with_the_first_or_a_named_one() -> None:
    times = {name: {1.0: chips_of(seed, LITTLE)} for seed, name in enumerate(("a", "b", "c"), 1)}
    record, _ = made_of(None, times)
    with record:
        table = compare(record, margin=2.0)
        assert table[["a", "b"]].to_numpy().tolist() == [["a", "b"], ["a", "c"]]
        assert (table["p_holm"] >= table["p"]).all()
        assert (table["p_equivalent_holm"] < 0.05).all()
        assert (compare(record, margin=0.01)["p_equivalent_holm"] > 0.05).all()
        assert compare(record, against="c")["a"].tolist() == ["c", "c"]
        with pytest.raises(DriftproofError, match="nothing is called 'd'"):
            compare(record, against="d")
        with pytest.raises(DriftproofError, match="number above 0"):
            compare(record, margin=-1)
        with pytest.raises(DriftproofError, match="wanted 'these' or 'new'"):
            compare(record, on="all")  # type: ignore[arg-type]


def test_what_others_are_compared_with_is_said_in_the_words_of_the_table() -> None:
    series = {"pcm": {1.0: chips_of(1, LITTLE)}, "reram": {1.0: chips_of(2, LITTLE)}}
    shown = [("standard", "8-bit in, 8-bit out"), ("standard", "6-bit in, 6-bit out"), ("mine", "6-bit in, 4-bit out")]
    records = [
        made_of(None, series, shown={"periphery": name, "around_text": text}, decided={"periphery": {"text": text}})[0]
        for name, text in shown
    ]
    six = "periphery standard, 6-bit in, 6-bit out"
    for said in (six, f"{six}, reram", "6-bit out", "6-BIT OUT"):
        assert set(compare(records, against=said)["a"]) == {f"{six}, pcm", f"{six}, reram"}
    assert set(compare(records, against="mine")["a"]) == {f"periphery mine, 6-bit in, 4-bit out, {p}" for p in series}
    assert set(compare(records, against="pcm")["b"]) == {f"{name}, reram" for name in gather(records).names.values()}
    with pytest.raises(DriftproofError, match=r"'standard' means 2 configurations \(periphery standard, 8-bit"):
        compare(records, against="standard")
    with pytest.raises(DriftproofError, match="nothing is called '5-bit'"):
        compare(records, against="5-bit")


def test_an_interval_that_excludes_0_beside_an_adjusted_p_is_explained() -> None:
    rows = {"ci95_low": [1.0, 0.5, -1.0], "ci95_high": [2.0, 2.0, 1.0], "p_holm": [0.01, 0.09, 0.9]}
    table = pd.DataFrame(rows | {"ci95_new_low": [0.9, np.nan, -1.0], "ci95_new_high": [2.1, np.nan, 1.0]})
    assert alone_note(table).startswith("The interval of 1 row excludes 0 with p above 0.05")
    assert "among 3 comparisons" in alone_note(table)
    assert alone_note(table.drop(index=1)) == ""


def test_what_cannot_be_compared_is_refused(tmp_path: Path) -> None:
    right = {"pcm": {1.0: chips_of(1, LITTLE)}}
    a, _ = made_of(None, right, label="a")
    data, _ = made_of(None, right, label="b", data_hash="other")
    seed, _ = made_of(None, right, label="c", decided={"seed": 1})
    with a, data, seed:
        with pytest.raises(DriftproofError, match="nothing to compare"):
            compare(a)
        with pytest.raises(DriftproofError, match="different samples"):
            compare([a, data])
        with pytest.raises(DriftproofError, match="different chips"):
            compare([a, seed])
        report([a, data], tmp_path)  # a report leaves out what cannot be compared
    assert not (tmp_path / "comparisons.csv").exists()


def test_records_without_outcomes_of_samples_are_compared_chip_by_chip() -> None:
    records = []
    for label, values in (("a", [90.0, 91.0, 89.0]), ("b", [91.0, 92.0, 90.5])):
        record = Record.create_or_open(None)
        made, number = begin(record, label, model_hash=label)
        fill(record, made, number, preset("pcm"), {1.0: values})
        records.append(record)
    (row,) = compare(records).to_dict("records")
    assert row["difference"] == pytest.approx(3.5 / 3)
    assert math.isnan(row["ci95_new_low"])
    assert row["ci95_low"] < 3.5 / 3 < row["ci95_high"]
    assert row["p"] < 0.05
    for record in records:
        record.close()
