"""What the record holds is not measured again; what differs in anything that decides a number is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from driftproof._errors import DriftproofError
from driftproof._mapping import MappingOptions, TileSize
from driftproof._presets import DevicePreset, load_preset
from driftproof._record import Record
from driftproof.data import Data, TensorData, digits
from driftproof.evaluation import Deployment, Evaluator, Metric, Trial, run
from driftproof.plans import sensitivity
from driftproof.plans._measure import compared_with_digital, configurations, digital_value, per_chip
from driftproof.plans._per_chip import PerChip
from driftproof.zoo import trained_digits_cnn
from plans.asking import Noting

PCM, YEAR = "pcm-hermes-1", 31_536_000.0
SOME = digits().head(120)
MODEL = trained_digits_cnn()
LAYERS = ("conv1", "conv2", "fc1", "fc2")
SETS: list[tuple[str, ...]] = [(), ("fc1", "conv1"), LAYERS]


def ask(evaluator: Evaluator, record: Record, t_s: float = YEAR, **changes: Any) -> list[PerChip]:
    deployment = Deployment(**({"device": PCM} | changes))
    return run(per_chip(configurations(deployment, t_s, range(2), SETS, LAYERS)), evaluator, record)


def test_nothing_is_measured_twice(tmp_path: Path) -> None:
    first, again = Noting(MODEL, SOME), Noting(MODEL, SOME)
    with Record.create_or_open(tmp_path) as record:
        values = ask(first, record)
    assert len(first.asked) == 2 * 2 + 1
    with Record.create_or_open(tmp_path) as record:
        assert ask(again, record) == values
        trials = configurations(Deployment(device=PCM), YEAR, range(2), [("conv1", "fc1")], LAYERS)
        # the order of names does not matter
        assert run(per_chip(trials), again, record) == [values[1]]
        assert again.asked == []


@pytest.mark.parametrize(
    "other",
    [
        {"seed": 1},
        {"compensation": "none"},
        {"device": "ideal"},
        {"t_s": 86_400.0},
        {"mapping": MappingOptions(clip=99.0)},
        {"mapping": MappingOptions(tile=TileSize(20, 20))},
        {"mapping": MappingOptions(scale="layer")},
        {"periphery": "standard", "calibration": SOME},
    ],
    ids=str,
)
def test_whatever_decides_a_number_makes_another_cell(other: dict[str, Any]) -> None:
    evaluator = Noting(MODEL, SOME)
    with Record.create_or_open(None) as record:
        ask(evaluator, record)
        count = len(evaluator.asked)
        ask(evaluator, record, **other)
        # what all layers digital do does not depend on the time
        assert len(evaluator.asked) == 2 * count - ("t_s" in other)


def test_another_name_of_a_device_is_not_another_device() -> None:
    evaluator, preset = Noting(MODEL, SOME), load_preset(PCM)
    renamed = DevicePreset.model_validate(preset.model_dump() | {"name": "mine.two"})
    with Record.create_or_open(None) as record:
        values = ask(evaluator, record)
        count = len(evaluator.asked)
        assert ask(evaluator, record, device=renamed) == values
        assert len(evaluator.asked) == count


@pytest.mark.parametrize(
    ("data", "metric", "named"),
    [(SOME.head(100), "accuracy", "data_hash"), (SOME, "f1", "metric")],
    ids=["data", "metric"],
)
def test_a_record_of_other_data_or_another_metric_is_refused(data: Data, metric: str, named: str) -> None:
    with Record.create_or_open(None) as record:
        ask(Evaluator(MODEL, SOME), record)
        other = Noting(MODEL, data, metric)
        with pytest.raises(DriftproofError, match=f"about something else .*{named}"):
            sensitivity(other, Deployment(device=PCM), "1y", chips=1, record=record)
        assert other.asked == []


def test_a_record_of_another_network_is_refused() -> None:
    changed = trained_digits_cnn()
    changed.fc2.bias.data[0] += 1e-3
    with Record.create_or_open(None) as record:
        ask(Evaluator(MODEL, SOME), record)
        with pytest.raises(DriftproofError, match=r"about something else .*model_hash"):
            sensitivity(Evaluator(changed, SOME), Deployment(device=PCM), "1y", chips=1, record=record)


def test_values_come_back_to_the_last_bit(tmp_path: Path) -> None:
    third = Metric.of(lambda y, t: float(y.double().square().mean()) / 3, name="third")
    evaluator = Evaluator(MODEL, SOME, third)
    with Record.create_or_open(tmp_path) as record:
        values = ask(evaluator, record)
    assert len({value for column in values for value in column.values}) == 5
    with Record.create_or_open(tmp_path) as record:
        assert ask(evaluator, record) == values
        assert [column.values[0] for column in values] == [
            evaluator(trial).value for trial in configurations(Deployment(device=PCM), YEAR, [0], SETS, LAYERS)[0]
        ]


class Moody(nn.Module):
    """Its answers depend on what its weights do not show."""

    def __init__(self, flipped: bool) -> None:
        super().__init__()
        self.fc = nn.Linear(2, 2, bias=False)
        self.fc.weight.data = torch.eye(2)
        self.flipped = flipped

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        outputs: torch.Tensor = self.fc(x)
        return -outputs if self.flipped else outputs


def test_changed_code_is_noticed_by_the_digital_network_before_a_cell_is_added() -> None:
    data = TensorData("two", torch.eye(2).repeat(10, 1), torch.tensor([0, 1]).repeat(10))
    trials = [[Trial(Deployment(device="ideal"), 0, 1.0)]]
    with Record.create_or_open(None) as record:
        for _ in range(2):
            assert run(digital_value(), Evaluator(Moody(False), data), record) == 100.0
        changed = Noting(Moody(True), data)
        with pytest.raises(DriftproofError, match=r"now it is 0\.00: the network's code, its data or the metric have"):
            run(compared_with_digital(trials), changed, record)
        assert changed.asked == []
        # what the record has is read without a pass of the network
        assert run(digital_value(), changed, record) == 100.0
        same = run(compared_with_digital(trials), Evaluator(Moody(False), data), record)
        assert same == (PerChip((100.0,)), [PerChip((100.0,))])
