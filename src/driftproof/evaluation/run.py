"""The evaluation: presets × chips × times → cells, each committed to the record as soon as it is finished."""

from __future__ import annotations

import copy
import time
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from itertools import groupby
from pathlib import Path

import torch
from torch import Tensor, nn

from driftproof.chip import Chip
from driftproof.compensation import Compensation, check_compensation
from driftproof.data import Data, as_data, hold
from driftproof.errors import DriftproofError, DriftproofWarning
from driftproof.evaluation.backends import Backend, BackendName, check_backend, compiled_tile_warning, make_backend
from driftproof.evaluation.progress import Progress
from driftproof.evaluation.provenance import describe_run, model_hash
from driftproof.evaluation.score import METRIC, accuracy
from driftproof.mapping import Mapping, TileSize, map_model, unwrap
from driftproof.presets import DevicePreset, load_preset
from driftproof.record import (
    DIGITAL,
    IDEAL_ANALOG,
    Cell,
    Configuration,
    Layer,
    PresetEntry,
    Record,
    Subject,
)
from driftproof.times import format_time, parse_times

DEFAULT_TIMES = ("1s", "1h", "1d", "30d", "1y", "10y")
DEFAULT_CHIPS = 25
DEFAULT_BATCH_SIZE = 250


def evaluate(
    model: nn.Module,
    data: Data | tuple[Tensor, Tensor] | object,
    *,
    presets: Sequence[DevicePreset | str],
    times: str | Iterable[str | float] = DEFAULT_TIMES,
    chips: int = DEFAULT_CHIPS,
    backend: BackendName = "folded",
    compensation: Compensation = "tile",
    tile: TileSize | None = None,
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
    """Measure a network's accuracy on analog devices over chips and inference times.

    Args:
        model: a trained network; it is not changed.
        data: :class:`driftproof.data.Data`, a pair (inputs [N, …], classes [N]), a dataset or a loader.
        presets: devices, or their names.
        times: seconds after programming, or texts such as ``1d``.
        chips: how many chips, numbered from 0: the unit of replication.
        backend: ``folded`` (fast) or ``tiles`` (aihwkit).
        compensation: of the drift: ``none``, ``tile``, ``column`` or ``exact``.
        tile: largest crossbar, 512 × 512 unless said.
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
    backend, compensation = check_backend(backend), check_compensation(compensation)
    devices = _check_presets(presets)
    times_s = parse_times(times)
    _check_numbers(chips=chips, batch_size=batch_size)
    if not 0 <= seed < 2**63:
        raise DriftproofError(f"seed: wanted a whole number from 0 to 2^63 - 1, got {seed}")
    if strict:
        _check_validity(devices, times_s)
    where = _check_device(device)
    samples = hold(as_data(data) if limit is None else as_data(data).head(limit))
    network = copy.deepcopy(unwrap(model)).eval().to(where)
    example = next(iter(samples.batches(min(8, len(samples)))))[0].to(where)
    mapping = map_model(network, tile, example)
    if backend == "tiles" and (text := compiled_tile_warning()):
        warnings.warn(text, DriftproofWarning, stacklevel=2)

    record = Record.create_or_open(out)
    try:
        record.claim(_subject(network, name or type(unwrap(model)).__name__, samples, mapping))
        settings = Configuration(
            backend=backend, periphery="ideal", compensation=compensation, device=device, seed=seed, label=label
        )
        configuration = record.add_configuration(settings)
        for preset in devices:
            record.add_preset(PresetEntry(name=preset.name, sha256=preset.sha256, definition=preset.definition()))
        cells = [(chip, preset, t_s) for chip in range(chips) for preset in devices for t_s in times_s]
        finished = record.finished(configuration)
        left = [cell for cell in cells if (cell[1].name, cell[0], cell[2]) not in finished]
        singles = [row for row in (DIGITAL, IDEAL_ANALOG) if (row, 0, 0.0) not in finished]
        if left or singles:
            run = record.start_run(describe_run(batch_size))
            measure = _Measure(record, run, configuration, samples, batch_size, where)
            with Progress(len(left) + len(singles), shown=progress) as bar:
                _measure_all(measure, bar, network, mapping, example, settings, singles, left)
    except BaseException:
        record.close()
        raise
    record.stop_writing()  # so that the same folder can be continued while this record is still read
    return record


def _measure_all(
    measure: _Measure,
    bar: Progress,
    network: nn.Module,
    mapping: Mapping,
    example: Tensor,
    settings: Configuration,
    singles: list[str],
    left: list[tuple[int, DevicePreset, float]],
) -> None:
    """Measure what is left, chip after chip, so that a stopped run has as many chips of every preset."""
    if DIGITAL not in singles:
        measure.check_digital(_plain(network))
    if DIGITAL in singles:
        measure(_plain(network), DIGITAL, 0, 0.0, True, 0.0)
        bar.step(DIGITAL)
    backend = make_backend(check_backend(settings.backend), network, mapping, example)
    if IDEAL_ANALOG in singles:
        ideal = Chip(mapping, load_preset("ideal"), seed=settings.seed, chip=0, compensation="none")
        measure.chip(backend, ideal, IDEAL_ANALOG, 0.0, True, 0.0)
        bar.step(IDEAL_ANALOG)
    checked: set[str] = set()
    chip: Chip | None = None
    for (number, name), group in groupby(left, key=lambda cell: (cell[0], cell[1].name)):
        cells = list(group)
        preset = cells[0][1]
        start = time.perf_counter()
        compensation = check_compensation(settings.compensation)
        chip = Chip(mapping, preset, seed=settings.seed, chip=number, compensation=compensation, memory=chip)
        programming = time.perf_counter() - start
        if name not in checked:
            _check_perturbed(chip)
            checked.add(name)
        for _, _, t_s in cells:
            measure.chip(backend, chip, name, t_s, preset.in_validity(t_s), programming)
            programming = 0.0
            bar.step(f"{name} chip {number}")


def _plain(network: nn.Module) -> Callable[[Tensor, int], Tensor]:
    """Return a network as what :func:`accuracy` takes: it does not care which sample is the first."""

    @torch.inference_mode()
    def run(inputs: Tensor, _: int) -> Tensor:
        outputs: Tensor = network(inputs)
        return outputs

    return run


class _Measure:
    """Measures one cell and commits it."""

    def __init__(
        self, record: Record, run: int, configuration: str, data: Data, batch_size: int, device: torch.device
    ) -> None:
        self.record, self.run, self.configuration = record, run, configuration
        self.data, self.batch_size, self.device = data, batch_size, device

    def check_digital(self, network: Callable[[Tensor, int], Tensor]) -> None:
        """Raise if the network does not compute what it did when its record was begun.

        The record knows its weights and structure; what its Python code does with them shows only in its outputs.
        """
        cells = self.record.cells()
        row = cells[(cells["config_id"] == self.configuration) & (cells["preset"] == DIGITAL)]
        before = float(row["value"].iloc[0])
        now = accuracy(network, self.data, self.batch_size, self.device, DIGITAL)
        # another batch size or number of threads changes the last bit, and so at most 1 image in 2,000
        if abs(now - before) > 100.0 * max(1.0, len(self.data) / 2000) / len(self.data):
            raise DriftproofError(
                f"the record holds a digital accuracy of {before:.2f} %, now it is {now:.2f} %: the network's code or "
                "its data have changed, though weights and structure have not; choose another --out folder"
            )

    def chip(self, backend: Backend, chip: Chip, preset: str, t_s: float, valid: bool, programming: float) -> None:
        start = time.perf_counter()
        backend.load(chip, t_s)
        self(backend, preset, chip.number, t_s, valid, programming + time.perf_counter() - start)

    def __call__(
        self, network: Callable[[Tensor, int], Tensor], preset: str, chip: int, t_s: float, valid: bool, before: float
    ) -> None:
        start = time.perf_counter()
        what = preset if preset in (DIGITAL, IDEAL_ANALOG) else f"{preset}, chip {chip}, {format_time(t_s)}"
        value = accuracy(network, self.data, self.batch_size, self.device, what)
        cell = Cell(
            config_id=self.configuration,
            preset=preset,
            chip=chip,
            t_s=t_s,
            in_validity=valid,
            metric=METRIC,
            value=value,
            n_samples=len(self.data),
            seconds=before + time.perf_counter() - start,
        )
        self.record.add_cell(cell, self.run)


def _check_perturbed(chip: Chip) -> None:
    """Raise if a preset declares programming noise and yet every weight of the largest layer is exact."""
    name = max(chip.arrays, key=lambda layer: chip.arrays[layer].target.numel())
    array = chip.arrays[name]
    declared = chip.preset.programming.model_dump()
    quiet = declared["law"] == "none" or declared.get("sigma", declared.get("half_width", 1)) == 0
    if quiet or not bool(array.target.any()):
        return
    if torch.equal(array.net(chip.preset.validity.t_s[1], read_noise=False), array.target):
        raise DriftproofError(
            f"preset {chip.preset.name} declares programming noise, but it changes no weight of layer {name!r}: "
            "look at the numbers of its programming law"
        )


def _check_presets(presets: Sequence[DevicePreset | str]) -> list[DevicePreset]:
    if isinstance(presets, str | DevicePreset):
        presets = [presets]
    devices = [load_preset(preset) if isinstance(preset, str) else preset for preset in presets]
    if not devices:
        raise DriftproofError("no presets: name at least one device, such as pcm-nandakumar-2019")
    names = [device.name for device in devices]
    for device in names:
        if device in (DIGITAL, IDEAL_ANALOG):
            raise DriftproofError(f"preset {device!r}: the name stands for a row of every record; choose another")
        if names.count(device) > 1:
            raise DriftproofError(
                f"{names.count(device)} presets are called {device!r}; give one of them another name, or give it once"
            )
    return devices


def _check_numbers(**numbers: int) -> None:
    for what, number in numbers.items():
        if number < 1:
            raise DriftproofError(f"{what.replace('_', ' ')}: wanted at least 1, got {number}")


def _check_validity(devices: list[DevicePreset], times_s: tuple[float, ...]) -> None:
    for device in devices:
        outside = [format_time(t) for t in times_s if not device.in_validity(t)]
        if outside:
            low, high = (format_time(t) for t in device.validity.t_s)
            raise DriftproofError(
                f"strict: preset {device.name} is valid from {low} to {high}, not at {', '.join(outside)}; "
                "leave these times out, or leave strict out to have them marked"
            )


def _check_device(device: str) -> torch.device:
    if device not in ("cpu", "cuda"):
        raise DriftproofError(f"device {device!r}: wanted cpu or cuda")
    if device == "cuda" and not torch.cuda.is_available():
        raise DriftproofError("device cuda: torch finds no CUDA GPU here; use cpu")
    return torch.device(device)


def _subject(network: nn.Module, name: str, data: Data, mapping: Mapping) -> Subject:
    return Subject(
        model=name,
        model_hash=model_hash(network),
        data=data.name,
        data_hash=data.fingerprint(),
        n_samples=len(data),
        metric=METRIC,
        tile_rows=mapping.tile.rows,
        tile_cols=mapping.tile.columns,
        layers=tuple(Layer(**(asdict(entry) | {"name": entry.name or "(root)"})) for entry in mapping.layers),
    )
