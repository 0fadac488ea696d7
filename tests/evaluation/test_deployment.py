"""Deployments and trials: what is one and the same, what is written down, what is refused."""

from __future__ import annotations

import dataclasses
import json
import pickle
from typing import Any

import numpy as np
import pytest
import torch

import driftproof as dp
from driftproof._errors import DriftproofError
from driftproof._mapping import MappingOptions, TileSize
from driftproof.data import TensorData
from driftproof.evaluation import Deployment, Recalibration, Trial
from driftproof.evaluation._identity import conditions_of
from driftproof.periphery import StaticRange, load_periphery
from driftproof.zoo import trained_digits_cnn

INPUTS = TensorData("some", torch.rand(20, 1, 8, 8), torch.zeros(20, dtype=torch.int64))
OTHERS = TensorData("some", torch.rand(20, 1, 8, 8), torch.zeros(20, dtype=torch.int64))
BASE = Deployment(device="pcm-nandakumar-2019")
CHANGES: dict[str, dict[str, object]] = {
    "device": {"device": "reram-wan-2022"},
    "a number of the device": {"device": dp.load_preset("pcm-nandakumar-2019", {"drift.t0_s": 30.0})},
    "tile": {"mapping": MappingOptions(tile=TileSize(64, 64))},
    "where": {"mapping": MappingOptions(where="inner")},
    "scale": {"mapping": MappingOptions(scale="layer")},
    "clip": {"mapping": MappingOptions(clip=99.0)},
    "compensation": {"compensation": "column"},
    "its parameter": {"compensation": "tile:reference_s=60"},
    "periphery": {"periphery": "standard", "calibration": INPUTS},
    "its number": {"periphery": load_periphery("standard").with_changes(adc_bits=6), "calibration": INPUTS},
    "calibration": {"periphery": "standard", "calibration": OTHERS},
    "recalibration": {"recalibration": Recalibration(INPUTS)},
    "when": {"recalibration": Recalibration(INPUTS, "time")},
    "on what": {"recalibration": Recalibration(OTHERS)},
    "on how many": {"recalibration": Recalibration(INPUTS, samples=10)},
    "read_outs": {"read_outs": "pause_s=1d"},
    "how long they take": {"read_outs": "duration_s=1min"},
    "what is fast": {"read_outs": "fast=mvm"},
    "seed": {"seed": 1},
}


def test_everything_that_decides_a_number_makes_another_deployment() -> None:
    made = {"": BASE} | {name: BASE.with_changes(**changes) for name, changes in CHANGES.items()}
    assert len({deployment.id for deployment in made.values()}) == len(made)
    assert len(set(made.values())) == len(made)
    evaluator = dp.Evaluator(trained_digits_cnn(), INPUTS)
    conditions = {
        (d.device.sha256, conditions_of(evaluator, d).id) for d in made.values()
    }  # what a record keeps tells them apart, too
    assert len(conditions) == len(made)


def test_every_field_stands_in_the_test_above() -> None:
    fields = {field.name for field in dataclasses.fields(Deployment)}
    assert fields == {name for changes in CHANGES.values() for name in changes}
    options = {field.name for field in dataclasses.fields(MappingOptions)} - {"all_analog"}
    assert options <= set(CHANGES)


def test_names_and_texts_do_not_make_another_deployment() -> None:
    renamed = dp.load_preset("pcm-nandakumar-2019").model_copy(update={"name": "mine", "summary": "Other words."})
    around = load_periphery("standard")
    named = around.model_copy(update={"name": "mine"})
    same_inputs = INPUTS.renamed("other name")
    pairs = [
        (BASE, BASE.with_changes(device=renamed)),
        (BASE, BASE.with_changes(mapping=MappingOptions(all_analog=True))),
        (
            BASE.with_changes(periphery=around, calibration=INPUTS),
            BASE.with_changes(periphery=named, calibration=same_inputs),
        ),
    ]
    for one, other in pairs:
        assert one.id == other.id
        assert one == other


def test_the_batch_size_of_static_ranges_counts_for_a_moving_average_only() -> None:
    standard = load_periphery("standard")
    moving = standard.with_changes(input_range=StaticRange(method="moving"))
    small, large = (dp.Evaluator(trained_digits_cnn(), INPUTS, batch_size=size) for size in (5, 20))
    for periphery, equal in ((standard, True), (moving, False)):
        deployment = BASE.with_changes(periphery=periphery, calibration=INPUTS)
        assert (conditions_of(small, deployment) == conditions_of(large, deployment)) == equal


