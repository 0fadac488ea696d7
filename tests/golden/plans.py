"""Numbers of the questions that are built from many cells: sensitivity, causes, digital layers, validation.

A validation's numbers have names of their own, ``plans/chip-validation/…``, so that they can be regenerated alone.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

import driftproof as dp
from driftproof.data import Data, digits
from driftproof.evaluation import Evaluator, Metric
from driftproof.plans import causes, choose_digital_layers, sensitivity
from golden.compute import Cell, deployment_of, short
from golden.networks import network

SAMPLES = 60


def _data() -> Data:
    return digits().head(SAMPLES)


def _others() -> Data:
    return digits("train").head(SAMPLES)


def _entropy(outputs: Tensor, targets: Tensor) -> float:
    return float(torch.nn.functional.cross_entropy(outputs.double(), targets))


# a smooth metric: an accuracy hides small changes
ENTROPY = Metric.of(_entropy, name="entropy", higher_is_better=False, lowest=0)


def _sensitivity(preset: str, t: str, name: str, metric: str | Metric = "accuracy", **conditions: object) -> Cell:
    evaluator = Evaluator(network(name), _data(), metric)
    found = sensitivity(evaluator, deployment_of(preset, **conditions), t, chips=2)
    numbers = [found.digital, *found.analog.values]
    for layer in found.layers:
        numbers += [*layer.drop.values, *layer.gain.values]
    return {"numbers": short(numbers), "names": [layer.name for layer in found.layers]}


def _causes(preset: str, t: str, name: str, metric: str | Metric = "accuracy", **conditions: object) -> Cell:
    evaluator = Evaluator(network(name), _data(), metric)
    found = causes(evaluator, deployment_of(preset, **conditions), t, chips=2)
    numbers = [found.digital, *found.total.values]
    for cause in found.causes:
        numbers += [*cause.values.values, *cause.drop.values]
    return {"numbers": short(numbers), "names": [cause.name for cause in found.causes]}


def _digital_layers(preset: str, t: str, target: float, metric: str | Metric = "accuracy") -> Cell:
    evaluator = Evaluator(network("digits-cnn"), _data(), metric)
    found = choose_digital_layers(
        evaluator,
        evaluator.on(_others()),
        deployment_of(preset),
        t,
        target=target,
        chips=2,
        report_chips=2,
    )
    numbers = [found.choose_digital, found.report_digital, float(found.searched)]
    for point in found.points:
        numbers += [point.analog_macs, point.analog_weights, *point.selection.values, *point.report.values]
    return {"numbers": short(numbers), "names": [f"{point.kind} {point.layer}" for point in found.points]}


def _validation(preset: str, times: list[str], metric: str | Metric) -> Cell:
    validate = dp.ChipValidation(data=_data(), preset=preset, times=times, chips=3, metric=metric, batch_size=25)
    return {"numbers": short(validate.each(network("digits-cnn"))), "names": []}


PLANS: dict[str, Callable[[], Cell]] = {
    "plans/sensitivity/digits-cnn/gaussian:0.3/accuracy": lambda: _sensitivity("gaussian:0.3", "1s", "digits-cnn"),
    "plans/sensitivity/small-conv/pcm-hermes-2/entropy": lambda: _sensitivity(
        "pcm-hermes-2", "30d", "small-conv", metric=ENTROPY, compensation="column", seed=4
    ),
    "plans/causes/digits-cnn/pcm-nandakumar-2019/entropy": lambda: _causes(
        "pcm-nandakumar-2019", "1y", "digits-cnn", metric=ENTROPY
    ),
    "plans/causes/digits-cnn/sonos-agrawal-2022/entropy": lambda: _causes(
        "sonos-agrawal-2022", "1d", "digits-cnn", metric=ENTROPY, compensation="none", tile=dp.TileSize(128, 64)
    ),
    "plans/digital-layers/digits-cnn/gaussian:0.3/accuracy": lambda: _digital_layers("gaussian:0.3", "1s", 95.0),
    "plans/digital-layers/digits-cnn/reram-wan-2022/entropy": lambda: _digital_layers(
        "reram-wan-2022", "1d", 0.16, metric=ENTROPY
    ),
    "plans/chip-validation/pcm-nandakumar-2019/entropy": lambda: _validation(
        "pcm-nandakumar-2019", ["1h", "1y"], ENTROPY
    ),
    "plans/chip-validation/gaussian:0.3/accuracy": lambda: _validation("gaussian:0.3", ["1s"], "accuracy"),
}
