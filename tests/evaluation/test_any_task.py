"""Evaluations of other tasks than classes: named inputs, several inputs, token ids, other metrics."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import driftproof as dp
from driftproof._errors import DriftproofError
from driftproof.data._adapters import as_data
from driftproof.evaluation import Metric, Recalibration
from driftproof.evaluation._backends import BackendName
from driftproof.plans import evaluate

SOURCE = torch.Generator().manual_seed(5)
IDS = torch.randint(0, 20, (30, 6), generator=SOURCE)
MASK = (torch.rand(30, 6, generator=SOURCE) < 0.8).float()
SETTINGS: dict[str, Any] = {"presets": ["gaussian:0.1"], "times": "1s", "chips": 2}


class Language(nn.Module):
    """Token ids and a mask, by name, to logits [N, L, 20] within a dict; the largest is the token itself."""

    def __init__(self, scale: float = 1.0) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.table, self.mix, self.out = nn.Embedding(20, 8), nn.Linear(8, 8), nn.Linear(8, 20)
        self.scale = scale
        with torch.no_grad():
            self.mix.weight.copy_(torch.eye(8))
            self.out.weight.copy_(torch.tanh(self.table.weight))

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> dict[str, Tensor]:
        hidden = torch.tanh(self.mix(self.table(input_ids) * attention_mask.unsqueeze(-1)))
        return {"hidden": hidden, "logits": self.scale * self.out(hidden)}


class Difference(nn.Module):
    """Two inputs by place to one number each."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.one, self.norm, self.two = nn.Linear(3, 5), nn.BatchNorm1d(5), nn.Linear(5, 1)

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return self.two(torch.relu(self.norm(self.one(a - b))))  # type: ignore[no-any-return]


TEXT = {"input_ids": IDS, "attention_mask": MASK, "labels": IDS}
PAIRS = ((torch.randn(30, 3, generator=SOURCE), torch.randn(30, 3, generator=SOURCE)), torch.zeros(30, 1))


def values(record: dp.Record) -> list[float]:
    return record.cells()["value"].tolist()


@pytest.mark.parametrize("backend", ["folded", "tiles"])
def test_a_language_model_by_its_perplexity(backend: BackendName) -> None:
    record = evaluate(Language(), TEXT, metric="perplexity", backend=backend, batch_size=8, **SETTINGS)
    digital, ideal, *chips = values(record)
    assert set(record.cells()["metric"]) == {"perplexity"}
    with torch.no_grad():
        logits = Language()(IDS, MASK)["logits"]
    losses = nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), IDS[:, 1:].flatten())
    assert digital == pytest.approx(float(losses.exp()), rel=1e-5)
    assert ideal == pytest.approx(digital, rel=1e-5)
    assert len({round(value, 4) for value in (digital, *chips)}) == 3


def test_backends_agree_on_named_and_on_several_inputs() -> None:
    for network, data, metric in ((Language(), TEXT, "perplexity"), (Difference(), PAIRS, "mse")):
        made = [
            values(evaluate(network, data, metric=metric, backend=backend, **SETTINGS))
            for backend in ("folded", "tiles")
        ]
        assert made[0] == pytest.approx(made[1], rel=1e-4)


def test_recalibration_takes_several_inputs() -> None:
    source = torch.Generator().manual_seed(9)
    inputs = (torch.randn(40, 3, generator=source), torch.randn(40, 3, generator=source))
    anew = Recalibration((inputs, torch.zeros(40)), "time")
    plain = values(evaluate(Difference(), PAIRS, metric="mse", **SETTINGS))
    measured = values(evaluate(Difference(), PAIRS, metric="mse", recalibrate=anew, **SETTINGS))
    assert measured[0] == plain[0]  # the network itself is not changed
    assert all(abs(one - other) > 1e-6 for one, other in zip(measured[1:], plain[1:], strict=True))


def closeness(outputs: Tensor, targets: Tensor) -> float:
    return float(-(outputs - targets).abs().mean())


def test_a_function_of_ones_own(tmp_path: Path) -> None:
    with evaluate(Difference(), PAIRS, metric=closeness, out=tmp_path, batch_size=7, **SETTINGS) as record:
        assert record.subject is not None
        assert (record.subject.metric, record.subject.quantity.higher_is_better) == ("closeness", True)
        with torch.no_grad():
            wanted = closeness(Difference().eval()(*PAIRS[0]), PAIRS[1])
        assert values(record)[0] == pytest.approx(wanted, rel=1e-6)
    lower = Metric.of(closeness, name="closeness", higher_is_better=False)
    for other in (lower, "mse"):
        with pytest.raises(DriftproofError, match=r"is about something else.*metric"):
            evaluate(Difference(), PAIRS, metric=other, out=tmp_path, **SETTINGS)


@pytest.mark.parametrize("metric", ["perplexity", "token-accuracy", "f1"])
def test_the_same_network_continues_and_other_code_does_not(metric: str, tmp_path: Path) -> None:
    def run(scale: float, chips: int, batch_size: int) -> dp.Record:
        settings = {**SETTINGS, "chips": chips}
        return evaluate(Language(scale), TEXT, metric=metric, out=tmp_path, batch_size=batch_size, **settings)

    run(1.0, chips=1, batch_size=30).close()
    with run(1.0, chips=2, batch_size=4) as record:  # rounding differs, the network does not
        assert len(record.cells()) == 4
    with pytest.raises(
        DriftproofError, match=r"the record holds a digital .* the network's code, its data or the metric"
    ):
        run(-1.0, chips=3, batch_size=30)


def test_impossible_targets_are_explained_and_leave_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(DriftproofError, match=r"digital: accuracy wants outputs of shape \[30, classes\]"):
        evaluate(Language(), TEXT, out=tmp_path, **SETTINGS)
    with evaluate(Language(), TEXT, metric="token-accuracy", out=tmp_path, **SETTINGS) as record:
        assert len(record.cells()) == 4
    with pytest.raises(DriftproofError, match="unknown metric 'accurcy'"):
        evaluate(Language(), TEXT, metric="accurcy", out=tmp_path / "new", **SETTINGS)
    assert not (tmp_path / "new").exists()


def test_a_report_of_a_perplexity(tmp_path: Path) -> None:
    with evaluate(Language(), as_data(TEXT, name="text"), metric="perplexity", **SETTINGS) as record:
        page = dp.report(record, tmp_path).read_text()
    assert "reaches perplexity" in page
    assert (tmp_path / "perplexity_over_time.png").exists()
