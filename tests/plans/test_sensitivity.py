"""Layer by layer: where only one layer has noise, the whole drop is its own, both ways."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import nn

from driftproof._chip import Chip
from driftproof._errors import DriftproofError
from driftproof._mapping import MappingOptions, map_model
from driftproof._presets import load_mix, load_preset
from driftproof._record import Record
from driftproof._reporting.gather import gather
from driftproof._reporting.layer_cells import layer_tables
from driftproof.data import digits
from driftproof.evaluation import Deployment, Evaluator, Metric, Recalibration, Trial
from driftproof.plans import sensitivity
from driftproof.plans._sensitivity import Sensitivity
from driftproof.zoo import trained_digits_cnn
from plans.tensors import images, labels

SOME = digits().head(150)
MODEL = trained_digits_cnn()
EVALUATOR = Evaluator(MODEL, SOME)
LAYERS = ["conv1", "conv2", "fc1", "fc2"]
UNCOMPENSATED = "pcm-nandakumar-2019"


def asked(device: Any, chips: int, t: str = "1s", record: Record | None = None, **conditions: Any) -> Sensitivity:
    return sensitivity(EVALUATOR, Deployment(device=device, **conditions), t, chips=chips, record=record)


def test_the_only_noisy_layer_has_the_whole_drop() -> None:
    found = asked(load_mix("ideal,conv2=gaussian:0.6"), chips=4)
    drops = {layer.name: layer.drop for layer in found.layers}
    gains = {layer.name: layer.gain for layer in found.layers}
    total = found.digital - found.analog.mean
    assert total > 2
    assert drops["conv2"].mean == pytest.approx(total)
    assert gains["conv2"].mean == pytest.approx(total)
    for name in ("conv1", "fc1", "fc2"):
        assert drops[name].values == gains[name].values == (0.0,) * 4


def test_chips_with_equal_drops_have_an_interval_if_they_differ_in_samples() -> None:
    few, device = Evaluator(MODEL, digits().head(40)), Deployment(device="gaussian:0.3", seed=1)
    with Record.create_or_open(None) as record:
        found = sensitivity(few, device, "1s", chips=2, record=record)
        (shown,) = layer_tables(gather(record))
    drop = found.layers[1].drop
    assert drop.values[0] == drop.values[1]
    assert drop.interval[0] < drop.mean < drop.interval[1]
    # a report of the record says the same of every layer
    for layer, row in zip(found.layers, shown["rows"], strict=True):
        for name, change in (("drop", layer.drop), ("gain", layer.gain)):
            assert row[f"{name}_interval"] == " – ".join(f"{end:.2f}" for end in change.interval)


def test_each_layer_has_the_values_of_its_own_trials() -> None:
    found, deployment = asked("gaussian:0.4", chips=2), Deployment(device="gaussian:0.4")

    def values(*digital: str) -> list[float]:
        return [EVALUATOR(Trial(deployment, chip, 1.0, frozenset(digital))).value for chip in range(2)]

    assert list(found.analog.values) == values()
    for layer in found.layers:
        others = [name for name in LAYERS if name != layer.name]
        assert [found.digital - drop for drop in layer.drop.values] == pytest.approx(values(*others))
        gained = [a + gain for a, gain in zip(found.analog.values, layer.gain.values, strict=True)]
        assert gained == pytest.approx(values(layer.name))


def test_the_table_says_it_in_columns() -> None:
    table = asked("gaussian:0.3", chips=3).table()
    assert list(table["layer"]) == LAYERS
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
    right = asked("gaussian:0.4", chips=2)
    error = sensitivity(Evaluator(MODEL, SOME, wrong), Deployment(device="gaussian:0.4"), "1s", chips=2)
    for a, b in zip(right.layers, error.layers, strict=True):
        assert b.drop.values == pytest.approx(a.drop.values)
        assert b.gain.values == pytest.approx(a.gain.values)
    assert any(layer.drop.mean > 0 for layer in error.layers)


def test_more_chips_measure_only_those() -> None:
    with Record.create_or_open(None) as record:
        asked("gaussian:0.3", chips=2, record=record)
        before = len(list(record.outcomes()))
        # digital, all digital, and per chip: all analog, and each of 4 layers alone on either side
        assert before == 2 + 2 * 9
        asked("gaussian:0.3", chips=3, record=record)
        assert len(list(record.outcomes())) == before + 9


def test_layers_that_the_mapping_leaves_digital_are_not_asked_about() -> None:
    found = asked("gaussian:0.4", chips=2, mapping=MappingOptions(where="!conv1"))
    assert [layer.name for layer in found.layers] == LAYERS[1:]
    # to leave a layer digital by the mapping, and to take it off the chip, are the same
    deployment = Deployment(device="gaussian:0.4")
    for sets, values in (
        ({"conv1"}, found.analog.values),
        ({"conv1", "fc1", "fc2"}, tuple(found.digital - drop for drop in found.layers[0].drop.values)),
    ):
        wanted = [EVALUATOR(Trial(deployment, chip, 1.0, frozenset(sets))).value for chip in range(2)]
        assert list(values) == pytest.approx(wanted)


def by_hand(digital: set[str], chip_number: int, t_s: float, inputs: torch.Tensor) -> float:
    """Accuracy of a copy with a chip's weights, whose BatchNorms have the statistics of the inputs at programming."""
    network = copy.deepcopy(MODEL).eval()
    device = load_preset(UNCOMPENSATED)
    mapping = map_model(network, example=images(SOME)[:1])
    chip = Chip(mapping, device, seed=0, chip=chip_number, compensation="none")

    def become(time: float, to_calibrate: bool = False) -> None:
        for name in LAYERS:
            if name not in digital:
                reading = chip.read(name, time, to_calibrate=to_calibrate)
                weight = mapping.weights[name].weight(reading.net, reading.scale * reading.alpha)
                network.get_parameter(f"{name}.weight").data = weight

    become(device.validity.t_s[0], to_calibrate=True)
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.train()
        norm.momentum = 1.0
    with torch.inference_mode():
        network(inputs)
        for norm in norms:
            norm.eval()
        become(t_s)
        return 100.0 * float((network(images(SOME)).argmax(1) == labels(SOME)).double().mean())


