"""``driftproof evaluate --ci``: the table and the files say what was seen, and the same command continues."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

Cli = Callable[..., tuple[int, str, str]]
COMMAND = ["evaluate", "digits-cnn", "--data", "digits", "--preset", "gaussian:0.15", "--times", "1s"]


def test_an_interval_of_a_wanted_width(cli: Cli, tmp_path: Path) -> None:
    code, out, _ = cli(*COMMAND, "--ci", 1, "--out", tmp_path)
    assert code == 0
    assert "samples: those that all chips saw together" in out
    assert "for other chips, on these samples" in out
    assert "worst" not in out
    summary = pd.read_csv(tmp_path / "summary.csv").set_index("preset").loc["gaussian:0.15"]
    assert summary["drop_ci95_high"] - summary["drop_ci95_low"] <= 2
    assert f"{summary['passes']:,}" in out
    assert str(summary["chips"]) in out
    before = (tmp_path / "cells.csv").read_bytes()
    assert cli(*COMMAND, "--ci", 1, "--out", tmp_path)[0] == 0
    assert (tmp_path / "cells.csv").read_bytes() == before
    code, out, _ = cli(*COMMAND, "--ci", 2, "--ci-on", "new", "--out", tmp_path)
    assert code == 0
    assert "for new samples and other chips" in out


@pytest.mark.filterwarnings("always:the budget")
def test_a_budget_and_refusals(cli: Cli, tmp_path: Path) -> None:
    code, _, error = cli(*COMMAND, "--budget", "0.001s", "--out", tmp_path / "a")
    assert code == 0  # the pilot is measured in any case
    assert "budget of 0.001 s was over before every interval had 10 chips" in " ".join(error.split())
    for words, text in (
        (["--ci", "0"], "wanted a half-width above 0"),
        (["--ci", "1", "--chips", "3"], "the number of chips follows from ci and budget"),
        (["--ci", "1", "--ci-of", "worst"], "wanted 'drop' or 'mean'"),
        (["--budget", "soon"], "time 'soon'"),
        (["--ci", "1", "--metric", "f1"], "f1 has none"),
    ):
        code, _, error = cli(*COMMAND, *words, "--out", tmp_path / "b")
        assert code != 0
        assert text in " ".join(error.split())
    assert not (tmp_path / "b" / "record.sqlite").exists()
