"""Which layers cost the most on a chip: each alone analog, and each alone digital."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd

from driftproof.defaults import LAYER_CHIPS
from driftproof.evaluation import Deployment, Evaluator, run
from driftproof.evaluation.checks import check_numbers
from driftproof.keywords import checks_keywords
from driftproof.plans.measure import Setting, analog_layers, beside_digital, configurations, ready, setting_of
from driftproof.plans.per_chip import PerChip
from driftproof.record import Quantity, Record
from driftproof.times import parse_time


@dataclass(frozen=True, kw_only=True)
class LayerSensitivity:
    """What one layer does, on the same chips as all the others.

    Attributes:
        name: canonical name of the layer.
        macs_per_input: its multiply-accumulates per sample.
        weights: how many.
        drop: by how much the metric gets worse when only this layer is analog, against all digital.
        gain: by how much it gets better when only this layer is digital, against all analog.
    """

    name: str
    macs_per_input: int
    weights: int
    drop: PerChip
    gain: PerChip


@dataclass(frozen=True, kw_only=True)
class Sensitivity:
    """The sensitivity of every layer.

    Attributes:
        setting: device, time and what else it was measured on.
        quantity: of the metric.
        data: name of the samples.
        n_samples: how many.
        digital: the metric with all layers digital.
        analog: the metric with all layers analog, chip by chip.
        layers: in the network's order.
    """

    setting: Setting
    quantity: Quantity
    data: str
    n_samples: int
    digital: float
    analog: PerChip
    layers: tuple[LayerSensitivity, ...]

    def table(self) -> pd.DataFrame:
        """Return one row per layer: name, sizes, drop and gain with the ends of their 95 % intervals."""
        rows: list[dict[str, Any]] = [
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
        ]
        return pd.DataFrame(rows)


@checks_keywords
def sensitivity(
    evaluator: Evaluator,
    deployment: Deployment,
    t: str | float,
    *,
    chips: int = LAYER_CHIPS,
    record: Record | None = None,
    progress: bool | None = None,
) -> Sensitivity:
    """Measure every layer alone on a chip, and every layer alone off it.

    The two answer different questions. *Only analog* tells what a layer's devices do to a network that is otherwise
    exact; *only digital* what is won by taking it off a chip whose other layers stay. In sum the former may differ much
    from the drop of the whole chip, since errors of several layers add up in the network and not in its accuracy.

    It takes 2 L + 1 passes over the data per chip, L the number of layers that can be analog, and 2 more.

    Args:
        evaluator: of the network, the data and the metric, on the backend ``folded``.
        deployment: the device and all conditions.
        t: time after programming, such as ``1y``.
        chips: how many, numbered from 0; the same ones for all sets of digital layers, so that differences are paired.
        record: what was measured before, and where new cells go; in memory unless given.
        progress: show a progress bar; by default when the terminal is interactive.

    Raises:
        DriftproofError: impossible requests; outputs that are not finite.

    >>> from driftproof.data import digits
    >>> from driftproof.zoo import trained_digits_cnn
    >>> evaluator = Evaluator(trained_digits_cnn(), digits().head(200))
    >>> found = sensitivity(evaluator, Deployment(device="gaussian:0.2"), "1s", chips=2)
    >>> [layer.name for layer in found.layers], list(found.table())[:4]
    (['conv1', 'conv2', 'fc1', 'fc2'], ['layer', 'macs_per_input', 'weights', 'drop'])
    """
    check_numbers(chips=chips)
    t_s, deployment = parse_time(t), evaluator.calibrated(deployment)
    evaluator.check(deployment, chips)
    layers = analog_layers(evaluator, deployment)
    alone_analog = [layers.keys() - {name} for name in layers]
    alone_digital = [{name} for name in layers]
    trials = configurations(deployment, t_s, range(chips), [(), layers, *alone_analog, *alone_digital], layers)
    with ready(evaluator, {deployment.device.name: deployment}, record) as held:
        _, values = run(beside_digital(trials), evaluator, held, progress=progress, what="layer by layer")
    quantity, (analog, digital, *each) = evaluator.metric.quantity, values
    return Sensitivity(
        setting=setting_of(deployment, t_s),
        quantity=quantity,
        data=evaluator.data.name,
        n_samples=len(evaluator.data),
        digital=digital.mean,
        analog=analog,
        layers=tuple(
            LayerSensitivity(
                name=name,
                macs_per_input=entry.macs_per_input or 0,
                weights=entry.weights,
                drop=(digital - only_analog).times(quantity.sign),
                gain=(only_digital - analog).times(quantity.sign),
            )
            for (name, entry), only_analog, only_digital in zip(
                layers.items(), each[: len(layers)], each[len(layers) :], strict=True
            )
        ),
    )
