"""What n chips say about all chips."""

from __future__ import annotations

import math

import numpy as np
import pytest

from driftproof._errors import DriftproofError
from driftproof._record import DIGITAL, Record, Series
from driftproof._reporting.gather import gather
from driftproof._reporting.statistics import fifth_percentile, summarise
from synthetic_record import begin, conditions, configuration, fill, key_of, preset

COLUMNS = [
    "config_id",
    "label",
    "model",
    "preset",
    "backend",
    "periphery",
    "compensation",
    "t_s",
    "in_validity",
    "metric",
    "mean",
    "ci95_low",
    "ci95_high",
    "ci95_new_low",
    "ci95_new_high",
    "drop",
    "drop_ci95_low",
    "drop_ci95_high",
    "drop_ci95_new_low",
    "drop_ci95_new_high",
    "std",
    "std_ci95_low",
    "std_ci95_high",
    "worst",
    "p5",
    "std_measured",
    "worst_measured",
    "chips",
    "n_samples",
    "sampling",
    "passes",
]


def test_fifth_percentile_bound_holds_at_its_confidence() -> None:
    """The bound at 93 chips is the second lowest: P(Bin(93, 0.05) >= 2) = 0.9502 but 0.9485 at 92."""
    values = np.arange(1.0, 94.0)
    assert fifth_percentile(values)[1] == 2.0
    assert fifth_percentile(values[:92])[1] == 1.0
    assert fifth_percentile(values[:58]) == pytest.approx((math.nan, math.nan), nan_ok=True)
    assert fifth_percentile(values[::-1]) == fifth_percentile(values)


def test_summary_against_numbers_worked_out_by_hand() -> None:
    with Record.create_or_open(None) as record:
        key, number = begin(record, label="l", digital=92.0)
        fill(record, key, number, preset("pcm", valid_s=(0.0, 10.0)), {1.0: [88.0, 90.0, 92.0], 100.0: [50.0]})
        table = summarise(record)
    assert list(table.columns) == COLUMNS
    assert table["preset"].tolist() == ["digital", "ideal-analog", "pcm", "pcm"]
    digital, ideal, three, one = (row for _, row in table.iterrows())
    for row in (digital, ideal):
        assert (row["mean"], row["chips"], row["drop"], row["t_s"]) == (92.0, 0, 0.0, 0.0)
        assert row[["std", "ci95_low", "ci95_high", "worst", "p5"]].isna().all()
    assert (three["mean"], three["std"], three["worst"], three["drop"]) == (90.0, 2.0, 88.0, 2.0)
    # t(0.975, 2) = 4.30265; 2 / sqrt(3) = 1.15470
    assert (three["ci95_low"], three["ci95_high"]) == pytest.approx((90 - 4.96828, 90 + 4.96828), abs=1e-4)
    assert (three["chips"], three["in_validity"], three["n_samples"]) == (3, True, 10_000)
    assert (one["mean"], one["drop"], one["worst"], one["chips"], one["in_validity"]) == (50.0, 42.0, 50.0, 1, False)
    assert one[["std", "ci95_low", "ci95_high", "p5"]].isna().all()


def test_the_interval_of_an_accuracy_stays_between_0_and_100() -> None:
    with Record.create_or_open(None) as record:
        key, number = begin(record, digital=100.0)
        fill(record, key, number, preset("pcm"), {1.0: [100.0, 99.0], 2.0: [0.0, 1.0]})
        table = summarise(record)
    assert table["ci95_high"].iloc[2] == 100.0
    assert table["ci95_low"].iloc[3] == 0.0


def test_each_configuration_is_compared_with_its_own_digital() -> None:
    with Record.create_or_open(None) as record, Record.create_or_open(None) as other:
        made, number = begin(record, digital=92.0)
        fill(record, made, number, preset("pcm"), {1.0: [90.0]})
        second = conditions(seed=1)
        key = key_of(record, second)
        record.add_configuration(key, configuration(second))
        fill(record, second, number, preset("pcm"), {1.0: [89.0]})
        with pytest.raises(DriftproofError, match=f"configuration {key} has no row 'digital'.*evaluate"):
            summarise(record)
        record.show(key, DIGITAL, record.add_series(Series()))
        # the same conditions, another network
        begin(other, digital=95.0, model_hash="other")
        fill(other, made, number, preset("pcm"), {1.0: [90.0]})
        table = gather([record, other]).summary
        drops = table[table["preset"] == "pcm"].set_index("config_id")["drop"].to_dict()
        assert drops == {key_of(record, made): 2.0, key: 3.0, key_of(other, made): 5.0}


def test_nothing_to_summarise_and_unknown_metrics_are_errors() -> None:
    with Record.create_or_open(None) as record, pytest.raises(DriftproofError, match="no cells yet"):
        summarise(record)
    with Record.create_or_open(None) as record:
        begin(record, digital=1.0, metric="loss")
        with pytest.raises(DriftproofError, match="unknown metric 'loss'"):
            summarise(record)
