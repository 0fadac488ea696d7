"""What decides numbers decides identities, and what is only shown does not."""

from __future__ import annotations

from typing import Any

import pytest

from driftproof._errors import DriftproofError
from driftproof._record import DIGITAL, CellKey, Inputs, Layer, Quantity, RecalibrationInputs, Record, Series, config_id
from synthetic_record import (
    LAYERS,
    begin,
    conditions,
    configuration,
    conversion,
    fill,
    key_of,
    outcome,
    preset,
    run,
    series,
    subject,
)

OWN = Quantity(name="mae", higher_is_better=False, lowest=0)
OTHER = Quantity(name="wer", higher_is_better=False)
OTHERS: list[dict[str, Any]] = [
    {"backend": "tiles"},
    {"torch_device": "cuda"},
    {"tile_rows": 64},
    {"tile_cols": 64},
    {"scale": "layer"},
    {"clip": 99.9},
    {"analog": ("fc",)},
    {"compensation": "column"},
    {"periphery": {"dac_bits": 8}},
    {"ranges": Inputs(data_hash="x", samples=10, batch_size=10)},
    {"recalibration": RecalibrationInputs(when="time", data_hash="x", samples=10, batch_size=10)},
    {"read_outs": "duration_s=1,pause_s=3600"},
    {"read_outs": "duration_s=1,pause_s=86400"},
    {"seed": 1},
]


def test_ids_are_what_they_were() -> None:
    # records on disk are named by them: a change makes all of them start anew
    assert config_id(subject(), conditions()) == "f25ebea069"
    assert series("hash").id == "711ff20506"
    assert conditions().conversion_id == "309b331633"
    assert Series().id == DIGITAL


def test_all_conditions_decide() -> None:
    made = [conditions(), *(conditions(**changes) for changes in OTHERS)]
    assert len({config_id(subject(), item) for item in made}) == len(OTHERS) + 1
    assert len({Series(device_sha256="x", conditions=item).id for item in made}) == len(OTHERS) + 1
    assert series("one").id != series("two").id
    assert [item.conversion_id != conditions().conversion_id for item in made[1:]] == [
        bool({"tile_rows", "tile_cols", "scale", "clip", "analog"} & set(changes)) for changes in OTHERS
    ]


@pytest.mark.parametrize(
    "changes",
    [
        {"model_hash": "x"},
        {"data_hash": "x"},
        {"n_samples": 5},
        {"metric": "top5"},
        {"numerics": 2},
        {"own_metric": OWN},
        {"own_metric": OWN.model_copy(update={"higher_is_better": True})},
    ],
)
def test_a_configuration_is_of_a_subject(changes: dict[str, Any]) -> None:
    """Reports of two networks under the same conditions tell them apart by it."""
    found = config_id(subject(**changes), conditions())
    assert found not in (config_id(subject(), conditions()), config_id(subject(own_metric=OTHER), conditions()))


def test_names_and_labels_decide_nothing() -> None:
    assert config_id(subject(model="renamed", data="renamed"), conditions()) == config_id(subject(), conditions())
    assert not subject(model="renamed", data="renamed").differences(subject())


MENDED = {
    "utilisation": 0.123,
    "reason": "said better",
    "macs_per_input": 17,
    "dac_per_input": 18,
    "kind": "Convolution",
    "clipped": 4,
    "unasked": True,
    "more": {"energy_pj": 3},
}


@pytest.mark.parametrize("field", MENDED)
def test_what_a_layer_shows_changes_no_identity_and_the_record_goes_on(field: str) -> None:
    layers = tuple(layer.model_copy(update={field: MENDED[field]}) for layer in LAYERS)
    assert all(isinstance(layer, Layer) for layer in layers)
    with Record.create_or_open(None) as record:
        made, number = begin(record)
        entry = preset("pcm")
        chips = fill(record, made, number, entry, {1.0: [90.0]})
        ids = set(record.configurations()), set(record.conversions()), set(record.series())
        again, number = begin(record, layers={"layers": layers})
        assert again == made
        assert record.conversions() == {made.conversion_id: conversion(layers=layers)}
        assert not record.missing(CellKey(chips.id, 0, 1.0))[0]
        record.add(CellKey(chips.id, 1, 1.0), outcome(91.0), number)
        assert (set(record.configurations()), set(record.conversions()), set(record.series())) == ids
        assert record.cells()["value"].tolist() == [91.73, 91.73, 90.0, 91.0]


@pytest.mark.parametrize(
    "shown", [{"label": "new"}, {"shown": {"around_text": "8-bit in"}}, {"shown": {"periphery": "x"}}]
)
def test_how_a_configuration_is_shown_changes_no_identity(shown: dict[str, Any]) -> None:
    with Record.create_or_open(None) as record:
        made, number = begin(record, label="old")
        chips = fill(record, made, number, preset("pcm"), {1.0: [90.0]})
        key = key_of(record, made)
        assert begin(record, **shown)[0] == made
        # no label leaves the one that was given before
        changes = {"label": shown.get("label", "old")} | shown.get("shown", {})
        assert record.configurations() == {key: configuration(made, **changes)}
        fill(record, made, number, preset("pcm"), {2.0: [89.0]})
        assert {place for _, _, place in record.shown()} >= {chips.id}
        assert len(record.cells()) == 4


def test_another_name_of_network_and_data_goes_on_under_the_old_one() -> None:
    with Record.create_or_open(None) as record:
        made, number = begin(record)
        begin(record, model="renamed", data="renamed")
        fill(record, made, number, preset("pcm"), {1.0: [90.0]})
        assert set(record.cells()["model"]) == {"resnet20"}
        assert len(record.cells()) == 3


def test_other_numerics_do_not_go_on() -> None:
    with Record.create_or_open(None) as record:
        begin(record)
        with pytest.raises(DriftproofError, match="numerics: 1 in the record, 2 now"):
            begin(record, numerics=2)
        assert len(record.runs()) == 1
        assert run() in record.runs().values()
