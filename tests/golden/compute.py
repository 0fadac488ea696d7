"""Compute the cells of a row through the package's public functions."""

from __future__ import annotations

import hashlib
import math
import warnings
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

import driftproof as dp
from driftproof._mapping import Mapping, MappingOptions
from driftproof.evaluation import Deployment, Evaluator, Metric, Trial
from driftproof.measured import save_conductances
from driftproof.periphery import Periphery, StaticRange
from golden.design import COMPENSATIONS, DEVICES, DIGITAL, Row
from golden.networks import BATCH_SIZE, data, network, other_data, periphery

type Cell = dict[str, Any]
"""What is stored of one cell: text and lists of numbers."""

SHOWN = (0, 17, 39)
"""The samples whose logits are stored as numbers: one of each batch."""
DIGITS = "%.9g"  # enough to tell every float32 from its neighbours
MAPPINGS: dict[str, dict[str, Any]] = {
    "whole": {},
    "split": {"tile": dp.TileSize(100, 24)},
    "layer-clip": {"scale": "layer", "clip": 99.0},
}


@dataclass
class Capture:
    """An accuracy that keeps the outputs it is given, so that logits come out of a public metric."""

    outputs: list[Tensor] = field(default_factory=list)

    def __call__(self, outputs: Tensor, targets: Tensor) -> float:
        self.outputs.append(outputs.detach().clone())
        return 100.0 * int((outputs.argmax(dim=1) == targets).sum()) / len(targets)

    @property
    def metric(self) -> Metric:
        """The metric to measure."""
        return Metric.of(self, name="captured", percent=True)


def deployment_of(device: str, **options: Any) -> Deployment:
    """Return a deployment; keywords are those of ``evaluate``."""
    places = {name: options.pop(name) for name in ("tile", "scale", "clip", "where") if name in options}
    return Deployment(device=device, mapping=MappingOptions(**places), **options)


def mixed_logits(
    row: Row, device: str, digital: list[str], options: dict[str, Any]
) -> tuple[list[Tensor], list[float]]:
    """Return logits and value of a network with digital layers at each time of a row.

    Args:
        row: its network, chip and times.
        device: text of the device of the analog layers.
        digital: names of the digital layers.
        options: those of ``evaluate`` that a deployment and an evaluator take too.
    """
    capture, options = Capture(), dict(options)
    evaluator = Evaluator(network(row.network), data(), capture.metric, batch_size=options.pop("batch_size"))
    deployment = deployment_of(device, **options)
    trials = [Trial(deployment, int(row.chip), seconds(time), frozenset(digital)) for time in row.read_times]
    values = [evaluator(trial).value for trial in trials]
    return capture.outputs, values


def compute_row(row: Row, folder: Path) -> dict[str, Cell]:
    """Return all cells of a row by name; with those of the digital network and of perfect devices.

    Args:
        row: of the design.
        folder: where measured devices are written.
    """
    mapping = mapping_of(row.network, row.mapping)
    device = DEVICES[row.device]
    if row.device == "measured":
        device += str(measured_folder(row, mapping, folder))
    around = periphery(row.periphery)
    options: dict[str, Any] = {
        "compensation": COMPENSATIONS[row.compensation],
        "periphery": around,
        "seed": int(row.seed),
        "batch_size": BATCH_SIZE,
        **_calibration(around),
        **MAPPINGS[row.mapping],
    }
    cells: dict[str, Cell] = {}
    if row.digital == "0":
        outputs, values = _evaluated(row, device, options)
        for name in (f"digital/{row.network}", row.ideal_id):
            cells[name] = cell(outputs.pop(0), values.pop(0))
    else:
        outputs, values = mixed_logits(row, device, list(DIGITAL[row.digital]), options)
    chip = dp.Chip(
        mapping,
        dp.load_device(device),
        seed=int(row.seed),
        chip=int(row.chip),
        compensation=COMPENSATIONS[row.compensation],
    )
    for time, logits, value in zip(row.read_times, outputs, values, strict=True):
        cells[row.cell_id(time)] = cell(logits, value) | weights_of(chip, seconds(time))
    return cells


