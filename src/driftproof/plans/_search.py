"""Mixed deployment: the fewest digital layers that keep a target. Other samples and chips report the result."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from driftproof._defaults import CHIPS, LAYER_CHIPS
from driftproof._errors import DriftproofError, warn
from driftproof._keywords import checks_keywords
from driftproof._random_state import random_state_kept
from driftproof._record import Record
from driftproof.data._parts import shared_samples
from driftproof.evaluation import Deployment, Evaluator, Trial, run
from driftproof.evaluation._checks import check_numbers
from driftproof.evaluation._executor import Executor, Plan
from driftproof.plans._greedy import Layers, Search, Step, greedy
from driftproof.plans._measure import (
    analog_layers,
    analog_share,
    configurations,
    digital_value,
    per_chip,
    ready,
    setting_of,
)
from driftproof.plans._mixed_deployment import ROUNDING, MixedDeployment, Point
from driftproof.plans._per_chip import PerChip
from driftproof.times import parse_time


@checks_keywords
@random_state_kept()
def choose_digital_layers(
    evaluator: Evaluator,
    report_evaluator: Evaluator,
    deployment: Deployment,
    t: str | float,
    *,
    target: float | str,
    chips: int = LAYER_CHIPS,
    report_chips: int = CHIPS,
    margin: float = 0.0,
    breadth: int | None = None,
    record: Record | None = None,
    report_record: Record | None = None,
    executor: Executor | None = None,
    progress: bool | None = None,
) -> MixedDeployment:
    """Search for the layers that must be digital to keep a target, and report the result on other chips and samples.

    The search is :func:`driftproof.plans._greedy.greedy`. It makes layers digital by their gain per multiply-accumulate
    and then tries to make single layers analog again. It compares means over ``chips`` chips on the evaluator's data
    and stops when the mean reaches ``target + margin``. The best of many candidates looks better on the chips and the
    samples that it was chosen on than on others. Therefore the search uses chips 0 to n − 1 and its evaluator's data,
    and the report uses chips n to n + m − 1 and the other evaluator's data, for every point of the curve from all
    analog to all digital. Do not search on training samples, because the network knows them.

    With L layers the search takes at most n L (L + 1)/2 passes over its data (fewer if it reaches the target early or
    with ``breadth``), and at most as many to make layers analog again. The rest of the curve takes n L passes, and the
    report takes m (L + 1) passes over the other data.

    Args:
        evaluator: Evaluator of the network, the samples to choose on, and the metric.
        report_evaluator: Evaluator on other samples, to report on: ``evaluator.on(data)``.
        deployment: The device of the analog layers and all conditions.
        t: Time after the first read, such as ``1y``.
        target: Metric that the mean over chips must keep, in its unit (accuracies in percent, such as 90; 1 % and below
            as a text with the sign, such as ``"0.5%"``).
        chips: Number n of chips to choose on (default: 10).
        report_chips: Number m of other chips to report on (default: 25).
        margin: Amount by which the search must exceed the target, because the result is worse on other chips and
            samples (default: 0).
        breadth: Number of layers to measure in each round after the first (default: all).
        record: Record of earlier measurements of the search. New cells are added to it (default: a record in memory).
        report_record: Record of the report, which has other data (default: a record in memory).
        executor: Executor that computes the trials, such as :class:`driftproof.evaluation.Processes` (default: one
            after the other, in this process).
        progress: Whether to show a progress bar (default: a bar on a terminal, else lines at intervals).

    Raises:
        DriftproofError: The network does not reach the target with all layers digital, or an argument is impossible.

    >>> from driftproof.data import digits
    >>> from driftproof.data._parts import halves
    >>> from driftproof.zoo import trained_digits_cnn
    >>> first, second = halves(digits().head(400))
    >>> evaluator = Evaluator(trained_digits_cnn(), second)
    >>> result = choose_digital_layers(
    ...     evaluator, evaluator.on(first), Deployment(device="gaussian:0.3"), "1s", target=90, chips=2, report_chips=2
    ... )
    >>> result.points[0].digital, round(result.points[-1].analog_macs)
    ((), 0)
    """
    check_numbers(chips=chips, report_chips=report_chips, breadth=1 if breadth is None else breadth)
    target = evaluator.metric.quantity.threshold(target, "target")
    if not (np.isfinite(margin) and margin >= 0):
        raise DriftproofError(f"margin {margin}: wanted a number that is not negative")
    t_s, deployment = parse_time(t), evaluator.calibrated(deployment)
    evaluator.check(deployment, chips + report_chips, [t_s])
    quantity, layers = evaluator.metric.quantity, analog_layers(evaluator, deployment)
    _warn_of_shared(evaluator, report_evaluator)
    macs = {name: entry.macs_per_input or 0 for name, entry in layers.items()}
    search = greedy(macs, quantity.sign * target + margin - ROUNDING, breadth=breadth)
    shown, trials = {deployment.device.name: deployment}, partial(configurations, deployment, t_s, layers=layers)
    with ready(evaluator, shown, record) as held, ready(report_evaluator, shown, report_record) as report_held:
        reachable = reached_by_digital(evaluator, held, target, margin, executor)
        _warn_of_no_room(evaluator, reachable, target)
        reported = _reported(report_evaluator, report_held, target, executor)
        plan = _searched(search, partial(trials, range(chips)), quantity.sign)
        path, selected = run(plan, evaluator, held, executor=executor, progress=progress, what="searching")
        report = per_chip(trials(range(chips, chips + report_chips), [step.digital for step in path]), paired=False)
        values = run(report, report_evaluator, report_held, executor=executor, progress=progress, what="reporting")
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
                report=after,
            )
            for step, after in zip(path, values, strict=True)
        ),
        searched=len(selected),
    )


def _searched(
    search: Search[list[Step]], trials: Callable[[Sequence[Layers]], list[list[Trial]]], sign: int
) -> Plan[tuple[list[Step], dict[Layers, PerChip]]]:
    """Send a search the means over chips. Return its path, and the values of every set that it asked for."""
    selected: dict[Layers, PerChip] = {}
    try:
        sets = next(search)
        while True:
            values = yield from per_chip(trials(sets), paired=False)
            selected.update(zip(sets, values, strict=True))
            sets = search.send([sign * value.mean for value in values])
    except StopIteration as stop:
        return stop.value, selected


def reached_by_digital(
    evaluator: Evaluator, record: Record, target: float, margin: float, executor: Executor | None
) -> float:
    """Return the metric of the digital network. Raise DriftproofError if it is below the target with the margin."""
    value = run(digital_value(), evaluator, record, executor=executor, progress=False)
    quantity = evaluator.metric.quantity
    if quantity.sign * value < quantity.sign * target + margin - ROUNDING:
        wanted = f"{quantity.said(target)}{f' with a margin of {margin:g}' if margin else ''}"
        raise DriftproofError(
            f"the target of {wanted} cannot be reached: with all layers digital the network itself has "
            f"{quantity.said(value)} on {evaluator.data.name}; ask for less, or train a better network"
        )
    return value


def _reported(evaluator: Evaluator, record: Record, target: float, executor: Executor | None) -> float:
    """Return the metric of the digital network on the samples of the report. Warn if it is below the target."""
    value = run(digital_value(), evaluator, record, executor=executor, progress=False)
    quantity = evaluator.metric.quantity
    if quantity.sign * (value - target) < -ROUNDING:
        warn(
            f"the network itself has {quantity.said(value)} on {evaluator.data.name}, which is reported on: the "
            f"target of {quantity.said(target)} cannot be reached there, whatever is digital"
        )
    return value


def _warn_of_no_room(evaluator: Evaluator, digital: float, target: float) -> None:
    """Warn of a target that the digital network reaches only just, so that no analog layer may cost anything."""
    quantity = evaluator.metric.quantity
    if quantity.sign * (digital - target) <= ROUNDING:
        warn(
            f"the target of {quantity.said(target)} is what the digital network itself has on {evaluator.data.name}: "
            "analog layers may cost nothing, and the search will make almost every layer digital; ask for less"
        )


def _warn_of_shared(evaluator: Evaluator, report_evaluator: Evaluator) -> None:
    if shared := shared_samples(evaluator.data, report_evaluator.data):
        warn(
            f"{shared:,} of the {len(report_evaluator.data):,} samples that are reported on are among those that "
            "layers are chosen on; give others, for a result that holds for samples which the choice has not seen"
        )
