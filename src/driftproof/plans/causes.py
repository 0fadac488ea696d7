"""What the drop of a chip is made of: mapping and periphery, programming, drift, read noise, faults."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import pandas as pd

from driftproof.defaults import LAYER_CHIPS
from driftproof.devices import Device
from driftproof.errors import DriftproofError
from driftproof.evaluation import Deployment, Evaluator, Trial, run
from driftproof.evaluation.checks import check_numbers
from driftproof.keywords import checks_keywords
from driftproof.plans.measure import Setting, beside_digital, ready, setting_of
from driftproof.plans.per_chip import PerChip
from driftproof.presets import Law
from driftproof.record import Quantity, Record
from driftproof.times import parse_time

_SWITCHED_OFF: dict[str, tuple[Law, ...]] = {
    "mapping and periphery": ("levels", "programming", "drift", "read", "stuck"),
    "programming": ("drift", "read", "stuck"),
    "drift": ("read", "stuck"),
    "read noise": ("stuck",),
    "faults": (),
}
"""Cause → what is still switched off when it has been switched on."""

CAUSES = tuple(_SWITCHED_OFF)


@dataclass(frozen=True, kw_only=True)
class Cause:
    """One cause, switched on after those before it.

    Attributes:
        name: of :data:`CAUSES`.
        values: the metric with this cause and all before it.
        drop: by how much that is worse than without it; negative if it is better.
    """

    name: str
    values: PerChip
    drop: PerChip


@dataclass(frozen=True, kw_only=True)
class Causes:
    """The drop against the digital network, cause by cause; the drops add up to the whole on every chip.

    Attributes:
        setting: device, time and what else it was measured on.
        quantity: of the metric.
        data: name of the samples.
        n_samples: how many.
        digital: the metric of the network itself.
        causes: in the order in which they were switched on.
    """

    setting: Setting
    quantity: Quantity
    data: str
    n_samples: int
    digital: float
    causes: tuple[Cause, ...]

    @property
    def total(self) -> PerChip:
        """By how much the device is worse than the network itself."""
        values = self.causes[-1].values
        return PerChip(tuple(self.quantity.sign * (self.digital - value) for value in values.values))

    def table(self) -> pd.DataFrame:
        """Return one row per cause: the metric from there on and the drop with its 95 % interval; then the whole."""
        rows: list[dict[str, Any]] = [
            {"cause": cause.name, "value": cause.values.mean, **cause.drop.columns("drop")} for cause in self.causes
        ]
        rows.append({"cause": "all", "value": self.causes[-1].values.mean, **self.total.columns("drop")})
        chips = len(self.total)
        return pd.DataFrame([row | {"chips": chips, "n_samples": self.n_samples} for row in rows])


def has_causes(device: Device) -> bool:
    """Whether a device's errors can be taken apart: all of it has laws, which measured chips have not."""
    return all(part.laws is not None for part in device.parts)


def devices_by_cause(device: Device) -> dict[str, Device]:
    """Return the devices in which one cause after the other is switched on; the last one is the device itself.

    - ``mapping and periphery``: perfect devices. What is left is what scaling, clipping and tiles do to the weights,
      and the converters and output noise around the arrays.
    - ``programming``: programming errors and finite levels. A programming law that is a table in time (Wan, SONOS) is
      held at its earliest time.
    - ``drift``: all that changes in time, compensated as always: a power law, a relaxation (CMO; with what relaxes in
      the first second), or the rest of a table in time.
    - ``read noise``: of read-outs, or of single products.
    - ``faults``: stuck devices.

    Raises:
        DriftproofError: for measured chips, whose conductances have all of it in them.

    >>> from driftproof.presets import load_preset
    >>> [made.name for made in devices_by_cause(load_preset("gaussian")).values()][:2]
    ['gaussian [without programming]', 'gaussian']
    """
    if not has_causes(device):
        raise DriftproofError(
            f"device {device.name}: measured conductances cannot be taken apart into causes; fit a preset to repeated "
            "measurements (driftproof presets fit), or leave the causes out"
        )
    return {cause: device.without(*laws) for cause, laws in _SWITCHED_OFF.items()}


@checks_keywords
def causes(
    evaluator: Evaluator,
    deployment: Deployment,
    t: str | float,
    *,
    chips: int = LAYER_CHIPS,
    record: Record | None = None,
    progress: bool | None = None,
) -> Causes:
    """Switch on one cause of error after the other, on the same chips, and measure what each costs.

    Everything is measured at the same time after programming. The order is that of a chip's life; in another order a
    cause may cost more or less, since accuracy falls faster the more is wrong already. The drops add up exactly.

    Args:
        evaluator: of the network, the data and the metric.
        deployment: the device (not measured chips) and all conditions.
        t: time after programming, such as ``1y``.
        chips: how many, numbered from 0.
        record: what was measured before, and where new cells go; in memory unless given.
        progress: show a progress bar; by default when the terminal is interactive.

    Raises:
        DriftproofError: measured chips; impossible requests; outputs that are not finite.

    >>> from driftproof.data import digits
    >>> from driftproof.zoo import trained_digits_cnn
    >>> evaluator = Evaluator(trained_digits_cnn(), digits().head(200))
    >>> found = causes(evaluator, Deployment(device="pcm-nandakumar-2019"), "1y", chips=2)
    >>> [cause.name for cause in found.causes]
    ['mapping and periphery', 'programming', 'drift', 'read noise', 'faults']
    >>> abs(sum(cause.drop.mean for cause in found.causes) - found.total.mean) < 1e-9
    True
    """
    check_numbers(chips=chips)
    t_s, deployment = parse_time(t), evaluator.calibrated(deployment)
    variants = [deployment.with_changes(device=device) for device in devices_by_cause(deployment.device).values()]
    evaluator.check(deployment, chips)
    trials = [[Trial(variant, chip, t_s) for variant in variants] for chip in range(chips)]
    with ready(evaluator, {variant.device.name: variant for variant in variants}, record) as held:
        digital, values = run(beside_digital(trials), evaluator, held, progress=progress, what="cause by cause")
    quantity, steps = evaluator.metric.quantity, [PerChip((digital,) * chips), *values]
    return Causes(
        setting=setting_of(deployment, t_s),
        quantity=quantity,
        data=evaluator.data.name,
        n_samples=len(evaluator.data),
        digital=digital,
        causes=tuple(
            Cause(name=name, values=after, drop=(before - after).times(quantity.sign))
            for name, (before, after) in zip(CAUSES, pairwise(steps), strict=True)
        ),
    )