def _calibration(around: Periphery) -> dict[str, Any]:
    return {"calibration": other_data()} if isinstance(around.input_range, StaticRange) else {}


def _evaluated(row: Row, device: str, options: dict[str, Any]) -> tuple[list[Tensor], list[float]]:
    """Return logits and values of the digital network, of perfect devices, and of the row's chip at each time."""
    capture, chips = Capture(), int(row.chip) + 1
    when: Any = row.recalibration
    with warnings.catch_warnings():
        # measured chips that are recalibrated at every time; rows whose reference is read after a minute
        warnings.filterwarnings("ignore", "measured:golden: its files hold one read-out for each time")
        warnings.filterwarnings(
            "ignore", ".*the reference of the drift compensation .* is read 1 min after programming"
        )
        record = dp.evaluate(
            network(row.network),
            data(),
            presets=[device],
            times=row.read_times,
            chips=chips,
            metric=capture.metric,
            backend=row.backend,  # type: ignore[arg-type]
            recalibrate=None if when == "never" else dp.Recalibration(other_data(), when=when),
            progress=False,
            **options,
        )
    table = record.cells()
    record.close()
    times = [seconds(time) for time in row.read_times]
    wanted = [("digital", 0, 0.0), ("ideal-analog", 0, 0.0)]
    wanted += [(dp.load_device(device).name, chip, time) for chip in range(chips) for time in times]
    found = {(str(r.preset), int(r.chip), float(r.t_s)): float(r.value) for r in table.itertuples()}  # type: ignore[arg-type]
    assert len(capture.outputs) == len(wanted) == len(found), "the metric was not called once for each cell, in order"
    kept = [0, 1, *range(len(wanted) - len(times), len(wanted))]
    return [capture.outputs[place] for place in kept], [found[wanted[place]] for place in kept]


def seconds(time: str) -> float:
    """Return a time of the design in seconds."""
    return float(time[:-1]) * {"s": 1, "h": 3600, "d": 86_400, "y": 365 * 86_400}[time[-1]]


@lru_cache(maxsize=8)
def mapping_of(name: str, mapping: str) -> Mapping:
    """Return what is on the tiles."""
    example = next(iter(data().batches(8)))[0]
    return dp.map_model(network(name), example=example, **MAPPINGS[mapping])


def measured_folder(row: Row, mapping: Mapping, folder: Path) -> Path:
    """Write two simulated chips as if they had been measured, once; return their folder."""
    place = folder / f"{row.network}-{row.mapping}"
    if not place.exists():
        for number in range(2):
            chip = dp.Chip(mapping, dp.load_preset("pcm-nandakumar-2019"), seed=77, chip=number)
            save_conductances(chip, place / f"chip{number}", "1s,1h,30d", name="golden")
        (place / "device.toml").write_text((place / "chip0" / "device.toml").read_text(encoding="utf-8"), "utf-8")
    return place


def cell(logits: Tensor, value: float) -> Cell:
    """Return what is stored of outputs and the metric's value."""
    assert logits.dtype == torch.float32
    shown = logits[list(SHOWN)].reshape(-1).tolist()
    return {"value": value, "logits_sha256": digest([logits]), "logits": short(shown)}


def weights_of(chip: dp.Chip, t_s: float) -> Cell:
    """Return what is stored of a chip's effective weights: a hash, their norms, and the middle one of each layer."""
    weights = [chip.weight(name, t_s) for name in chip.mapping.weights]
    norms = [float(weight.double().norm()) for weight in weights]
    middle = [float(weight.reshape(-1)[weight.numel() // 2]) for weight in weights]
    return {"weights_sha256": digest(weights), "weight_norms": short(norms), "weights": short(middle)}


def digest(tensors: Iterable[Tensor]) -> str:
    """Return 16 hexadecimal digits of the bytes of tensors."""
    found = hashlib.sha256()
    for tensor in tensors:
        found.update(np.ascontiguousarray(tensor.detach().cpu().numpy()).tobytes())
    return found.hexdigest()[:16]


def short(numbers: Iterable[float]) -> list[float]:
    """Return numbers with nine digits."""
    rounded = [float(DIGITS % number) for number in numbers]
    assert all(math.isfinite(number) for number in rounded)
    return rounded
