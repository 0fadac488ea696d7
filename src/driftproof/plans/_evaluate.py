"""The evaluation over devices × chips × times. Each cell is in the record as soon as it is finished."""

from __future__ import annotations

import time
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
from driftproof._random_state import random_state_kept
from driftproof._record import IDEAL_ANALOG, Record, total_of
from driftproof.data import Data
from driftproof.data._adapters import as_data
from driftproof.evaluation import Deployment, Evaluator, Metric, Recalibration, run
from driftproof.evaluation._backends import BackendName
from driftproof.evaluation._checks import check_devices, check_seed, check_validity, chip_numbers
from driftproof.evaluation._executor import Executor
from driftproof.evaluation._executor_choice import executor_for
from driftproof.evaluation._identity import preset_entries, show
from driftproof.evaluation._metrics import Function
from driftproof.periphery import Periphery, load_periphery
from driftproof.plans._grid import grid, on_perfect_devices
from driftproof.plans._on_cell import OnCell, Telling
from driftproof.plans._precision import Precision, check_partial, drawn_samples, precision_of
from driftproof.plans._until_narrow import cost_of_chip, until_narrow
from driftproof.times import parse_times


@checks_keywords
@random_state_kept()
def evaluate(
    model: nn.Module,
    data: Data | object,
    *,
    presets: Sequence[Device | str] | Device | str,
    times: str | Iterable[str | float] = defaults.TIMES,
    chips: int | str | range = defaults.CHIPS,
    metric: str | Metric | Function = defaults.METRIC,
    backend: BackendName = defaults.BACKEND,
    compensation: str | Compensation = defaults.COMPENSATION,
    periphery: Periphery | str | Path = defaults.PERIPHERY,
    calibration: Any = None,
    ranges: float | str | Mapping[str, Any] | None = None,
    recalibrate: Recalibration | None = None,
    read_outs: ReadOuts | str | None = None,
    tile: TileSize | str | int | None = None,
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
    workers: int | None = None,
    cluster: str | None = None,
    threads: int | None = None,
    ci: float | None = None,
    budget: str | float | None = None,
    ci_of: str = defaults.CI_OF,
    ci_on: str = defaults.CI_ON,
    progress: bool | None = None,
    on_cell: OnCell | None = None,
) -> Record:
    """Measure the accuracy (or another metric) of a network on analog devices, over chips and inference times.

    Args:
        model: A trained network. It is not changed.
        data: Samples to measure on: :class:`driftproof.data.Data`, a pair (inputs [N, …], targets [N, …]) whose inputs
            may be a tuple or a dict of tensors, a dict with ``labels``, a dataset or a loader.
        presets: One device or several, or texts that :func:`driftproof.load_device` takes.
        times: Times after the first read: seconds, or texts such as ``1d`` (default: ``1s`` to ``10y``).
        chips: Number of chips, numbered from 0 (default: 25), or the numbers of the first and the last one, such as
            ``25-49``, for one of several machines whose records are merged. A device that was measured
            (``measured:FOLDER``) has only its measured chips; further chips are left out.
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
        tile: Size of the largest crossbar: a :class:`driftproof.TileSize`, a text such as ``512x256`` (rows x columns),
            or a number for a square (default: 512 × 512).
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
        workers: Number of processes that compute cells side by side (default: this process alone).
            :class:`driftproof.evaluation.Processes` says more.
        cluster: Address of a Ray cluster, or ``auto`` for the one that this machine is in; ``workers`` is then the
            number of its workers (default: no cluster). :class:`driftproof.evaluation.RayCluster` says more.
        threads: Number of threads of each worker (default: the processor cores divided by ``workers``; 1 on a cluster).
        ci: Half-width of the 95 % interval at which a device at a time is finished, in the unit of the metric (points
            for accuracies). Chips then see random parts of the samples, and as many chips are programmed as are needed
            (default: all samples on ``chips`` chips). Means, drops and
            intervals are in the report and its ``summary.csv``, which need no full cells; there is no worst chip and no
            yield. The value of such a cell in ``record.cells()`` is that of its samples, most of which are in doubt.
        budget: Time after which nothing more is measured, such as ``5min``; it is spent where intervals are widest.
            Chips see parts of the samples, as with ``ci`` (default: no limit).
        ci_of: The quantity whose interval becomes narrow: ``drop`` (default) or ``mean``.
        ci_on: The samples for which it holds: ``these`` (default) or ``new`` ones.
        progress: Whether to show a progress bar (default: a bar on a terminal, else lines at intervals).
        on_cell: Function that is called with each cell as soon as it is measured and kept, such as ``run.log`` of an
            experiment tracker. A cell is a dict with the device, chip, time, value and duration of the cell, the number
            of cells that are ``done`` and their ``total``. Cells that the record held before are not told.

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
    precision = precision_of(ci, budget, ci_of, ci_on, chips)
    samples = data if limit is None else as_data(data).head(limit)
    evaluator = Evaluator(
        model, samples, metric, backend=backend, batch_size=batch_size, torch_device=torch_device, name=name
    )
    options = MappingOptions(
        tile=TileSize.of(tile), where=where, scale=scale, clip=clip, all_analog=all_analog or strict
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
    with executor_for(workers, cluster, threads) as executor:
        return evaluate_deployments(
            evaluator,
            deployments,
            times=times,
            chips=chips,
            out=out,
            label=label,
            within_validity=within_validity or strict,
            precision=precision,
            executor=executor,
            progress=progress,
            on_cell=on_cell,
        )


@checks_keywords
@random_state_kept()
def evaluate_deployments(
    evaluator: Evaluator,
    deployments: Sequence[Deployment],
    *,
    times: str | Iterable[str | float] = defaults.TIMES,
    chips: int | str | range = defaults.CHIPS,
    out: str | Path | None = None,
    label: str = "",
    within_validity: bool = False,
    precision: Precision | None = None,
    executor: Executor | None = None,
    progress: bool | None = None,
    on_cell: OnCell | None = None,
) -> Record:
    """Measure a network on chips of several deployments at several times.

    Args:
        evaluator: Evaluator of the network, the data and the metric.
        deployments: Deployments to measure. Devices with different numbers must have different names. Deployments of
            the same device may differ in another setting, such as the seed. Equal deployments are measured once.
        times: Times after the first read: seconds, or texts such as ``1d`` (default: ``1s`` to ``10y``).
        chips: Number of chips of each deployment, numbered from 0 (default: 25), or the numbers of the first and the
            last one, such as ``25-49``. A device that was measured (``measured:FOLDER``) has only its measured chips;
            further chips are left out.
        out: Folder of the record ``record.sqlite``. An existing record is continued (default: a record in memory).
        label: Text that distinguishes these deployments from others in one report.
        within_validity: Whether to raise an error for times outside a device's range of validity (default: such cells
            are marked).
        precision: When enough was measured. The number of chips follows from it, and they see parts of the samples
            (default: all samples on ``chips`` chips).
        executor: Executor that computes the cells (default: one after the other, in this process).
        progress: Whether to show a progress bar (default: a bar on a terminal, else lines at intervals).
        on_cell: Function that is called with each cell as soon as it is measured and kept, such as ``run.log`` of an
            experiment tracker. A cell is a dict with the device, chip, time, value and duration of the cell, the number
            of cells that are ``done`` and their ``total``. Cells that the record held before are not told.

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
    began, times_s, numbers = time.perf_counter(), parse_times(times), chip_numbers(chips)
    if not deployments:
        raise DriftproofError("no deployments: give at least one")
    if within_validity:
        check_validity([deployment.device for deployment in deployments], times_s)
    if precision is not None:
        check_partial(evaluator)
    deployments = [evaluator.calibrated(deployment) for deployment in deployments]
    for deployment in deployments:
        # of measured chips, those that there are
        evaluator.check(deployment, numbers.stop if deployment.device.chips is None else 1, times_s)
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
        plan, drawn = grid(deployments, times_s, numbers, evaluator.metric), None
        if precision is not None:
            drawn = drawn_samples(evaluator, record, deployments[0].seed)
            perfect = list(dict.fromkeys(map(on_perfect_devices, deployments)))
            layers = [layer for layer in evaluator.mapping(deployments[0].mapping).layers if layer.analog]
            plan = until_narrow(
                deployments,
                perfect,
                times_s,
                precision,
                drawn.samples,
                evaluator.metric,
                chip_cost=cost_of_chip(*(total_of(layers, name) or 0 for name in ("weights", "macs_per_input"))),
                began=began,
            )
        computing = executor if on_cell is None else Telling(on_cell, executor)
        run(plan, evaluator, record, executor=computing, drawn=drawn, progress=progress)
    except BaseException:
        record.close()
        raise
    record.stop_writing()  # so that the same folder can be continued while this record is still read
    return record
