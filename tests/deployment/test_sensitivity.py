"""Layer by layer: where only one layer has noise, the whole drop is its own, both ways."""

from __future__ import annotations

import pytest

from driftproof.data import digits
from driftproof.deployment import Cells, Conditions, sensitivity
from driftproof.errors import DriftproofError
from driftproof.evaluation import Metric
from driftproof.presets import load_mix
from driftproof.zoo import trained_digits_cnn

SOME = digits().head(150)
MODEL = trained_digits_cnn()


def test_the_only_noisy_layer_has_the_whole_drop() -> None:
    found = sensitivity(MODEL, SOME, load_mix("ideal,conv2=gaussian:0.6"), "1s", chips=4)
    drops = {layer.name: layer.drop for layer in found.layers}
    gains = {layer.name: layer.gain for layer in found.layers}
    total = found.digital - found.analog.mean
    assert total > 2
    assert drops["conv2"].mean == pytest.approx(total)
    assert gains["conv2"].mean == pytest.approx(total)
    for name in ("conv1", "fc1", "fc2"):
        assert drops[name].values == gains[name].values == (0.0,) * 4


def test_the_table_says_it_in_columns() -> None:
    found = sensitivity(MODEL, SOME, "gaussian:0.3", "1s", chips=3)
    table = found.table()
    assert list(table["layer"]) == ["conv1", "conv2", "fc1", "fc2"]
    assert table["macs_per_input"].tolist() == [9216, 294912, 32768, 640]
    assert (table["drop_ci95_low"] <= table["drop"]).all()
    assert (table["gain"] <= table["gain_ci95_high"]).all()
    assert set(table["chips"]) == {3}


def test_worse_is_positive_for_a_metric_of_which_lower_is_better() -> None:
    wrong = Metric.of(
        lambda y, t: 100 * float((y.argmax(1) != t).double().mean()),
        name="error-rate",
        higher_is_better=False,
        percent=True,
    )
    right = sensitivity(MODEL, SOME, "gaussian:0.4", "1s", chips=2)
    error = sensitivity(MODEL, SOME, "gaussian:0.4", "1s", chips=2, conditions=Conditions(metric=wrong))
    for a, b in zip(right.layers, error.layers, strict=True):
        assert b.drop.values == pytest.approx(a.drop.values)
        assert b.gain.values == pytest.approx(a.gain.values)
    assert any(layer.drop.mean > 0 for layer in error.layers)


def test_more_chips_measure_only_those() -> None:
    cells = Cells()
    sensitivity(MODEL, SOME, "gaussian:0.3", "1s", chips=2, cells=cells)
    before = len(cells)
    # digital, all digital, and per chip: all analog, and each of 4 layers alone on either side
    assert before == 2 + 2 * 9
    sensitivity(MODEL, SOME, "gaussian:0.3", "1s", chips=3, cells=cells)
    assert len(cells) == before + 9


def test_no_chip_is_refused() -> None:
    with pytest.raises(DriftproofError, match="chips: wanted at least 1, got 0"):
        sensitivity(MODEL, SOME, "ideal", "1s", chips=0)