def test_batch_norms_are_re_estimated_for_every_set_of_digital_layers() -> None:
    others = digits("train").head(100)
    inputs = images(others)
    found = asked(UNCOMPENSATED, 2, "1y", compensation="none", recalibration=Recalibration(others))
    plain = asked(UNCOMPENSATED, 2, "1y", compensation="none")
    year = 31_536_000.0
    assert found.digital == plain.digital
    wanted = [by_hand(set(), chip, year, inputs) for chip in range(2)]
    assert list(found.analog.values) == pytest.approx(wanted, abs=0.67)  # one image: another order of rounding
    assert found.analog.values != plain.analog.values
    for layer in found.layers:
        alone = [by_hand(set(LAYERS) - {layer.name}, chip, year, inputs) for chip in range(2)]
        assert [found.digital - drop for drop in layer.drop.values] == pytest.approx(alone, abs=0.67)
        off = [by_hand({layer.name}, chip, year, inputs) for chip in range(2)]
        gained = [a + gain for a, gain in zip(found.analog.values, layer.gain.values, strict=True)]
        assert gained == pytest.approx(off, abs=0.67)


@pytest.mark.parametrize("when", ["programming", "time"])
def test_all_digital_is_the_network_itself_whatever_was_re_estimated_before(when: Any) -> None:
    recalibration = Recalibration(digits("train").head(40), when=when)
    deployment = Deployment(device="gaussian:0.8", recalibration=recalibration)
    # of what no chip's statistics could be taken for
    squares = Metric.of(lambda y, t: float(y.double().square().mean()), name="squares", higher_is_better=False)
    evaluator = Evaluator(MODEL, SOME, squares)
    again = sensitivity(evaluator, deployment, "1s", chips=2)
    assert again.digital == pytest.approx(evaluator(Trial(None)).value, rel=1e-6)
    assert sensitivity(evaluator, deployment, "1s", chips=2) == again


def test_no_chip_is_refused() -> None:
    with pytest.raises(DriftproofError, match="chips: wanted at least 1, got 0"):
        asked("ideal", chips=0)
