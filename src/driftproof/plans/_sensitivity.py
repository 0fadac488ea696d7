"""Sensitivity: the drop with each layer alone analog, and the gain with each layer alone digital."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from driftproof._defaults import LAYER_CHIPS
from driftproof._keywords import checks_keywords
from driftproof._random_state import random_state_kept
from driftproof._record import Record
from driftproof.evaluation import Deployment, Evaluator, run
from driftproof.evaluation._checks import check_numbers
from driftproof.evaluation._executor import Executor
from driftproof.plans._measure import Measured, analog_layers, compared_with_digital, configurations, measured, ready
from driftproof.plans._per_chip import PerChip
from driftproof.times import parse_time


@dataclass(frozen=True, kw_only=True)
class LayerSensitivity:
    """The sensitivity of one layer, on the same chips as all other layers.

    Attributes:
        name: Canonical name of the layer.
        macs_per_input: Number of its multiply-accumulates per sample.
        weights: Number of its weights.
        drop: Loss of the metric when only this layer is analog, compared with all layers digital.
        gain: Gain of the metric when only this layer is digital, compared with all layers analog.
    """

    name: str
    macs_per_input: int
    weights: int
    drop: PerChip
    gain: PerChip


@dataclass(frozen=True, kw_only=True)
class Sensitivity(Measured):
    """The sensitivity of every layer.

    Attributes:
        setting: Device, time and the rest of the hardware.
        quantity: Quantity of the metric.
        data: Name of the samples.
        n_samples: Number of samples.
        digital: Metric with all layers digital.
        analog: Metric with all layers analog, chip by chip.
        layers: Sensitivity of each layer, in the network's order.
    """

    analog: PerChip
    layers: tuple[LayerSensitivity, ...]

    def table(self) -> pd.DataFrame:
        """Return one row per layer: name, sizes, drop and gain with the ends of their 95 % intervals."""
        return pd.DataFrame(
            {
                "layer": layer.name or "(root)",
                "macs_per_input": layer.macs_per_input,
                "weights": layer.weights,
                **layer.drop.columns("drop"),
                **layer.gain.columns("gain"),
                "chips": len(self.analog),
                "n_samples": self.n_samples,
            }
            for layer in self.layers
        )


@checks_keywords
@random_state_kept()
def sensitivity(
    evaluator: Evaluator,
    deployment: Deployment,
    t: str | float,
    *,
    chips: int = LAYER_CHIPS,
    record: Record | None = None,
    executor: Executor | None = None,
    progress: bool | None = None,
) -> Sensitivity:
    """Measure the network with every layer alone on a chip, and with every layer alone digital.

    The two answer different questions. *Only analog* measures the drop that a layer's devices cause in an otherwise
    exact network. *Only digital* measures the gain when this layer leaves a chip on which all other layers stay. The
    sum of the drops may differ much from the drop of the whole chip, because errors of several layers add up in the
    network's activations and not in its accuracy.

    With L layers that can be analog, this takes 2 L + 1 passes over the data per chip, and 2 more.

    Args:
        evaluator: Evaluator of the network, the data and the metric, with the backend ``folded``.
        deployment: The device and all conditions.
        t: Time after the first read, such as ``1y``.
        chips: Number of chips, numbered from 0 (default: 10). All sets of digital layers are measured on the same
            chips, so that differences are paired.
        record: Record of earlier measurements. New cells are added to it (default: a record in memory).
        executor: Executor that computes the trials, such as :class:`driftproof.evaluation.Processes` (default: one
            after the other, in this process).
        progress: Whether to show a progress bar (default: a bar on a terminal, else lines at intervals).

    Raises:
        DriftproofError: An argument is impossible, or an output is not finite.

    >>> from driftproof.data import digits
    >>> from driftproof.zoo import trained_digits_cnn
    >>> evaluator = Evaluator(trained_digits_cnn(), digits().head(200))
    >>> result = sensitivity(evaluator, Deployment(device="gaussian:0.2"), "1s", chips=2)
    >>> [layer.name for layer in result.layers], list(result.table())[:4]
    (['conv1', 'conv2', 'fc1', 'fc2'], ['layer', 'macs_per_input', 'weights', 'drop'])
    """
    check_numbers(chips=chips)
    t_s, deployment = parse_time(t), evaluator.calibrated(deployment)
    evaluator.check(deployment, chips, [t_s])
    layers = analog_layers(evaluator, deployment)
    alone_analog = [layers.keys() - {name} for name in layers]
    alone_digital = [{name} for name in layers]
    trials = configurations(deployment, t_s, range(chips), [(), layers, *alone_analog, *alone_digital], layers)
    with ready(evaluator, {deployment.device.name: deployment}, record) as held:
        _, values = run(
            compared_with_digital(trials), evaluator, held, executor=executor, progress=progress, what="layer by layer"
        )
    (analog, digital, *each), sign = values, evaluator.metric.quantity.sign
    alone = zip(layers.items(), each[: len(layers)], each[len(layers) :], strict=True)
    rows = [
        LayerSensitivity(
            name=name,
            macs_per_input=entry.macs_per_input or 0,
            weights=entry.weights,
            drop=(digital - only_analog).times(sign),
            gain=(only_digital - analog).times(sign),
        )
        for (name, entry), only_analog, only_digital in alone
    ]
    return Sensitivity(**measured(evaluator, deployment, t_s, digital.mean), analog=analog, layers=tuple(rows))
