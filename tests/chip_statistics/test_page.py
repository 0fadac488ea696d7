"""The coverage that docs/statistics.md states is the one that was measured."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest

TOP = Path(__file__).parents[2]
MEASURED = TOP / "experiments" / "interval_coverage"
NAMES = {
    "mean accuracy": "accuracy",
    "drop": "drop",
    "yield": "yield of accuracy",
    "yield, threshold as a drop": "yield of drop",
    "lifetime of the mean": "lifetime of accuracy",
    "lifetime of the mean, threshold as a drop": "lifetime of drop",
    "lifetime of half of the chips": "lifetime of 50% of chips, accuracy",
    "lifetime of 95 % of the chips": "lifetime of 95% of chips, accuracy",
    "standard deviation over chips": "spread",
}


@pytest.mark.parametrize("page", [TOP / "docs" / "statistics.md", MEASURED / "README.md"], ids=lambda path: path.name)
def test_the_page_states_what_was_measured(page: Path) -> None:
    table = pd.read_csv(MEASURED / "coverage.csv").to_dict("records")
    rows = {(row["quantity"], row["on"], row["chips"]): row for row in table}
    stated = re.findall(r"^\| (.+?) \| (these|new) inputs \| (\d+) \| (.+?) \|$", page.read_text("utf-8"), re.M)
    assert {name for name, *_ in stated} == set(NAMES)
    for name, on, chips, numbers in stated:
        row = rows[NAMES[name], on, int(chips)]
        wanted = [row[column] for column in ("covered", "truth_below", "truth_above", "least_covered_cell")]
        assert numbers.split(" | ") == [f"{value:.1f}" for value in wanted], (name, on, chips)


def test_means_and_drops_are_covered_as_wanted() -> None:
    """At 25 chips 93.5 to 96.5 % with 1.5 to 3.5 % on each side, at 10 chips 92.5 %, at 5 chips 91 %."""
    table = pd.read_csv(MEASURED / "coverage.csv")
    assert (table["repetitions"] >= 2000).all()
    means = table[table["quantity"].isin(["accuracy", "drop"])]
    many = means[means["chips"] == 25]
    assert many["covered"].between(93.5, 96.5).all()
    for side in ("truth_below", "truth_above"):
        assert many[side].between(1.5, 3.5).all()
    for chips, least in ((25, 93.5), (10, 92.5), (5, 91.0)):
        rows = means[means["chips"] == chips]
        assert len(rows) == 4
        assert (rows["covered"] >= least).all()
        assert (rows["least_covered_cell"] >= least - 1.5).all()
    others = table[~table["quantity"].isin(["accuracy", "drop"]) & (table["chips"] == 25)]
    assert (others["covered"] >= 93.5).all()
    assert (pd.read_csv(MEASURED / "spread_bias.csv").query("chips == 25")["corrected"].abs() <= 10).all()


FEW = TOP / "experiments" / "few_passes"


@pytest.mark.parametrize("page", [TOP / "docs" / "statistics.md", FEW / "README.md"], ids=lambda path: path.name)
def test_the_page_states_how_many_passes_were_saved(page: Path) -> None:
    table = pd.read_csv(FEW / "results.csv")
    rows = {(row["device"], row["time"], row["design"]): row for row in table.to_dict("records")}
    number = r"([\d,.+-]+)"
    stated = re.findall(
        rf"^\| (pcm\S+|reram\S+) \| (\d \w) \| {r' \| '.join([number] * 9)} \|$", page.read_text("utf-8"), re.M
    )
    assert len(stated) == 4
    for device, when, *numbers in stated:
        one, uniform = (rows[device, when, design] for design in ("stratified", "uniform"))
        wanted = [one["full_chips"], 10_000 * one["full_chips"], round(one["chips"]), round(one["samples"])]
        texts = [f"{value:,}" for value in wanted]
        texts += [f"{one['full_by_samples']:.1f}", f"{one['covered']:.1f}", f"{one['bias']:+.2f}"]
        texts += [f"{round(uniform['samples']):,}", f"{uniform['full_by_samples']:.1f}"]
        assert numbers == texts, (device, when)


def test_few_passes_are_enough_and_honest() -> None:
    """At most an eighth of the samples of the full design, 93.5 to 96.5 % covered, a bias of at most 0.05 points."""
    table = pd.read_csv(FEW / "results.csv").query("design == 'stratified'")
    assert len(table) == 4
    assert (table["repetitions"] >= 2000).all()
    assert (table["full_by_samples"] >= 8).all()
    assert table["covered"].between(93.5, 96.5).all()
    assert (table["bias"].abs() <= 0.05).all()
    assert (table["half_width"] <= 0.5).all()
