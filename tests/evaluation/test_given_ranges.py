"""Input ranges that are given in place of measured ones, and what is said about values that are clipped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from torch import nn

import driftproof as dp
from driftproof._errors import DriftproofError, DriftproofWarning
from driftproof._mapping import TileSize, map_model
from driftproof._reporting import report
from driftproof.arrays import input_ranges
from driftproof.data import digits
from driftproof.periphery import StaticRange, load_periphery, write_periphery
from driftproof.periphery._settings import GivenRange
from driftproof.zoo import trained_digits_cnn
from reporting.page_text import words

STANDARD = load_periphery("standard").with_changes(input_range=StaticRange(method="maximum"))
NETWORK = nn.Sequential(nn.Linear(20, 6), nn.ReLU(), nn.Linear(6, 3))
X = torch.randn(30, 20, generator=torch.Generator().manual_seed(0))


def ranges_of(given: Any, tile: TileSize | None = None) -> dict[str, tuple[float, ...]]:
    mapping = map_model(NETWORK, tile or TileSize(), X)
    return input_ranges(NETWORK, mapping, STANDARD.with_ranges(given), ())


def test_a_number_is_for_all_layers_and_a_mapping_for_each() -> None:
    assert ranges_of(2) == {"0": (2.0,), "2": (2.0,)}
    assert ranges_of({"0": 2.0, "2": 1.5}) == {"0": (2.0,), "2": (1.5,)}
    assert ranges_of("3,2=1.5") == {"0": (3.0,), "2": (1.5,)}
    assert ranges_of({"0": [1.0, 2.0], "2": 3.0}, TileSize(10, 10)) == {"0": (1.0, 2.0), "2": (3.0,)}
    assert ranges_of(4.0, TileSize(10, 10)) == {"0": (4.0, 4.0), "2": (4.0,)}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"0": 2.0}, "layer 2 has none"),
        ({"0": 2.0, "1": 2.0, "2": 1.0}, "no layer '1' is on tiles"),
        ({"0": [1.0, 2.0], "2": 1.0}, "layer 0 has 2 numbers for 1 row split"),
        ("3,2=x", "wanted a number, or LAYER=NUMBER pairs"),
        ("3,4", "wanted a number, or LAYER=NUMBER pairs"),
        (-1.0, "greater than 0"),
        ({}, "wanted value = NUMBER for all layers"),
    ],
)
def test_ranges_that_do_not_fit_are_refused(given: Any, said: str) -> None:
    with pytest.raises(DriftproofError) as caught:
        ranges_of(given)
    assert said in str(caught.value)


def test_given_ranges_are_those_that_were_measured_to_the_last_bit() -> None:
    """Measured ranges that are given again change nothing, on both backends and in a converted network."""
    net, data = trained_digits_cnn(), digits().head(60)
    measured = input_ranges(net, map_model(net, example=data.head(1).inputs), STANDARD, [data.inputs])
    again = STANDARD.with_ranges(measured)
    for backend in ("folded", "tiles"):
        evaluator = dp.Evaluator(net, data, backend=backend)
        outcomes = [
            evaluator(dp.Trial(dp.Deployment(device="pcm-nandakumar-2019", **kind), chip=0, t_s=1.0))
            for kind in ({"periphery": STANDARD, "calibration": data}, {"periphery": again})
        ]
        assert outcomes[0].value == outcomes[1].value
        assert outcomes[0].diagnostics == outcomes[1].diagnostics
    analog = dp.convert(net, "ideal", periphery=STANDARD, ranges=measured, example=data.head(1).inputs)
    assert analog.ranges == measured


def test_they_decide_numbers_and_so_the_identity_of_a_deployment(tmp_path: Path) -> None:
    one, other = (dp.Deployment(device="ideal", periphery=STANDARD.with_ranges(reach)) for reach in (1, 2))
    assert one != other
    assert one.id != other.id
    assert load_periphery(write_periphery(one.periphery, tmp_path / "mine.toml")) == one.periphery
    assert isinstance(one.periphery.input_range, GivenRange)
    with pytest.raises(DriftproofError, match="measures no input ranges"):
        dp.Deployment(device="ideal", periphery=STANDARD.with_ranges(1), calibration=digits().head(5))
    with pytest.raises(DriftproofError, match="is ideal and has no input range"):
        load_periphery("ideal").with_ranges(1)


def test_clipped_values_are_told_once_and_stand_in_the_report(tmp_path: Path) -> None:
    coarse = STANDARD.with_changes(adc_full_scale=0.5)
    said = r"ADC outputs beyond the full scale are clipped: .*DAC inputs beyond the input range are clipped"
    with pytest.warns(DriftproofWarning, match=said) as caught:
        record = dp.evaluate(
            trained_digits_cnn(),
            digits().head(40),
            presets=["pcm-nandakumar-2019", "gaussian:0.1"],
            times="1s,1d",
            chips=2,
            periphery=coarse,
            ranges=0.3,
            out=tmp_path / "record",
        )
    assert sum("clipped" in str(warning.message) for warning in caught) == 1
    table = record.saturation()
    assert set(table["preset"]) == {"ideal-analog", "pcm-nandakumar-2019", "gaussian:0.1"}
    assert set(table["layer"]) == {"conv1", "conv2", "fc1", "fc2"}
    # against the cells of the record, one by one
    shares = [
        100 * cell.diagnostics["saturated_outputs"]["fc1"]
        for cell, _ in record.entries()
        if cell.preset == "pcm-nandakumar-2019"
    ]
    assert len(shares) == 4
    row = table[(table["preset"] == "pcm-nandakumar-2019") & (table["layer"] == "fc1")]
    assert float(row["outputs"].iloc[0]) == pytest.approx(sum(shares) / 4)
    report(tmp_path / "record", tmp_path / "report")
    text = words((tmp_path / "report" / "index.html").read_text(encoding="utf-8"))
    assert "Clipped conversions" in text
    assert f"{float(row['outputs'].iloc[0]):.1f}" in text


@pytest.mark.filterwarnings("error")
def test_nothing_is_told_where_nothing_is_clipped(tmp_path: Path) -> None:
    wide = STANDARD.with_changes(adc_full_scale=1000.0).without_noise()
    record = dp.evaluate(
        trained_digits_cnn(), digits().head(20), presets="ideal", times="1s", chips=1, periphery=wide, ranges=50
    )
    table: pd.DataFrame = record.saturation()
    assert table.empty
