"""Causes of a chip's drop: mapping and periphery, programming, drift, read noise, faults."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import pandas as pd

from driftproof._defaults import LAYER_CHIPS
from driftproof._devices import Device
from driftproof._errors import DriftproofError
from driftproof._keywords import checks_keywords
from driftproof._presets import Law
from driftproof._random_state import random_state_kept
from driftproof._record import Record
from driftproof.evaluation import Deployment, Evaluator, Trial, run
from driftproof.evaluation._checks import check_numbers
from driftproof.evaluation._executor import Executor
from driftproof.plans._measure import Measured, compared_with_digital, measured, ready
from driftproof.plans._per_chip import PerChip
from driftproof.times import parse_time

_SWITCHED_OFF: dict[str, tuple[Law, ...]] = {
    "mapping and periphery": ("levels", "programming", "drift", "read", "stuck"),
    "programming": ("drift", "read", "stuck"),
    "drift": ("read", "stuck"),
    "read noise": ("stuck",),
    "faults": (),
}
"""Cause → the laws that are still switched off when it has been switched on."""

CAUSES = tuple(_SWITCHED_OFF)


@dataclass(frozen=True, kw_only=True)
class Cause:
    """One cause of error, switched on after those before it.

    Attributes:
        name: Name of the cause, one of :data:`CAUSES`, or ``variation``.
        values: Metric with this cause and all causes before it.
        drop: Loss of the metric due to this cause. It is negative if the metric gets better.
    """

    name: str
    values: PerChip
    drop: PerChip


@dataclass(frozen=True, kw_only=True)
class Causes(Measured):
    """The drop against the digital network, cause by cause. The drops add up to the whole drop on every chip.

    Attributes:
        setting: Device, time and the rest of the hardware.
        quantity: Quantity of the metric.
        data: Name of the samples.
        n_samples: Number of samples.
        digital: Metric of the digital network.
        causes: Causes in the order in which they were switched on.
    """

    causes: tuple[Cause, ...]

    @property
    def total(self) -> PerChip:
        """Loss of the metric from the digital network to the device with all causes."""
        values, drops = self.causes[-1].values, [cause.drop.outcomes for cause in self.causes]
        lost = tuple(self.quantity.sign * (self.digital - value) for value in values.values)
        known = [drop for drop in drops if drop is not None]
        return PerChip(lost, sum(known[1:], start=known[0]) if len(known) == len(drops) else None)

    def table(self) -> pd.DataFrame:
        """Return one row per cause with the metric, the drop and its 95 % interval, and a last row for all causes."""
        rows = [*self.causes, Cause(name="all", values=self.causes[-1].values, drop=self.total)]
        table = pd.DataFrame({"cause": row.name, "value": row.values.mean, **row.drop.columns("drop")} for row in rows)
        return table.assign(chips=len(self.total), n_samples=self.n_samples)


def has_causes(device: Device) -> bool:
    """Whether a device's errors can be separated by cause: all its parts have laws. Measured chips have none."""
    return all(part.laws is not None for part in device.parts)


def devices_by_cause(device: Device) -> dict[str, Device]:
    """Return the devices in which one cause after the other is switched on. The last one is the device itself.

    - ``mapping and periphery``: Perfect devices. The errors come from scaling, clipping and tiles, and from converters
      and output noise of the periphery.
    - ``programming``: Programming noise and finite levels. A programming law that is a table in time (Wan, SONOS) is
      held at its earliest time.
    - ``drift``: All changes in time, with compensation: a power law, a relaxation (CMO, including the relaxation in the
      first second), or the rest of a table in time.
    - ``read noise``: Read noise of read-outs or of single MVMs.
    - ``faults``: Stuck devices.
    - ``variation``: Deviations that devices of a wafer, a die or a column have in common. Only a device that has them
      has this cause.

    Raises:
        DriftproofError: The device has measured chips, whose conductances contain all causes at once.

    >>> from driftproof._presets import load_preset
    >>> [made.name for made in devices_by_cause(load_preset("gaussian")).values()][:2]
    ['gaussian [without programming]', 'gaussian']
    """
    if not has_causes(device):
        raise DriftproofError(
            f"device {device.name}: measured conductances cannot be taken apart into causes; fit a preset to repeated "
            "measurements (driftproof presets fit), or leave the causes out"
        )
    same = device.without("variation")
    devices = {cause: same.without(*laws) for cause, laws in _SWITCHED_OFF.items()}
    return devices if same is device else devices | {"variation": device}


@checks_keywords
@random_state_kept()
def causes(
    evaluator: Evaluator,
    deployment: Deployment,
    t: str | float,
    *,
    chips: int = LAYER_CHIPS,
    record: Record | None = None,
    executor: Executor | None = None,
    progress: bool | None = None,
) -> Causes:
    """Switch on one cause of error after the other, on the same chips, and measure the drop due to each.

    All causes are measured at the same time. Their order is that of a chip's life. In another order a cause may cost
    more or less, because accuracy falls faster when the weights already have other errors. The drops add up exactly.

    Args:
        evaluator: Evaluator of the network, the data and the metric.
        deployment: The device (not measured chips) and all conditions.
        t: Time after the first read, such as ``1y``.
        chips: Number of chips, numbered from 0 (default: 10).
        record: Record of earlier measurements. New cells are added to it (default: a record in memory).
        executor: Executor that computes the trials, such as :class:`driftproof.evaluation.Processes` (default: one
            after the other, in this process).
        progress: Whether to show a progress bar (default: a bar on a terminal, else lines at intervals).

    Raises:
        DriftproofError: The device has measured chips, an argument is impossible, or an output is not finite.

    >>> from driftproof.data import digits
    >>> from driftproof.zoo import trained_digits_cnn
    >>> evaluator = Evaluator(trained_digits_cnn(), digits().head(200))
    >>> result = causes(evaluator, Deployment(device="pcm-nandakumar-2019"), "1y", chips=2)
    >>> [cause.name for cause in result.causes]
    ['mapping and periphery', 'programming', 'drift', 'read noise', 'faults']
    >>> abs(sum(cause.drop.mean for cause in result.causes) - result.total.mean) < 1e-9
    True
    """
    check_numbers(chips=chips)
    t_s, deployment = parse_time(t), evaluator.calibrated(deployment)
    devices = devices_by_cause(deployment.device)
    variants = [deployment.with_changes(device=device) for device in devices.values()]
    evaluator.check(deployment, chips, [t_s])
    trials = [[Trial(variant, chip, t_s) for variant in variants] for chip in range(chips)]
    with ready(evaluator, {variant.device.name: variant for variant in variants}, record) as held:
        digital, values = run(
            compared_with_digital(trials), evaluator, held, executor=executor, progress=progress, what="cause by cause"
        )
    sign, steps = evaluator.metric.quantity.sign, [digital, *values]
    each = [
        Cause(name=name, values=after, drop=(before - after).times(sign))
        for name, (before, after) in zip(devices, pairwise(steps), strict=True)
    ]
    return Causes(**measured(evaluator, deployment, t_s, digital.values[0]), causes=tuple(each))
