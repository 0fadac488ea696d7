"""The report of a Hopfield network: its relaxation beside its accuracy."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import driftproof as dp
from driftproof.data import digits
from driftproof.energy import hopfield_dense


def test_a_report_shows_the_relaxation_beside_the_accuracy(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = hopfield_dense([64, 8, 10], iterations=8).set_feedback("second").eval()
    dp.evaluate(
        network, digits().head(30), presets="pcm-nandakumar-2019", times="1s,1d", chips=2, out=tmp_path, progress=False
    )
    with dp.Record.open(tmp_path) as record:
        table = record.network_measures()
        assert len(record.cells()) == 6
    assert list(table.columns[3:]) == ["energy", "iterations", "residual", "symmetry_error"]
    assert list(table["preset"]) == ["digital", "ideal-analog", *["pcm-nandakumar-2019"] * 2]
    assert list(table["symmetry_error"] > 0.01) == [False, False, True, True]
    assert list(table["iterations"]) == [8.0] * 4
    page = dp.report(tmp_path, tmp_path / "report").read_text(encoding="utf-8")
    assert "<h2>Relaxation</h2>" in page
    for row in table.itertuples():
        assert f'<td class="n">{row.energy:.3g}</td>' in page


def test_the_report_of_another_network_does_not_speak_of_relaxation(tmp_path: Path) -> None:
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10)).eval()
    data = digits().head(30)
    dp.evaluate(network, data, presets="gaussian:0.1", times="1s", chips=2, out=tmp_path, progress=False)
    assert "Relaxation" not in dp.report(tmp_path, tmp_path / "report").read_text(encoding="utf-8")
    with dp.Record.open(tmp_path) as record, pytest.raises(KeyError):
        _ = record.network_measures()["residual"]
