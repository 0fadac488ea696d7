"""The evaluation: presets × chips × times → cells, each committed to the record as soon as it is finished."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import nn

from driftproof.compensation import Compensation, as_compensation
from driftproof.data import Data, as_data, hold
from driftproof.device_card import device_card
from driftproof.device_choice import Device
from driftproof.errors import DriftproofError, DriftproofWarning
from driftproof.evaluation.backends import BackendName, check_backend, compiled_tile_warning, make_backend
from driftproof.evaluation.checks import check_device, check_devices, check_numbers, check_seed, check_validity
from driftproof.evaluation.measure import Measure, measure_chips, measure_digital, measure_ideal
from driftproof.evaluation.metrics import DEFAULT_METRIC, Function, Metric, as_metric
from driftproof.evaluation.recalibration import Recalibration, even_batch, inputs_of, norms_of
from driftproof.evaluation.surroundings import surroundings
from driftproof.inputs import call, to_device
from driftproof.mapping import Mapping, Scale, TileSize, Where, map_model, plain_copy, unwrap
from driftproof.measured import MeasuredDevice
from driftproof.periphery import Periphery
from driftproof.presets import DeviceMix, DevicePreset
from driftproof.progress import Progress
from driftproof.provenance import describe_run, model_hash
from driftproof.record import (
    DIGITAL,
    IDEAL_ANALOG,
    Configuration,
    Layer,
    PresetEntry,
    Recalibrated,
    Record,
    Subject,
)
from driftproof.times import parse_times

DEFAULT_TIMES = ("1s", "1h", "1d", "30d", "1y", "10y")
DEFAULT_CHIPS = 25
DEFAULT_BATCH_SIZE = 250


def evaluate(
    model: nn.Module,
    data: Data | object,
    *,
    presets: Sequence[Device | str] | Device | str,
    times: str | Iterable[str | float] = DEFAULT_TIMES,
    chips: int = DEFAULT_CHIPS,
    metric: str | Metric | Function = DEFAULT_METRIC,
    backend: BackendName = "folded",
    compensation: str | Compensation = "tile",
    periphery: Periphery | str | Path = "ideal",
    calibration: Any = None,
    recalibrate: Recalibration | None = None,
    tile: TileSize | None = None,
    where: Where | None = None,
    scale: Scale = "column",
    clip: float | None = None,
    seed: int = 0,
    device: str = "cpu",
    batch_size: int = DEFAULT_BATCH_SIZE,
    limit: int | None = None,
    out: str | Path | None = None,
    name: str = "",
    label: str = "",
    strict: bool = False,
    progress: bool | None = None,
) -> Record:
    """Measure what a network does on analog devices over chips and inference times.

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
        periphery: what is around the arrays: ``ideal``, ``standard``, a file, or a
            :class:`driftproof.periphery.Periphery`. The row ``ideal-analog`` has it too.
        calibration: data whose inputs static input ranges are measured on; the first of ``data`` unless said, with a
            warning.
        recalibrate: when BatchNorm statistics are measured anew on each chip, and on which inputs; never unless said.
        tile: largest crossbar, 512 × 512 unless said.
        where: which layers go on tiles: names, patterns, ``inner`` (all but the first and the last), or a function of
            name and module; all unless said.
        scale: each tile's ``column`` relative to its own largest weight, or the whole ``layer`` to its largest.
        clip: percentile of |w| that takes the largest weight's place.
        seed: of all device randomness.
        device: ``cpu`` or ``cuda``.
        batch_size: samples per forward pass.
        limit: use the first so many samples only.
        out: folder whose ``record.sqlite`` is continued or begun; without it the record lives in memory.
        name: the network's name in the record.
        label: what tells this evaluation from others in one report.
        strict: refuse times outside a preset's range of validity, instead of marking them.
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
    measured = as_metric(metric)
    backend, compensation = check_backend(backend), as_compensation(compensation)
    devices = check_devices(presets)
    times_s = parse_times(times)
    check_numbers(chips=chips, batch_size=batch_size)
    check_seed(seed)
    if strict:
        check_validity(devices, times_s)
    place = check_device(device)
    samples = hold(as_data(data) if limit is None else as_data(data).head(limit))
    network = plain_copy(model).to(place)
    example = to_device(next(iter(samples.batches(min(8, len(samples)))))[0], place)
    mapping = map_model(network, tile, example, where=where, scale=scale, clip=clip)
    if backend == "tiles" and (text := compiled_tile_warning()):
        warnings.warn(text, DriftproofWarning, stacklevel=2)

    for preset in devices:
        if not isinstance(preset, DevicePreset):
            preset.check_layers(mapping.weights)
    around = surroundings(periphery, calibration, samples, network, mapping, batch_size, place)
    anew = _calibration(recalibrate, samples, network)
    entries = [entry for preset in devices for entry in _entries(preset)]  # takes time: before the record is touched

    record = Record.create_or_open(out)
    try:
        record.claim(_subject(network, name or type(unwrap(model)).__name__, samples, measured, mapping))
        settings = Configuration(
            backend=backend,
            periphery=around.periphery.name,
            compensation=str(compensation),
            device=device,
            seed=seed,
            label=label,
            recalibration=_recalibrated(recalibrate, anew, batch_size),
            around=None if around.periphery.is_ideal else around.periphery.definition(),
            around_text="" if around.periphery.is_ideal else str(around.periphery),
            ranges=around.measured,
        )
        configuration = record.add_configuration(settings)
        for entry in entries:
            record.add_preset(entry)
        cells = [
            (chip, preset, t_s)
            for chip in range(chips)
            for preset in devices
            if not isinstance(preset, MeasuredDevice) or chip < preset.chips
            for t_s in times_s
        ]
        finished = record.finished(configuration)
        left = [cell for cell in cells if (cell[1].name, cell[0], cell[2]) not in finished]
        singles = [row for row in (DIGITAL, IDEAL_ANALOG) if (row, 0, 0.0) not in finished]
        if left or singles:
            run = record.start_run(describe_run(batch_size))
            when = recalibrate.when if recalibrate else None
            measure = Measure(record, run, configuration, measured, samples, batch_size, place, when, anew)
            with Progress(len(left) + len(singles), shown=progress) as bar:
                measure_digital(measure, bar, network, DIGITAL in singles)
                # a norm whose statistics change cannot fold into the layer before it
                on_chips = make_backend(
                    backend, network, mapping, example, anew is None, around.periphery, around.ranges
                )
                if IDEAL_ANALOG in singles:
                    measure_ideal(measure, bar, on_chips, mapping)
                measure_chips(measure, bar, on_chips, mapping, seed, str(compensation), left)
    except BaseException:
        record.close()
        raise
    record.stop_writing()  # so that the same folder can be continued while this record is still read
    return record


