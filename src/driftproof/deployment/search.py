"""Mixed deployment: the fewest digital layers that keep a target, chosen on other samples and chips than reported."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
from torch import nn

from driftproof.data import Data, as_data, hold, shared_samples
from driftproof.deployment.cells import Cells
from driftproof.deployment.conditions import Conditions
from driftproof.deployment.greedy import Layers, greedy
from driftproof.deployment.mixed_deployment import ROUNDING, MixedDeployment, Point
from driftproof.deployment.mixed_network import MixedNetwork
from driftproof.deployment.per_chip import PerChip
from driftproof.deployment.sensitivity import DEFAULT_CHIPS
from driftproof.device_choice import Device, load_device
from driftproof.errors import DriftproofError, DriftproofWarning
from driftproof.evaluation import DEFAULT_CHIPS as DEFAULT_REPORT_CHIPS
from driftproof.evaluation.checks import check_numbers
from driftproof.times import parse_time


def choose_digital_layers(
    model: nn.Module,
    data: Data | object,
    report_data: Data | object,
    preset: Device | str,
    t: str | float,
    *,
    target: float,
    chips: int = DEFAULT_CHIPS,
    report_chips: int = DEFAULT_REPORT_CHIPS,
    margin: float = 0.0,
    breadth: int | None = None,
    conditions: Conditions | None = None,
    cells: Cells | None = None,
) -> MixedDeployment:
    """Search for the layers that must be digital, and report what that is worth on chips and samples not searched on.

    The search is :func:`driftproof.deployment.greedy.greedy`: gain per multiply-accumulate, then layers given back, on
    the mean over ``chips`` chips on ``data``; it stops when that mean reaches ``target + margin``. Whatever is chosen
    as the best of many looks better where it was chosen than elsewhere, and that holds for chips as for samples: the
    search has chips 0 to n − 1 and ``data``, the report chips n to n + m − 1 and ``report_data``, for every point of
    the curve from all analog to all digital. Training samples are bad data for a search, for the network knows them.

    With L layers the search takes at most n L (L + 1)/2 passes over ``data`` (fewer if the target is reached early or
    with ``breadth``), giving back at most as many, the rest of the curve n L, and the report m (L + 1) over
    ``report_data``.

    Args:
        model: a trained network; it is not changed.
        data: to choose on, of any kind that :func:`driftproof.evaluate` takes.
        report_data: other samples, to report on.
        preset: the device of the analog layers.
        t: time after programming, such as ``1y``.
        target: the metric to be kept, in its unit (accuracies in percent), by the mean over chips.
        chips: how many to choose on: n.
        report_chips: how many others to report on: m.
        margin: by how much the search is to be better than the target, against what is lost elsewhere.
        breadth: measure only so many layers in each round after the first; None for all.
        conditions: compensation, metric, periphery, tiles, seed.
        cells: what was measured before, and where new values go.

    Raises:
        DriftproofError: a target beyond what the network does with all layers digital; impossible requests.

    >>> from driftproof.data import digits
    >>> from driftproof.deployment import halves
    >>> from driftproof.zoo import trained_digits_cnn
    >>> first, second = halves(digits().head(400))
    >>> found = choose_digital_layers(
    ...     trained_digits_cnn(), second, first, "gaussian:0.3", "1s", target=90, chips=2, report_chips=2
    ... )
    >>> found.points[0].digital, round(found.points[-1].analog_macs)
    ((), 0)
    """
    check_numbers(chips=chips, report_chips=report_chips, breadth=1 if breadth is None else breadth)
    if not (np.isfinite(target) and np.isfinite(margin) and margin >= 0):
        raise DriftproofError(f"target {target}, margin {margin}: wanted numbers, and a margin that is not negative")
    choose_on, report_on = hold(as_data(data)), hold(as_data(report_data))
    device, t_s = load_device(preset) if isinstance(preset, str) else preset, parse_time(t)
    mixed = MixedNetwork(model, choose_on, conditions, cells)
    mixed.check_device(device, range(chips + report_chips))
    quantity, names = mixed.metric.quantity, list(mixed.layers)
    if shared := shared_samples(choose_on, report_on):
        warnings.warn(
            f"{shared:,} of the {len(report_on):,} samples that are reported on are among those that layers are chosen "
            "on; give others, for a result that holds for samples which the choice has not seen",
            DriftproofWarning,
            stacklevel=2,
        )
    reachable = mixed.digital(choose_on)
    aim = quantity.sign * target + margin - ROUNDING
    if quantity.sign * reachable < aim:
        wanted = f"{quantity.said(target)}{f' with a margin of {margin:g}' if margin else ''}"
        raise DriftproofError(
            f"the target of {wanted} cannot be reached: with all layers digital the network itself has "
            f"{quantity.said(reachable)} on {choose_on.name}; ask for less, or train a better network"
        )
    reported = mixed.digital(report_on)
    if quantity.sign * (reported - target) < -ROUNDING:
        warnings.warn(
            f"the network itself has {quantity.said(reported)} on {report_on.name}, which is reported on: the target "
            f"of {quantity.said(target)} cannot be reached there, whatever is digital",
            DriftproofWarning,
            stacklevel=2,
        )
    selected: dict[Layers, PerChip] = {}

    def worth(sets: Sequence[Layers]) -> list[float]:
        what = f"searching, {min(map(len, sets))} digital"
        values = mixed.measure(device, t_s, choose_on, chips=range(chips), configurations=sets, what=what)
        selected.update((digital, PerChip.of(column)) for digital, column in zip(sets, values.T, strict=True))
        return [quantity.sign * selected[digital].mean for digital in sets]

    macs = {name: entry.macs_per_input or 0 for name, entry in mixed.layers.items()}
    path = greedy(macs, worth, aim, breadth=breadth)
    sets = [step.digital for step in path]
    others = range(chips, chips + report_chips)
    values = mixed.measure(device, t_s, report_on, chips=others, configurations=sets, what="reporting")
    points = tuple(
        Point(
            digital=step.digital,
            kind=step.kind,
            layer=step.layer,
            analog_macs=mixed.analog_share(step.digital),
            analog_weights=mixed.analog_share(step.digital, "weights"),
            selection=selected[frozenset(step.digital)],
            report=PerChip.of(column),
        )
        for step, column in zip(path, values.T, strict=True)
    )
    return MixedDeployment(
        setting=mixed.setting(device, t_s),
        quantity=quantity,
        target=target,
        margin=margin,
        choose_data=choose_on.name,
        choose_samples=len(choose_on),
        report_data=report_on.name,
        report_samples=len(report_on),
        choose_digital=reachable,
        report_digital=reported,
        layers=tuple(names),
        points=points,
        searched=len(selected),
    )
