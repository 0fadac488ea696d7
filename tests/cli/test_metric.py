"""``driftproof evaluate --metric``: what it prints and keeps."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from driftproof._cli.app import main

Evaluate = Callable[[str], tuple[int, str]]

FILE = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.table, self.out = nn.Embedding(12, 6), nn.Linear(6, 12)

    def forward(self, input_ids, attention_mask):
        return {"logits": self.out(self.table(input_ids) * attention_mask.unsqueeze(-1))}

def net(): return Net()

def text():
    ids = torch.randint(0, 12, (20, 5), generator=torch.Generator().manual_seed(1))
    return {"input_ids": ids, "attention_mask": torch.ones(20, 5), "labels": ids}

def spread(outputs, targets): return outputs.std()
"""


@pytest.fixture
def evaluate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Evaluate:
    (tmp_path / "mine.py").write_text(FILE)

    def run(metric: str) -> tuple[int, str]:
        words = ["evaluate", f"{tmp_path}/mine.py:net", "--data", f"{tmp_path}/mine.py:text", "--metric", metric]
        words += ["--preset", "gaussian:0.1", "--times", "1s", "--chips", "2", "--out", str(tmp_path / "out")]
        monkeypatch.setattr(sys, "argv", ["driftproof", *words])
        monkeypatch.setenv("COLUMNS", "200")
        code = 0
        try:
            main()
        except SystemExit as stop:
            code = int(stop.code or 0)
        printed = capsys.readouterr()
        return code, printed.out + printed.err

    return run


def test_a_metric_by_name(evaluate: Evaluate, tmp_path: Path) -> None:
    code, printed = evaluate("perplexity")
    assert code == 0
    assert re.search(r"mine\.py:net\W+perplexity", printed)
    assert "rise" in printed
    assert "mean %" not in printed
    summary = pd.read_csv(tmp_path / "out" / "summary.csv")
    assert set(summary["metric"]) == {"perplexity"}
    chips = summary[summary["chips"] == 2].iloc[0]
    assert chips["worst"] > chips["mean"]
    code, printed = evaluate("token-accuracy")
    assert code == 2
    assert "metric: 'perplexity' in the record, 'token-accuracy' now" in printed


def test_a_metric_of_ones_own(evaluate: Evaluate, tmp_path: Path) -> None:
    code, printed = evaluate(f"{tmp_path}/mine.py:spread")
    assert code == 0
    assert "drop" in printed
    assert set(pd.read_csv(tmp_path / "out" / "cells.csv")["metric"]) == {"mine.py:spread"}


def test_an_unknown_metric_leaves_nothing(evaluate: Evaluate, tmp_path: Path) -> None:
    code, printed = evaluate("perplexty")
    assert code == 2
    assert "did you mean perplexity?" in printed
    assert not (tmp_path / "out").exists()
