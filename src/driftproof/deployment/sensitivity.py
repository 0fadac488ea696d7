"""Which layers cost the most on a chip: each alone analog, and each alone digital."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd
from torch import nn

from driftproof.data import Data, as_data, hold
from driftproof.deployment.cells import Cells
from driftproof.deployment.conditions import Conditions, Setting
from driftproof.deployment.mixed_network import MixedNetwork
from driftproof.deployment.per_chip import PerChip
from driftproof.device_choice import Device, load_device
from driftproof.evaluation.checks import check_numbers
from driftproof.record import Quantity
from driftproof.times import parse_time

DEFAULT_CHIPS = 10


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


def sensitivity(
    model: nn.Module,
    data: Data | object,
    preset: Device | str,
    t: str | float,
    *,
    chips: int = DEFAULT_CHIPS,
    conditions: Conditions | None = None,
    cells: Cells | None = None,
) -> Sensitivity:
    """Measure every layer alone on a chip, and every layer alone off it.

    The two answer different questions. *Only analog* tells what a layer's devices do to a network that is otherwise
    exact; *only digital* what is won by taking it off a chip whose other layers stay. In sum the former may differ much
    from the drop of the whole chip, since errors of several layers add up in the network and not in its accuracy.

    It takes 2 L + 1 passes over the data per chip, L the number of layers that can be analog, and 2 more.

    Args:
        model: a trained network; it is not changed.
        data: of any kind that :func:`driftproof.evaluate` takes.
        preset: the device.
        t: time after programming, such as ``1y``.
        chips: how many, numbered from 0; the same ones for all configurations, so that differences are paired.
        conditions: compensation, metric, periphery, tiles, seed.
        cells: what was measured before, and where new values go.

    Raises:
        DriftproofError: impossible requests; outputs that are not finite.

    >>> from driftproof.data import digits
    >>> from driftproof.zoo import trained_digits_cnn
    >>> found = sensitivity(trained_digits_cnn(), digits().head(200), "gaussian:0.2", "1s", chips=2)
    >>> [layer.name for layer in found.layers], list(found.table())[:4]
    (['conv1', 'conv2', 'fc1', 'fc2'], ['layer', 'macs_per_input', 'weights', 'drop'])
    """
    check_numbers(chips=chips)
    samples, device, t_s = (
        hold(as_data(data)),
        load_device(preset) if isinstance(preset, str) else preset,
        parse_time(t),
    )
    mixed = MixedNetwork(model, samples, conditions, cells)
    names = list(mixed.layers)
    mixed.digital(samples)  # proves that earlier cells are of the same code
    alone_analog = [[other for other in names if other != name] for name in names]
    alone_digital = [[name] for name in names]
    values = mixed.measure(
        device,
        t_s,
        samples,
        chips=range(chips),
        configurations=[[], names, *alone_analog, *alone_digital],
        what="layer by layer",
    )
    sign = mixed.metric.quantity.sign
    analog, digital, *each = (PerChip.of(values[:, column]) for column in range(values.shape[1]))
    layers = tuple(
        LayerSensitivity(
            name=name,
            macs_per_input=entry.macs_per_input or 0,
            weights=entry.weights,
            drop=(digital - each[place]).times(sign),
            gain=(each[len(names) + place] - analog).times(sign),
        )
        for place, (name, entry) in enumerate(mixed.layers.items())
    )
    return Sensitivity(
        setting=mixed.setting(device, t_s),
        quantity=mixed.metric.quantity,
        data=samples.name,
        n_samples=len(samples),
        digital=digital.mean,
        analog=analog,
        layers=layers,
    )
