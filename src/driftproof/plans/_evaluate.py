"""The evaluation over devices × chips × times. Each cell is in the record as soon as it is finished."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

import driftproof._defaults as defaults
from driftproof._compensation import Compensation
from driftproof._devices import Device, ReadOuts
from driftproof._errors import DriftproofError
from driftproof._keywords import checks_keywords
from driftproof._mapping import MappingOptions, Scale, TileSize, Where
from driftproof._presets import load_preset
from driftproof._random_state import random_state_kept
from driftproof._record import IDEAL_ANALOG, Record
from driftproof.data import Data
from driftproof.data._adapters import as_data
from driftproof.evaluation import Deployment, Evaluator, Metric, Recalibration, Trial, ask, run
from driftproof.evaluation._backends import BackendName
from driftproof.evaluation._checks import check_devices, check_numbers, check_seed, check_validity
from driftproof.evaluation._executor import Plan
from driftproof.evaluation._identity import preset_entries, show
from driftproof.evaluation._metrics import Function
from driftproof.evaluation._trial import NETWORK_ITSELF
from driftproof.periphery import Periphery, load_periphery
from driftproof.plans._perfect import warn_of_differences
from driftproof.times import parse_times


@checks_keywords
@random_state_kept()
def evaluate(
    model: nn.Module,
    data: Data | object,
    *,
    presets: Sequence[Device | str] | Device | str,
    times: str | Iterable[str | float] = defaults.TIMES,
    chips: int = defaults.CHIPS,
    metric: str | Metric | Function = defaults.METRIC,
    backend: BackendName = defaults.BACKEND,
    compensation: str | Compensation = defaults.COMPENSATION,
    periphery: Periphery | str | Path = defaults.PERIPHERY,
    calibration: Any = None,
    ranges: float | str | Mapping[str, Any] | None = None,
    recalibrate: Recalibration | None = None,
    read_outs: ReadOuts | str | None = None,
    tile: TileSize | None = None,
    where: Where | None = None,
    scale: Scale = defaults.SCALE,
    clip: float | None = None,
    seed: int = defaults.SEED,
    torch_device: str = defaults.TORCH_DEVICE,
    batch_size: int = defaults.BATCH_SIZE,
    limit: int | None = None,
    out: str | Path | None = None,
    name: str = "",
    label: str = "",
    all_analog: bool = False,
    within_validity: bool = False,
    strict: bool = False,
    progress: bool | None = None,
) -> Record:
    """Measure the accuracy (or another metric) of a network on analog devices, over chips and inference times.

    Args:
        model: A trained network. It is not changed.
        data: Samples to measure on: :class:`driftproof.data.Data`, a pair (inputs [N, …], targets [N, …]) whose inputs
            may be a tuple or a dict of tensors, a dict with ``labels``, a dataset or a loader.
        presets: One device or several, or texts that :func:`driftproof.load_device` takes.
        times: Times after the first read: seconds, or texts such as ``1d`` (default: ``1s`` to ``10y``).
        chips: Number of chips, numbered from 0 (default: 25). A device that was measured (``measured:FOLDER``) has only
            its measured chips; further chips are left out.
        metric: ``accuracy``, ``top5``, ``token-accuracy``, ``f1``, ``perplexity``, ``mse``, ``file.py:callable``, or a
            function of all outputs and targets. Use :meth:`Metric.of` for a function with a direction or a unit.
        backend: ``folded`` (fast) or ``tiles`` (aihwkit).
        compensation: Drift compensation: ``none``, ``tile``, ``column`` or ``exact``, with parameters after a colon, or
            an object of a class in :mod:`driftproof._compensation`.
        periphery: DAC, ADC and noise of the arrays: ``ideal``, ``standard``, a file, or a
            :class:`driftproof.periphery.Periphery`. The cells of ``ideal-analog`` use this periphery too.
        calibration: Inputs on which static input ranges of the periphery are measured (default: the first 500 samples
            of ``data``, with a warning). BatchNorm statistics use the data of ``recalibrate`` instead.
        ranges: Input ranges in place of measured ones, in the units of the layers' inputs: a number for all layers, or
            a mapping layer → number (or a list with one number per row split), such as ranges that aihwkit learned
            (default: they are measured on ``calibration``).
        recalibrate: When and on which inputs BatchNorm statistics are re-estimated on each chip (default: never).
        read_outs: How long a read-out takes, how long lies between the read-out that measures compensation and
            BatchNorm statistics and that of the use, and how often the part of the read noise that is faster than these
            times is new: at each ``read-out``, or in every ``mvm`` (default:
            ``duration_s=1,pause_s=3600,fast=read-out``).
        tile: Size of the largest crossbar (default: 512 × 512).
        where: Layers to put on tiles: names, patterns, ``inner`` (all but the first and the last), or a function of
            name and module (default: all layers that can be).
        scale: ``column`` scales each column of a tile to the largest weight of the column, ``layer`` scales the whole
            layer to its largest weight.
        clip: Percentile of |w| to which larger weights are clipped (default: no clipping).
        seed: Seed of the device randomness.
        torch_device: ``cpu`` or ``cuda``.
        batch_size: Number of samples in a forward pass (default: 250).
        limit: Number of samples to use, counted from the first (default: all).
        out: Folder of the record ``record.sqlite``. An existing record is continued (default: a record in memory).
        name: Name of the network in the record (default: the name of its class).
        label: Text that distinguishes these deployments from others in one report.
        all_analog: Whether to raise an error if a weight that is used in a matrix multiplication stays digital although
            ``where`` does not exclude it (default: a warning).
        within_validity: Whether to raise an error for times outside a device's range of validity (default: such cells
            are marked).
        strict: Whether to set both ``all_analog`` and ``within_validity`` (default: False).
        progress: Whether to show a progress bar (default: if the terminal is interactive).

    Returns:
        The record. In ``record.cells()`` the column ``preset`` is ``digital`` (the network without analog hardware),
        ``ideal-analog`` (perfect devices) or the name of a device. A cell is one chip of one device at one time.

    Raises:
        DriftproofError: An argument is impossible, the folder has a record of another network, or an output is NaN.

    >>> from driftproof.zoo import trained_digits_cnn
    >>> from driftproof.data import digits
    >>> record = evaluate(trained_digits_cnn(), digits(), presets=["ideal"], times="1s", chips=1)
    >>> sorted(set(record.cells()["preset"]))
    ['digital', 'ideal', 'ideal-analog']
    """
    check_seed(seed)
    samples = data if limit is None else as_data(data).head(limit)
    evaluator = Evaluator(
        model, samples, metric, backend=backend, batch_size=batch_size, torch_device=torch_device, name=name
    )
    options = MappingOptions(
        tile=tile or TileSize(*defaults.TILE), where=where, scale=scale, clip=clip, all_analog=all_analog or strict
    )
    deployments = [
        Deployment(
            device=device,
            mapping=options,
            compensation=compensation,
            periphery=periphery if ranges is None else load_periphery(periphery).with_ranges(ranges),
            calibration=calibration,
            recalibration=recalibrate,
            read_outs=read_outs,
            seed=seed,
        )
        for device in check_devices(presets)
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
@random_state_kept()
def evaluate_deployments(
    evaluator: Evaluator,
    deployments: Sequence[Deployment],
    *,
    times: str | Iterable[str | float] = defaults.TIMES,
    chips: int = defaults.CHIPS,
    out: str | Path | None = None,
    label: str = "",
    within_validity: bool = False,
    progress: bool | None = None,
) -> Record:
    """Measure a network on chips of several deployments at several times.

    Args:
        evaluator: Evaluator of the network, the data and the metric.
        deployments: Deployments to measure. Devices with different numbers must have different names. Deployments of
            the same device may differ in another setting, such as the seed. Equal deployments are measured once.
        times: Times after the first read: seconds, or texts such as ``1d`` (default: ``1s`` to ``10y``).
        chips: Number of chips of each deployment, numbered from 0 (default: 25). A device that was measured
            (``measured:FOLDER``) has only its measured chips; further chips are left out.
        out: Folder of the record ``record.sqlite``. An existing record is continued (default: a record in memory).
        label: Text that distinguishes these deployments from others in one report.
        within_validity: Whether to raise an error for times outside a device's range of validity (default: such cells
            are marked).
        progress: Whether to show a progress bar (default: if the terminal is interactive).

    Returns:
        The record. Other processes may write to its file from now on.

    Raises:
        DriftproofError: An argument is impossible, the folder has a record of another subject, or an output is not
            finite.

    >>> from driftproof.data import digits
    >>> from driftproof.zoo import trained_digits_cnn
    >>> evaluator = Evaluator(trained_digits_cnn(), digits().head(100))
    >>> deployments = [Deployment(device="gaussian:0.1", seed=seed) for seed in range(2)]
    >>> # for each deployment: 3 chips, and the cells of digital and ideal-analog
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
        # of measured chips, those that there are
        evaluator.check(deployment, chips if deployment.device.chips is None else 1, times_s)
    # making the device cards takes time; do it before the record is opened, so that the file is not locked meanwhile
    entries = [entry for deployment in deployments for entry in preset_entries(deployment.device)]
    record = Record.create_or_open(out)
    try:
        with record.all_or_nothing():
            record.claim(evaluator.subject)
            for entry in entries:
                record.add_preset(entry)
            for deployment in deployments:
                rows = {IDEAL_ANALOG: on_perfect_devices(deployment), deployment.device.name: deployment}
                show(record, evaluator, deployment, rows=rows, label=label)
        run(grid(deployments, times_s, chips, evaluator.metric), evaluator, record, progress=progress)
    except BaseException:
        record.close()
        raise
    record.stop_writing()  # so that the same folder can be continued while this record is still read
    return record


def grid(deployments: Sequence[Deployment], times_s: Sequence[float], chips: int, metric: Metric) -> Plan[None]:
    """Ask for every cell, chip after chip, so that a stopped run has the same number of chips of every device.

    It warns if perfect devices differ from the digital network.
    """
    perfect = dict.fromkeys(on_perfect_devices(deployment) for deployment in deployments)
    cells = [
        Trial(deployment, chip, t_s)
        for chip in range(chips)
        for deployment in deployments
        if deployment.device.chips is None or chip < deployment.device.chips
        for t_s in times_s
    ]
    outcomes = yield ask([NETWORK_ITSELF, *map(Trial, perfect), *cells])
    warn_of_differences(outcomes[0], zip(perfect, outcomes[1:], strict=False), metric.quantity)


def on_perfect_devices(deployment: Deployment) -> Deployment:
    """Return the deployment with perfect devices. Its errors come from mapping and periphery only."""
    # perfect devices need no compensation and have no read noise, and one seed lets all deployments under the same
    # conditions share the cells
    return deployment.with_changes(device=load_preset("ideal"), compensation="none", read_outs=None, seed=0)
