"""Sets of digital layers: each is the network with those layers' own weights, all on the same chips."""

from __future__ import annotations

import copy
from collections.abc import Collection, Sequence

import pytest
import torch

from driftproof._chip import Chip
from driftproof._errors import DriftproofError, DriftproofWarning
from driftproof._mapping import MappingOptions, map_model
from driftproof._presets import load_preset
from driftproof.data import digits
from driftproof.evaluation import Deployment, Evaluator, Trial, run
from driftproof.evaluation._trial import NETWORK_ITSELF
from driftproof.periphery import load_periphery
from driftproof.plans._measure import analog_layers, analog_share, configurations, per_chip
from driftproof.zoo import trained_digits_cnn
from plans.tensors import images, labels

PCM, YEAR = "pcm-hermes-1", 31_536_000.0
SOME = digits().head(120)
MODEL = trained_digits_cnn()
LAYERS = ("conv1", "conv2", "fc1", "fc2")
ON_PCM = Deployment(device=PCM)
CALIBRATION = digits("train").head(100)


def measured(
    evaluator: Evaluator, deployment: Deployment, t_s: float, chips: Sequence[int], sets: Sequence[Collection[str]]
) -> list[tuple[float, ...]]:
    """Return the metric, [sets][chips]."""
    layers = analog_layers(evaluator, deployment)
    trials = configurations(deployment, t_s, chips, sets, layers)
    return [column.values for column in run(per_chip(trials), evaluator)]


def reference(digital: tuple[str, ...], chip_number: int) -> float:
    """Accuracy of a copy of the network whose other layers have a chip's weights written into them, one by one."""
    network = copy.deepcopy(MODEL).eval()
    chip = Chip(map_model(network, example=images(SOME)[:1]), load_preset(PCM), seed=0, chip=chip_number)
    for name in LAYERS:
        if name not in digital:
            network.get_parameter(f"{name}.weight").data = chip.weight(name, YEAR)
    with torch.inference_mode():
        return 100.0 * float((network(images(SOME)).argmax(1) == labels(SOME)).double().mean())


def test_a_set_is_the_network_with_some_layers_exact() -> None:
    sets: list[tuple[str, ...]] = [(), ("conv1",), ("conv2", "fc2"), LAYERS]
    values = measured(Evaluator(MODEL, SOME), ON_PCM, YEAR, range(2), sets)
    wanted = [[reference(digital, chip) for chip in range(2)] for digital in sets]
    assert [list(column) for column in values] == [pytest.approx(column) for column in wanted]
    assert len({value for column in values for value in column}) > 3  # so that none is taken for another


def test_a_trial_does_not_depend_on_what_is_measured_before_it() -> None:
    trial = Trial(ON_PCM, 3, YEAR, frozenset({"conv1"}))
    alone = Evaluator(MODEL, SOME)(trial).per_sample
    evaluator = Evaluator(MODEL, SOME)
    for chip in (1, 3):
        for digital in (["fc2"], LAYERS, []):
            evaluator(Trial(ON_PCM, chip, YEAR, frozenset(digital)))
    again = evaluator(trial).per_sample
    assert alone is not None
    assert again is not None
    assert (alone == again).all()


def test_where_all_layers_are_digital_there_is_one_value_for_all_chips() -> None:
    trials = configurations(ON_PCM, YEAR, range(3), [LAYERS, ("fc1",), LAYERS[::-1]], LAYERS)
    assert len({trial for row in trials for trial in row}) == 1 + 3
    evaluator = Evaluator(MODEL, SOME)
    values = measured(evaluator, ON_PCM, YEAR, range(3), [LAYERS])
    assert values == [(evaluator(NETWORK_ITSELF).value,) * 3]


def test_the_analog_share_counts_every_product_of_the_network() -> None:
    evaluator = Evaluator(MODEL, SOME)
    assert analog_share(evaluator, ON_PCM, ()) == analog_share(evaluator, ON_PCM, (), "weights") == 100.0
    assert analog_share(evaluator, ON_PCM, LAYERS) == 0.0
    sizes = {name: entry.macs_per_input or 0 for name, entry in analog_layers(evaluator, ON_PCM).items()}
    # 16 filters of 3 × 3 on 8 × 8 pixels
    assert sizes["conv1"] == 16 * 9 * 64
    alone = 100 * (1 - sizes["conv1"] / sum(sizes.values()))
    assert analog_share(evaluator, ON_PCM, ["conv1"]) == pytest.approx(alone)
    inner = ON_PCM.with_changes(mapping=MappingOptions(where="!conv1"))
    assert list(analog_layers(evaluator, inner)) == ["conv2", "fc1", "fc2"]
    assert analog_share(evaluator, inner, ()) == analog_share(evaluator, ON_PCM, ["conv1"])


def test_layers_that_are_not_there_are_named() -> None:
    evaluator = Evaluator(MODEL, SOME)
    with pytest.raises(DriftproofError, match=r"no layer 'conv3' is on tiles \(did you mean conv2\?\)"):
        measured(evaluator, ON_PCM, YEAR, [0], [["conv3"]])
    with pytest.raises(DriftproofError, match="came as a str, 'conv1'"):
        measured(evaluator, ON_PCM, YEAR, [0], ["conv1"])
    # one that the mapping leaves digital is not there to be taken off
    inner = ON_PCM.with_changes(mapping=MappingOptions(where="!conv1"))
    with pytest.raises(DriftproofError, match=r"no layer 'conv1' is on tiles .*; there are conv2, fc1, fc2"):
        measured(evaluator, inner, YEAR, [0], [["conv1"]])


def test_a_periphery_is_around_the_analog_layers_only() -> None:
    evaluator, sets = Evaluator(MODEL, SOME), [(), LAYERS]
    standard = Deployment(device="ideal", periphery="standard", calibration=CALIBRATION)
    _, digital = measured(evaluator, standard, 1.0, range(3), sets)
    assert digital == (evaluator(NETWORK_ITSELF).value,) * 3
    rough = standard.with_changes(periphery=load_periphery("standard").with_changes(adc_bits=2, dac_bits=2))
    assert measured(evaluator, rough, 1.0, [0], sets)[0][0] < digital[0] - 5
    # converters stand around what stays analog, and around nothing else
    first, last = measured(evaluator, rough, 1.0, [0], [LAYERS[1:], LAYERS[:3]])
    assert first != last


def test_static_ranges_want_inputs_and_take_those_reported_on_with_a_warning() -> None:
    with pytest.warns(DriftproofWarning, match="static input ranges are measured on the first 120"):
        found = Evaluator(MODEL, SOME).calibrated(Deployment(device="ideal", periphery="standard"))
    assert found.calibration is not None
    assert found.calibration.fingerprint() == SOME.fingerprint()