def _entries(device: Device) -> list[PresetEntry]:
    """Return what the record keeps of a device; the devices of a mix stand there too, each with its card."""
    parts = [entry for part in device.devices for entry in _entries(part)] if isinstance(device, DeviceMix) else []
    card = device_card(device) if isinstance(device, DevicePreset) else None
    entry = PresetEntry(name=device.name, sha256=device.sha256, definition=device.definition(), card=card)
    return [*parts, entry]


def _calibration(recalibrate: Recalibration | None, samples: Data, network: nn.Module) -> Data | None:
    """Return the inputs to measure BatchNorm statistics on; warn if they are those that are reported on."""
    if recalibrate is None:
        return None
    if not norms_of(network):
        raise DriftproofError("recalibrate: the network has no BatchNorm that keeps statistics; leave it out")
    data = as_data(recalibrate.data)
    held = hold(data if recalibrate.samples is None else data.head(recalibrate.samples))
    shared = min(len(held), len(samples))
    if held.head(shared).fingerprint() == samples.head(shared).fingerprint():
        warnings.warn(
            "BatchNorm statistics are measured on the very inputs that are reported on; give others, such as training "
            "images, for a result that holds for inputs which the chip has not seen",
            DriftproofWarning,
            stacklevel=3,
        )
    try:  # before anything is computed or written
        with torch.inference_mode():
            call(network, next(inputs_of(held.head(min(2, len(held))), 2, next(network.parameters()).device)))
    except Exception as error:  # whatever a network's own code raises
        raise DriftproofError(
            f"recalibrate: the network does not take inputs of {held.name}: {type(error).__name__}: {error}. "
            "Give inputs like those that it is evaluated on"
        ) from error
    return held


def _recalibrated(recalibrate: Recalibration | None, data: Data | None, batch_size: int) -> Recalibrated | None:
    if recalibrate is None or data is None:
        return None
    return Recalibrated(
        when=recalibrate.when,
        data=data.name,
        data_hash=data.fingerprint(),
        samples=len(data),
        batch_size=even_batch(len(data), batch_size),
    )


def _subject(network: nn.Module, name: str, data: Data, metric: Metric, mapping: Mapping) -> Subject:
    return Subject(
        model=name,
        model_hash=model_hash(network),
        data=data.name,
        data_hash=data.fingerprint(),
        n_samples=len(data),
        metric=metric.name,
        own_metric=metric.own,
        tile_rows=mapping.tile.rows,
        tile_cols=mapping.tile.columns,
        scale=mapping.scale,
        clip=mapping.clip,
        layers=tuple(Layer(**(asdict(entry) | {"name": entry.name or "(root)"})) for entry in mapping.layers),
    )
