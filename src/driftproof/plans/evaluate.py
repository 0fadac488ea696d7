"""The evaluation: devices × chips × times, each cell in the record as soon as it is finished."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from driftproof.compensation import Compensation
from driftproof.data import Data, as_data
from driftproof.defaults import (
    BACKEND,
    BATCH_SIZE,
    CHIPS,
    COMPENSATION,
    METRIC,
    PERIPHERY,
    SCALE,
    SEED,
    TILE,
    TIMES,
    TORCH_DEVICE,
)
from driftproof.devices import Device
from driftproof.errors import DriftproofError
from driftproof.evaluation import (
    NETWORK_ITSELF,
    Deployment,
    Evaluator,
    Function,
    Metric,
    Plan,
    Recalibration,
    Trial,
    ask,
    run,
)
from driftproof.evaluation.backends import BackendName
from driftproof.evaluation.checks import check_devices, check_numbers, check_seed, check_validity
from driftproof.evaluation.identity import preset_entries, show
from driftproof.keywords import checks_keywords
from driftproof.mapping import MappingOptions, Scale, TileSize, Where
from driftproof.periphery import Periphery
from driftproof.presets import load_preset
from driftproof.record import IDEAL_ANALOG, Record
from driftproof.times import parse_times


@checks_keywords
def evaluate(
    model: nn.Module,
    data: Data | object,
    *,
    presets: Sequence[Device | str] | Device | str,
    times: str | Iterable[str | float] = TIMES,
    chips: int = CHIPS,
    metric: str | Metric | Function = METRIC,
    backend: BackendName = BACKEND,
    compensation: str | Compensation = COMPENSATION,
    periphery: Periphery | str | Path = PERIPHERY,
    calibration: Any = None,
    recalibrate: Recalibration | None = None,
    tile: TileSize | None = None,
    where: Where | None = None,
    scale: Scale = SCALE,
    clip: float | None = None,
    seed: int = SEED,
    device: str = TORCH_DEVICE,
    batch_size: int = BATCH_SIZE,
    limit: int | None = None,
    out: str | Path | None = None,
    name: str = "",
    label: str = "",
    all_analog: bool = False,
    within_validity: bool = False,
    strict: bool = False,
    progress: bool | None = None,
) -> Record:
    """Measure what a network does on analog devices over chips and inference times.

    This is the form with keywords of :func:`driftproof.plans.evaluate_deployments`, which takes an
    :class:`driftproof.evaluation.Evaluator` and :class:`driftproof.evaluation.Deployment` objects.

    Args:
        model: a trained network; it is not changed.
        data: :class:`driftproof.data.Data`, a pair (inputs [N, …], targets [N, …]) where inputs may be a tuple or a
            dict of tensors, a dict with ``labels``, a dataset or a loader.
        presets: devices, or the texts that :func:`driftproof.load_device` takes.
        times: seconds after programming, or texts such as ``1d``.
        chips: how many chips, numbered from 0: the unit of replication. (Of a measured device at most those measured.)
        metric: ``accuracy``, ``top5``, ``token-accuracy``, ``f1``, ``perplexity``, ``mse``, ``file.py:callable``, or a
            function of all outputs and targets; one with a direction or a unit is made by :meth:`Metric.of`.
        backend: ``folded`` (fast) or ``tiles`` (aihwkit).
        compensation: of the drift: ``none``, ``tile``, ``column`` or ``exact``, with parameters after a colon, or one
            of the classes in :mod:`driftproof.compensation`.
        periphery: DAC, ADC and noise around the arrays: ``ideal``, ``standard``, a file, or a
            :class:`driftproof.periphery.Periphery`. The row ``ideal-analog`` has it too.
        calibration: data whose inputs static input ranges are measured on; the first of ``data`` unless given, with a
            warning.
        recalibrate: when BatchNorm statistics are re-estimated on each chip, and on which inputs; never unless given.
        tile: largest crossbar, 512 × 512 unless given.
        where: which layers go on tiles: names, patterns, ``inner`` (all but the first and the last), or a function of
            name and module; all unless given.
        scale: each tile's ``column`` relative to its own largest weight, or the whole ``layer`` to its largest.
        clip: percentile of |w| that takes the largest weight's place.
        seed: of all device randomness.
        device: ``cpu`` or ``cuda``.
        batch_size: samples per forward pass.
        limit: use the first so many samples only.
        out: folder whose ``record.sqlite`` is continued or begun; without it the record lives in memory.
        name: the network's name in the record.
        label: what tells this evaluation from others in one report.
        all_analog: refuse a network of which a weight that multiplies stays digital unasked.
        within_validity: refuse times outside a device's range of validity, instead of marking them.
        strict: both of these.
        progress: show a progress bar; by default when the terminal is interactive.

    Returns:
        The record: with rows ``digital`` (the network itself), ``ideal-analog`` (perfect devices), and every cell.

    Raises:
        DriftproofError: for impossible requests, a folder with another network's record, or NaN outputs.

    >>> from driftproof.zoo import trained_digits_cnn
    >>> from driftproof.data import digits
    >>> record = evaluate(trained_digits_cnn(), digits(), presets=["ideal"], times="1s", chips=1)
    >>> sorted(set(record.cells()["preset"]))
    ['digital', 'ideal', 'ideal-analog']
    """
    check_seed(seed)
    evaluator = Evaluator(
        model,
        data if limit is None else as_data(data).head(limit),
        metric,
        backend=backend,
        batch_size=batch_size,
        torch_device=device,
        name=name,
    )
    options = MappingOptions(
        tile=tile or TileSize(*TILE), where=where, scale=scale, clip=clip, all_analog=all_analog or strict
    )
    deployments = [
        Deployment(
            device=preset,
            mapping=options,
            compensation=compensation,
            periphery=periphery,
            calibration=calibration,
            recalibration=recalibrate,
            seed=seed,
        )
        for preset in check_devices(presets)
    ]
    return evaluate_deployments(
        evaluator,
        deployments,
        times=times,
        chips=chips,
        out=out,
        label=label,
        within_validity=within_validity or strict,
        progress=progress,
    )


@checks_keywords
def evaluate_deployments(
    evaluator: Evaluator,
    deployments: Sequence[Deployment],
    *,
    times: str | Iterable[str | float] = TIMES,
    chips: int = CHIPS,
    out: str | Path | None = None,
    label: str = "",
    within_validity: bool = False,
    progress: bool | None = None,
) -> Record:
    """Measure a network on chips of several deployments at several times.

    Args:
        evaluator: of the network, the data and the metric.
        deployments: that differ in their devices' names, or in other conditions.
        times: after programming.
        chips: how many of each, numbered from 0; of a measured device at most those measured.
        out: folder whose ``record.sqlite`` is continued or begun; in memory unless given.
        label: what tells these configurations from others in one report.
        within_validity: refuse times outside a device's range of validity, instead of marking them.
        progress: show a progress bar; by default when the terminal is interactive.

    Returns:
        The record, which others may write to from now on.

    Raises:
        DriftproofError: impossible requests; another subject's record in the folder; outputs that are not finite.

    >>> from driftproof.data import digits
    >>> from driftproof.zoo import trained_digits_cnn
    >>> evaluator = Evaluator(trained_digits_cnn(), digits().head(100))
    >>> deployments = [Deployment(device="gaussian:0.1", seed=seed) for seed in range(2)]
    >>> len(evaluate_deployments(evaluator, deployments, times="1s", chips=3).cells())
    10
    """
    times_s = parse_times(times)
    check_numbers(chips=chips)
    if not deployments:
        raise DriftproofError("no deployments: give at least one")
    if within_validity:
        check_validity([deployment.device for deployment in deployments], times_s)
    deployments = [evaluator.calibrated(deployment) for deployment in deployments]
    for deployment in deployments:
        evaluator.check(deployment)
    # takes time: before the record is touched
    entries = [entry for deployment in deployments for entry in preset_entries(deployment.device)]
    record = Record.create_or_open(out)
    try:
        record.claim(evaluator.subject)
        for entry in entries:
            record.add_preset(entry)
        for deployment in deployments:
            rows = {IDEAL_ANALOG: on_perfect_devices(deployment), deployment.device.name: deployment}
            show(record, evaluator, deployment, rows=rows, label=label)
        run(grid(deployments, times_s, chips), evaluator, record, progress=progress)
    except BaseException:
        record.close()
        raise
    record.stop_writing()  # so that the same folder can be continued while this record is still read
    return record


def grid(deployments: Sequence[Deployment], times_s: Sequence[float], chips: int) -> Plan[None]:
    """Ask for every cell, chip after chip, so that a stopped run has as many chips of every device."""
    perfect = [Trial(on_perfect_devices(deployment)) for deployment in deployments]
    cells = [
        Trial(deployment, chip, t_s)
        for chip in range(chips)
        for deployment in deployments
        if deployment.device.chips is None or chip < deployment.device.chips
        for t_s in times_s
    ]
    yield ask([NETWORK_ITSELF, *dict.fromkeys(perfect), *cells])


def on_perfect_devices(deployment: Deployment) -> Deployment:
    """Return a deployment with perfect devices: what is left is what mapping and periphery do."""
    return deployment.with_changes(device=load_preset("ideal"), compensation="none", seed=0)
