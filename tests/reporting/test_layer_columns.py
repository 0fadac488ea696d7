"""One more count per layer is one more entry in a dict: in the terminal, in reports, and in no identity."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from driftproof._cli.layers import LayerTable
from driftproof._record import LAYER_COUNTS, CellKey, Record, count_of, total_of
from driftproof._reporting import report
from reporting.page_text import words
from synthetic_record import LAYERS, begin, conversion, fill, outcome, preset

COUNTED = tuple(
    layer.model_copy(update={"more": {"energy_pj": 3 + place}, "macs_per_input": 1000}) if layer.analog else layer
    for place, layer in enumerate(LAYERS)
)


def terminal(layers: Any) -> str:
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(LayerTable(layers, "layers"))
    return console.export_text()


def identities(record: Record) -> tuple[set[str], ...]:
    return set(record.series()), set(record.configurations()), set(record.conversions())


def test_a_count_of_a_layer_is_a_field_or_one_more() -> None:
    assert [count_of(layer, "energy_pj") for layer in COUNTED] == [3, None, 5]
    assert [count_of(layer, "macs_per_input") for layer in COUNTED] == [1000, None, 1000]
    assert (total_of(COUNTED, "energy_pj"), total_of(COUNTED, "mvms_per_input")) == (8, 1025)
    assert total_of(LAYERS, "energy_pj") == 0


def test_a_new_column_is_in_both_tables_and_changes_no_identity(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Record.create_or_open(tmp_path) as record:
        made, number = begin(record)
        series = fill(record, made, number, preset("pcm"), {1.0: [90.0]})
        before, page = identities(record), words(report(record, tmp_path / "before").read_text())
    assert "pJ" not in page
    assert "pJ" not in terminal(COUNTED)

    monkeypatch.setitem(LAYER_COUNTS, "pJ", "energy_pj")
    with Record.create_or_open(tmp_path) as record:
        again, number = begin(record, layers={"layers": COUNTED})
        assert again == made
        assert record.conversions() == {made.conversion_id: conversion(layers=COUNTED)}
        record.add(CellKey(series.id, 1, 1.0), outcome(91.0), number)  # the record goes on
        assert identities(record) == before
        assert record.cells()["value"].tolist() == [91.73, 91.73, 90.0, 91.0]
        page = words(report(record, tmp_path / "after").read_text())
    assert "MVMs MACs DAC ADC pJ" in page
    assert "fc Linear 10 × 64 640 1 1 1,000 5" in page
    assert "total 98.5 % of weights analog 1,088 2 1,025 2,000 0 0 8" in page

    lines = terminal(COUNTED).splitlines()
    heading = next(line.split() for line in lines if "on tiles" in line)
    assert heading[-5:] == ["MVMs", "MACs", "DAC", "ADC", "pJ"]
    cells = {line.split()[0]: line.split()[-1] for line in lines if line.strip()}
    assert (cells["conv1"], cells["fc"], cells["total"]) == ("3", "5", "8")


def test_layers_without_the_new_count_have_an_empty_column(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(LAYER_COUNTS, "pJ", "energy_pj")
    with Record.create_or_open(None) as record:
        begin(record)
        page = words(report(record, tmp_path).read_text())
    assert "MVMs MACs DAC ADC pJ" in page
    assert "total 98.5 % of weights analog 1,088 2 1,025 0 0 0 0" in page
