"""Mixed deployment: the fewest digital layers that keep a target, chosen on other samples and chips than reported."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from driftproof.data import shared_samples
from driftproof.defaults import CHIPS, LAYER_CHIPS
from driftproof.errors import DriftproofError, warn
from driftproof.evaluation import Deployment, Evaluator, Plan, Trial, run
from driftproof.evaluation.checks import check_numbers
from driftproof.keywords import checks_keywords
from driftproof.plans.greedy import Layers, Search, Step, greedy
from driftproof.plans.measure import (
    analog_layers,
    analog_share,
    configurations,
    digital_value,
    per_chip,
    ready,
    setting_of,
)
from driftproof.plans.mixed_deployment import ROUNDING, MixedDeployment, Point
from driftproof.plans.per_chip import PerChip
from driftproof.record import Record
from driftproof.times import parse_time


@checks_keywords
def choose_digital_layers(
    evaluator: Evaluator,
    report_evaluator: Evaluator,
    deployment: Deployment,
    t: str | float,
    *,
    target: float,
    chips: int = LAYER_CHIPS,
    report_chips: int = CHIPS,
    margin: float = 0.0,
    breadth: int | None = None,
    record: Record | None = None,
    report_record: Record | None = None,
    progress: bool | None = None,
) -> MixedDeployment:
    """Search for the layers that must be digital, and report what that is worth on chips and samples not searched on.

    The search is :func:`driftproof.plans.greedy.greedy`: gain per multiply-accumulate, then layers given back, on the
    mean over ``chips`` chips on the evaluator's data; it stops when that mean reaches ``target + margin``. Whatever is
    chosen as the best of many looks better where it was chosen than elsewhere, and that holds for chips as for samples:
    the search has chips 0 to n − 1 and its evaluator's data, the report chips n to n + m − 1 and the other evaluator's,
    for every point of the curve from all analog to all digital. Training samples are bad data for a search, for the
    network knows them.

    With L layers the search takes at most n L (L + 1)/2 passes over its data (fewer if the target is reached early or
    with ``breadth``), giving back at most as many, the rest of the curve n L, and the report m (L + 1) over the other
    data.

    Args:
        evaluator: of the network, the samples to choose on, and the metric.
        report_evaluator: the same on other samples, to report on: ``evaluator.on(data)``.
        deployment: the device of the analog layers and all conditions.
        t: time after programming, such as ``1y``.
        target: the metric to be kept, in its unit (accuracies in percent), by the mean over chips.
        chips: how many to choose on: n.
        report_chips: how many others to report on: m.
        margin: by how much the search is to be better than the target, against what is lost elsewhere.
        breadth: measure only so many layers in each round after the first; None for all.
        record: what was measured of the search before, and where new cells go; in memory unless given.
        report_record: the same of the report, which is about other data.
        progress: show a progress bar; by default when the terminal is interactive.

    Raises:
        DriftproofError: a target beyond what the network does with all layers digital; impossible requests.

    >>> from driftproof.data import digits, halves
    >>> from driftproof.zoo import trained_digits_cnn
    >>> first, second = halves(digits().head(400))
    >>> evaluator = Evaluator(trained_digits_cnn(), second)
    >>> found = choose_digital_layers(
    ...     evaluator, evaluator.on(first), Deployment(device="gaussian:0.3"), "1s", target=90, chips=2, report_chips=2
    ... )
    >>> found.points[0].digital, round(found.points[-1].analog_macs)
    ((), 0)
    """
    check_numbers(chips=chips, report_chips=report_chips, breadth=1 if breadth is None else breadth)
    if not (np.isfinite(target) and np.isfinite(margin) and margin >= 0):
        raise DriftproofError(f"target {target}, margin {margin}: wanted numbers, and a margin that is not negative")
    t_s, deployment = parse_time(t), evaluator.calibrated(deployment)
    evaluator.check(deployment, chips + report_chips)
    quantity, layers = evaluator.metric.quantity, analog_layers(evaluator, deployment)
    _warn_of_shared(evaluator, report_evaluator)
    macs = {name: entry.macs_per_input or 0 for name, entry in layers.items()}
    search = greedy(macs, quantity.sign * target + margin - ROUNDING, breadth=breadth)
    chosen_on, reported_on = range(chips), range(chips, chips + report_chips)
    shown = {deployment.device.name: deployment}
    with ready(evaluator, shown, record) as held, ready(report_evaluator, shown, report_record) as report_held:
        reachable = run(digital_value(), evaluator, held, progress=False)
        _check_reachable(evaluator, reachable, target, margin)
        reported = run(digital_value(), report_evaluator, report_held, progress=False)
        _warn_of_report(report_evaluator, reported, target)
        plan = _searched(search, lambda sets: configurations(deployment, t_s, chosen_on, sets, layers), quantity.sign)
        path, selected = run(plan, evaluator, held, progress=progress, what="searching")
        trials = configurations(deployment, t_s, reported_on, [step.digital for step in path], layers)
        values = run(per_chip(trials), report_evaluator, report_held, progress=progress, what="reporting")
    return MixedDeployment(
        setting=setting_of(deployment, t_s),
        quantity=quantity,
        target=target,
        margin=margin,
        choose_data=evaluator.data.name,
        choose_samples=len(evaluator.data),
        report_data=report_evaluator.data.name,
        report_samples=len(report_evaluator.data),
        choose_digital=reachable,
        report_digital=reported,
        layers=tuple(layers),
        points=tuple(
            Point(
                digital=step.digital,
                kind=step.kind,
                layer=step.layer,
                analog_macs=analog_share(evaluator, deployment, step.digital),
                analog_weights=analog_share(evaluator, deployment, step.digital, "weights"),
                selection=selected[frozenset(step.digital)],
                report=report,
            )
            for step, report in zip(path, values, strict=True)
        ),
        searched=len(selected),
    )


def _searched(
    search: Search[list[Step]], trials: Callable[[Sequence[Layers]], list[list[Trial]]], sign: int
) -> Plan[tuple[list[Step], dict[Layers, PerChip]]]:
    """Feed a search with means over chips; return its path, and the values of every set that it asked for."""
    selected: dict[Layers, PerChip] = {}
    try:
        sets = next(search)
        while True:
            values = yield from per_chip(trials(sets))
            selected.update(zip(sets, values, strict=True))
            sets = search.send([sign * value.mean for value in values])
    except StopIteration as stop:
        return stop.value, selected


def _check_reachable(evaluator: Evaluator, reachable: float, target: float, margin: float) -> None:
    quantity = evaluator.metric.quantity
    if quantity.sign * reachable < quantity.sign * target + margin - ROUNDING:
        wanted = f"{quantity.said(target)}{f' with a margin of {margin:g}' if margin else ''}"
        raise DriftproofError(
            f"the target of {wanted} cannot be reached: with all layers digital the network itself has "
            f"{quantity.said(reachable)} on {evaluator.data.name}; ask for less, or train a better network"
        )


def _warn_of_report(evaluator: Evaluator, reported: float, target: float) -> None:
    quantity = evaluator.metric.quantity
    if quantity.sign * (reported - target) < -ROUNDING:
        warn(
            f"the network itself has {quantity.said(reported)} on {evaluator.data.name}, which is reported on: the "
            f"target of {quantity.said(target)} cannot be reached there, whatever is digital"
        )


def _warn_of_shared(evaluator: Evaluator, report_evaluator: Evaluator) -> None:
    if shared := shared_samples(evaluator.data, report_evaluator.data):
        warn(
            f"{shared:,} of the {len(report_evaluator.data):,} samples that are reported on are among those that "
            "layers are chosen on; give others, for a result that holds for samples which the choice has not seen"
        )
