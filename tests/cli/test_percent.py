"""A threshold in percent that looks like a share is refused, wherever one is given."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import driftproof as dp
from driftproof._record import quantity_of
from driftproof.data import digits
from driftproof.plans import choose_digital_layers
from driftproof.zoo import trained_digits_cnn

type Cli = Callable[..., tuple[int, str, str]]


@pytest.mark.parametrize("given", [0.95, 1, "0.95", 1e-9, "1"])
def test_a_share_is_no_percentage(given: Any) -> None:
    with pytest.raises(dp.DriftproofError, match=r"is in percent; write \S+ for \S+ %"):
        quantity_of("accuracy").threshold(given, "keep")


@pytest.mark.parametrize(("given", "value"), [(0, 0.0), (1.01, 1.01), ("0.95%", 0.95), ("95 %", 95.0), (100, 100.0)])
def test_a_percentage_is_a_percentage(given: Any, value: float) -> None:
    assert quantity_of("accuracy").threshold(given, "keep") == value


def test_other_metrics_have_small_thresholds() -> None:
    assert quantity_of("mse").threshold(0.5, "keep") == 0.5
    with pytest.raises(dp.DriftproofError, match=r"keep = 0\.5%: wanted a value of mean squared error, from 0"):
        quantity_of("mse").threshold("0.5%", "keep")


@pytest.mark.parametrize("given", ["nan", "inf", "-1", "101", "many"])
def test_what_is_no_value_is_refused(given: str) -> None:
    with pytest.raises(dp.DriftproofError, match=f"keep = {given}: wanted a value of accuracy in %, from 0 to 100"):
        quantity_of("accuracy").threshold(given, "keep")


def test_everywhere_where_a_threshold_is_given(cli: Cli, tmp_path: Path, network: str) -> None:
    words = (network, "--data", "digits", "--limit", 40, "--chips", 1, "--preset", "gaussian:0.2")
    code, _, err = cli("sensitivity", *words, "--target", 0.95, "--out", tmp_path / "s")
    assert (code, "target = 0.95: accuracy is in percent; write 95 for 95 %" in " ".join(err.split())) == (2, True)
    assert not (tmp_path / "s").exists()
    assert cli("evaluate", *words, "--times", "1s", "--out", tmp_path / "e")[0] == 0
    code, _, err = cli("report", tmp_path / "e", "--keep", 0.9, "--out", tmp_path / "r")
    assert (code, "keep = 0.9: accuracy is in percent; write 90 for 90 %" in " ".join(err.split())) == (2, True)
    assert cli("report", tmp_path / "e", "--keep", "0.9%", "--out", tmp_path / "r")[0] == 0
    with pytest.raises(dp.DriftproofError, match="write 90 for 90 %"):
        dp.report(tmp_path / "e", tmp_path / "r", keep=0.9)
    evaluator = dp.Evaluator(trained_digits_cnn(), digits().head(40))
    with pytest.raises(dp.DriftproofError, match=r"target = 0\.9: .*write 90 for 90 %"):
        choose_digital_layers(evaluator, evaluator, dp.Deployment(device="ideal"), "1s", target=0.9)