@pytest.mark.parametrize("names", [{"fc1", "conv2"}, {"conv2": 0, "fc1": 0}.keys(), (n for n in ("fc1", "conv2"))])
def test_any_collection_of_names_chooses_layers(names: Any) -> None:
    deployment = BASE.with_changes(mapping=MappingOptions(where=names))
    for _ in range(2):  # a generator is read once
        evaluator = dp.Evaluator(trained_digits_cnn(), INPUTS)
        assert set(evaluator.mapping(deployment.mapping).weights) == {"conv2", "fc1"}
    with pytest.raises(DriftproofError, match="an empty list chooses no layer"):
        MappingOptions(where=[])


def test_numbers_of_other_libraries_are_numbers() -> None:
    assert Deployment(device="ideal", seed=np.int64(3)).id == Deployment(device="ideal", seed=3).id  # type: ignore[arg-type]
    trial = Trial(BASE, np.int64(1), np.float32(60.0))  # type: ignore[arg-type]
    assert trial == Trial(BASE, 1, 60.0)
    assert json.loads(json.dumps(trial.definition()))["chip"] == 1
    assert MappingOptions(clip=99) == MappingOptions(clip=99.0)


def test_where_is_the_layers_that_it_chooses() -> None:
    evaluator = dp.Evaluator(trained_digits_cnn(), INPUTS)
    asked = ("inner", "conv2,fc1", ["fc1", "conv2"], lambda name, _: name in ("conv2", "fc1"))
    ids = {conditions_of(evaluator, BASE.with_changes(mapping=MappingOptions(where=where))).id for where in asked}
    assert len(ids) == 1
    by_function = BASE.with_changes(mapping=MappingOptions(where=asked[3]))
    with pytest.raises(DriftproofError, match=r"where is a function.*names"):
        _ = by_function.id


def test_a_deployment_is_json_and_travels_to_other_processes() -> None:
    for changes in CHANGES.values():
        made = BASE.with_changes(**changes)
        assert json.loads(json.dumps(made.definition())) == made.definition()
        again = pickle.loads(pickle.dumps(made))
        assert (again, again.id, hash(again)) == (made, made.id, hash(made))


def test_a_deployment_is_shown_in_a_line() -> None:
    assert repr(BASE) == "Deployment(pcm-nandakumar-2019, compensation tile, periphery ideal, seed 0)"
    assert "re-estimated (time)" in str(BASE.with_changes(recalibration=Recalibration(INPUTS, "time")))


def test_trials_are_hashable_and_json() -> None:
    trial = Trial(BASE, 3, 60.0, frozenset({"fc1", "conv1"}))
    assert trial == Trial(Deployment(device="pcm-nandakumar-2019"), 3, 60.0, frozenset({"conv1", "fc1"}))
    assert len({trial, Trial(BASE, 4, 60.0), Trial(BASE, 3, 61.0), Trial(BASE, 3, 60.0)}) == 4
    expected = {"deployment": BASE.id, "chip": 3, "t_s": 60.0, "digital": ["conv1", "fc1"]}
    assert json.loads(json.dumps(trial.definition())) == expected


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"chip": -1}, "chip >= 0"),
        ({"t_s": -1.0}, "t_s >= 0"),
        ({"t_s": float("nan")}, "t_s >= 0"),
        ({"digital": "conv1"}, "came as a str, 'conv1'; wanted their names"),
        ({"digital": [1]}, "wanted their names, as texts"),
        ({"chip": 1.5}, "chip = 1.5: wanted a whole number"),
        ({"chip": True}, "chip = True: wanted a whole number"),
        ({"chip": "1"}, "chip = '1': wanted a whole number"),
        ({"t_s": "1d"}, "t_s = '1d', wanted seconds"),
    ],
)
def test_impossible_trials_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(DriftproofError, match=message):
        Trial(BASE, **settings)  # type: ignore[arg-type]
    with pytest.raises(DriftproofError, match="digital network"):
        Trial(None, chip=1)


def test_impossible_deployments_are_refused() -> None:
    with pytest.raises(DriftproofError, match="measures no input ranges"):
        Deployment(device="ideal", calibration=INPUTS)
    with pytest.raises(DriftproofError, match="pcm-nandakumar-2019"):
        Deployment(device="pcm-nandakumar-2018")
    for seed in (2**63, 1.5, True):
        with pytest.raises(DriftproofError, match="seed"):
            Deployment(device="ideal", seed=seed)  # type: ignore[arg-type]
    static = load_periphery("standard")
    assert isinstance(static.input_range, StaticRange)
    assert Deployment(device="ideal", periphery=static).wants_calibration
