"""Measure what is left of an evaluation, cell by cell, each committed as soon as it is finished."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import groupby
from typing import Any

import torch
from torch import nn

from driftproof.chip import Chip
from driftproof.data import Data
from driftproof.device_choice import Device
from driftproof.errors import DriftproofError
from driftproof.evaluation.backends import Backend
from driftproof.evaluation.metrics import Metric
from driftproof.evaluation.recalibration import When, inputs_of
from driftproof.evaluation.score import Network, score
from driftproof.inputs import Inputs, call
from driftproof.mapping import Mapping
from driftproof.presets import DevicePreset, load_preset
from driftproof.progress import Progress
from driftproof.record import DIGITAL, IDEAL_ANALOG, Cell, Record
from driftproof.times import format_time


def measure_digital(measure: Measure, bar: Progress, network: nn.Module, left: bool) -> None:
    """Measure the network without analog hardware; or, if that is done, prove that it is still the same."""

    @torch.inference_mode()
    def run(inputs: Inputs, _: int) -> Any:
        return call(network, inputs)

    if left:
        measure(run, DIGITAL, 0, 0.0, True, 0.0)
        bar.step(DIGITAL)
    else:
        measure.check_digital(run)


def measure_ideal(measure: Measure, bar: Progress, backend: Backend, mapping: Mapping) -> None:
    """Measure the network on perfect devices."""
    ideal = Chip(mapping, load_preset("ideal"), seed=0, chip=0, compensation="none")
    measure.load(backend, ideal, 0.0, measure.when is not None)
    measure(backend, IDEAL_ANALOG, 0, 0.0, True, 0.0)
    bar.step(IDEAL_ANALOG)


def measure_chips(
    measure: Measure,
    bar: Progress,
    backend: Backend,
    mapping: Mapping,
    seed: int,
    compensation: str,
    left: list[tuple[int, Device, float]],
) -> None:
    """Measure (chip, device, time) in the order given, so that a stopped run has as many chips of every device."""
    checked: set[str] = set()
    chip: Chip | None = None
    for (number, name), group in groupby(left, key=lambda cell: (cell[0], cell[1].name)):
        cells = list(group)
        device = cells[0][1]
        start = time.perf_counter()
        chip = Chip(mapping, device, seed=seed, chip=number, compensation=compensation, memory=chip)
        if name not in checked:
            check_perturbed(chip)
            checked.add(name)
        if measure.when == "programming":
            measure.load(backend, chip, device.validity.t_s[0], True)
        for _, _, t_s in cells:
            measure.load(backend, chip, t_s, measure.when == "time")
            measure(backend, name, number, t_s, device.in_validity(t_s), time.perf_counter() - start)
            bar.step(f"{name} chip {number}")
            start = time.perf_counter()


class Measure:
    """Measures one cell and commits it.

    Args:
        record: where cells go.
        run: number of this run in the record.
        configuration: its id.
        metric: what is measured.
        data: what is reported on.
        batch_size: samples per forward pass.
        device: where to compute.
        when: when BatchNorm statistics are measured anew; None for never.
        calibration: the inputs to measure them on.
    """

    def __init__(
        self,
        record: Record,
        run: int,
        configuration: str,
        metric: Metric,
        data: Data,
        batch_size: int,
        device: torch.device,
        when: When | None,
        calibration: Data | None,
    ) -> None:
        self.record, self.run, self.configuration, self.metric = record, run, configuration, metric
        self.data, self.batch_size, self.device = data, batch_size, device
        self.when, self.calibration = when, calibration

    def check_digital(self, network: Network) -> None:
        """Raise if the network does not compute what it did when its record was begun.

        The record knows its weights and structure; what its Python code does with them shows only in its outputs.
        """
        cells = self.record.cells()
        row = cells[(cells["config_id"] == self.configuration) & (cells["preset"] == DIGITAL)]
        before = float(row["value"].iloc[0])
        now = self._score(network, DIGITAL)
        if abs(now - before) > self.metric.slack(before, len(self.data)):
            quantity = self.metric.quantity
            raise DriftproofError(
                f"the record holds a digital {quantity.label} of {quantity.number(before)}, now it is "
                f"{quantity.number(now)}: the network's code, its data or the metric have changed, though weights and "
                "structure have not; choose another --out folder"
            )

    def load(self, backend: Backend, chip: Chip, t_s: float, recalibrate: bool) -> None:
        """Become a chip at a time, and measure its BatchNorm statistics there if so wished."""
        backend.load(chip, t_s)
        if recalibrate and self.calibration is not None:
            backend.recalibrate(self._inputs())

    def _inputs(self) -> Iterator[Inputs]:
        assert self.calibration is not None
        return inputs_of(self.calibration, self.batch_size, self.device)

    def _score(self, network: Network, what: str) -> float:
        return score(self.metric, network, self.data, self.batch_size, self.device, what)

    def __call__(self, network: Network, preset: str, chip: int, t_s: float, valid: bool, before: float) -> None:
        """Measure one cell; ``before`` is how many seconds were spent on it already."""
        start = time.perf_counter()
        what = preset if preset in (DIGITAL, IDEAL_ANALOG) else f"{preset}, chip {chip}, {format_time(t_s)}"
        value = self._score(network, what)
        cell = Cell(
            config_id=self.configuration,
            preset=preset,
            chip=chip,
            t_s=t_s,
            in_validity=valid,
            metric=self.metric.name,
            value=value,
            n_samples=len(self.data),
            seconds=before + time.perf_counter() - start,
        )
        self.record.add_cell(cell, self.run)


def check_perturbed(chip: Chip) -> None:
    """Raise if a preset declares programming noise and yet every weight of the largest layer is exact."""
    name = max(chip.arrays, key=lambda layer: chip.arrays[layer].target.numel())
    array = chip.arrays[name]
    device = array.preset
    if not isinstance(device, DevicePreset):
        return
    declared = device.programming.model_dump()
    quiet = declared["law"] == "none" or declared.get("sigma", declared.get("half_width", 1)) == 0
    if quiet or not bool(array.target.any()):
        return
    if torch.equal(array.net(device.validity.t_s[1], read_noise=False), array.target):
        raise DriftproofError(
            f"preset {device.name} declares programming noise, but it changes no weight of layer {name!r}: "
            "look at the numbers of its programming law"
        )
