"""A network whose layers are analog or digital as asked, measured in every such configuration on the same chips."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Collection, Sequence
from importlib import metadata
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from driftproof.chip import Chip
from driftproof.compensation import as_compensation
from driftproof.data import Data, as_data, hold
from driftproof.deployment.cells import Cell, Cells
from driftproof.deployment.conditions import Conditions, Setting
from driftproof.device_choice import Device, load_device
from driftproof.errors import DriftproofError, did_you_mean
from driftproof.evaluation import FoldedNetwork, as_metric
from driftproof.evaluation.checks import check_device, check_numbers, check_seed
from driftproof.evaluation.measure import check_perturbed
from driftproof.evaluation.score import score
from driftproof.evaluation.surroundings import surroundings
from driftproof.inputs import Inputs, call, to_device
from driftproof.mapping import LayerEntry, map_model, unwrap
from driftproof.measured import MeasuredDevice
from driftproof.presets import DevicePreset
from driftproof.progress import Progress
from driftproof.provenance import model_hash
from driftproof.record import DIGITAL
from driftproof.times import format_time, parse_time

Values = npt.NDArray[np.float64]


class MixedNetwork:
    """A trained network, some of whose layers are on a chip and the others digital.

    A chip is programmed once and serves all configurations: what a layer's devices are does not depend on where the
    other layers are, so that differences between configurations are paired.

    Args:
        model: a trained network; it is not changed.
        example: data of the kind that will be measured: the network is watched on a few samples of it.
        conditions: what stays the same.
        cells: what was measured before, and where new values go.

    Attributes:
        layers: those that can be analog, in the network's order, by name.
        metric: what is measured.

    Raises:
        DriftproofError: nothing can go on tiles; a periphery that only the tiles backend knows.

    >>> from driftproof.data import digits
    >>> from driftproof.zoo import trained_digits_cnn
    >>> data = digits().head(100)
    >>> mixed = MixedNetwork(trained_digits_cnn(), data)
    >>> list(mixed.layers)
    ['conv1', 'conv2', 'fc1', 'fc2']
    >>> values = mixed.measure("ideal", "1s", data, chips=range(2), configurations=[(), ("fc2",)])
    >>> values.shape, round(mixed.analog_share(["fc2"]), 2)
    ((2, 2), 99.81)
    """

    def __init__(
        self, model: nn.Module, example: Data | object, conditions: Conditions | None = None, cells: Cells | None = None
    ) -> None:
        self.conditions = made = conditions or Conditions()
        self.cells = Cells() if cells is None else cells
        self.metric, self.compensation = as_metric(made.metric), as_compensation(made.compensation)
        check_numbers(batch_size=made.batch_size)
        check_seed(made.seed)
        self._where = check_device(made.device)
        self._plain = copy.deepcopy(unwrap(model)).eval().to(self._where)
        first = hold(as_data(example))
        inputs = to_device(next(iter(first.batches(min(8, len(first)))))[0], self._where)
        self.mapping = map_model(self._plain, made.tile, inputs, where=made.where, scale=made.scale, clip=made.clip)
        arrays = self.mapping.weights
        self.layers: dict[str, LayerEntry] = {e.name: e for e in self.mapping.layers if e.analog and e.name in arrays}
        around = surroundings(
            made.periphery, made.calibration, first, self._plain, self.mapping, made.batch_size, self._where
        )
        self.periphery = around.periphery
        self._network = FoldedNetwork(
            self._plain, self.mapping, inputs, periphery=around.periphery, ranges=around.ranges
        )
        self._checked: set[str] = set()
        parts = (
            metadata.version("driftproof"),
            model_hash(self._plain),
            (self.mapping.tile, self.mapping.scale, self.mapping.clip),
            tuple(self.mapping.weights),
            self.metric.quantity,
            self.periphery.sha256,
            around.ranges,
            made.device,
        )
        self._subject = hashlib.sha256(repr(parts).encode()).hexdigest()[:16]

    def analog_share(self, digital: Collection[str], of: Literal["macs", "weights"] = "macs") -> float:
        """Return how much of the network's products is analog, in percent.

        Args:
            digital: names of the digital layers.
            of: multiply-accumulates per input, or weights. All layers that multiply count, those too which cannot be
                analog; look-up tables, norms and biases do not.
        """
        entries = [entry for entry in self.mapping.layers if entry.macs_per_input is not None]
        sizes = {entry.name: (entry.macs_per_input or 0) if of == "macs" else entry.weights for entry in entries}
        analog = sum(sizes[name] for name in self.layers if name not in digital)
        return 100.0 * analog / max(1, sum(sizes.values()))

    def setting(self, device: Device, t_s: float) -> Setting:
        """Return on what a result is measured."""
        return Setting(
            device=device.name,
            t_s=t_s,
            in_validity=device.in_validity(t_s),
            compensation=str(self.compensation),
            periphery=str(self.periphery),
            seed=self.conditions.seed,
        )

    def check_device(self, device: Device, chips: Sequence[int]) -> None:
        """Raise DriftproofError if a device does not fit the layers, or has not so many measured chips."""
        if not isinstance(device, DevicePreset):
            device.check_layers(self.mapping.weights)
        if isinstance(device, MeasuredDevice) and max(chips) >= device.chips:
            raise DriftproofError(
                f"device {device.name} has {device.chips} measured chips, wanted are {max(chips) + 1}; ask for fewer "
                "(a search wants chips to choose on, and others to report on)"
            )

    def digital(self, data: Data) -> float:
        """Measure the network itself, without analog hardware.

        Raises:
            DriftproofError: it was measured before with another value: its code, or the metric's, has changed.
        """

        @torch.inference_mode()
        def run(inputs: Inputs, _: int) -> Any:
            return call(self._plain, inputs)

        cell = self._cell(data, DIGITAL, "", 0.0, 0, "")
        value = score(self.metric, run, data, self.conditions.batch_size, self._where, DIGITAL)
        before = self.cells.get(cell)
        if before is None:
            self.cells[cell] = value
        elif abs(value - before) > self.metric.slack(before, len(data)):
            quantity = self.metric.quantity
            raise DriftproofError(
                f"the cells hold a digital {quantity.label} of {quantity.number(before)}, now it is "
                f"{quantity.number(value)}: the network's code or the metric has changed; choose another folder"
            )
        return value

    def measure(
        self,
        device: Device | str,
        t: str | float,
        data: Data,
        *,
        chips: Sequence[int],
        configurations: Sequence[Collection[str]],
        what: str = "",
    ) -> Values:
        """Measure configurations, all on the same chips.

        Args:
            device: what the analog layers are on.
            t: time after programming.
            data: what is measured on.
            chips: their numbers.
            configurations: names of the digital layers of each; empty for all analog.
            what: shown with the progress.

        Returns:
            The metric, [chips, configurations].

        Raises:
            DriftproofError: an unknown layer or time; outputs that are not finite.
        """
        device = load_device(device) if isinstance(device, str) else device
        self.check_device(device, chips)
        t_s = parse_time(t)
        sets = [self._checked_names(digital) for digital in configurations]
        keys = [" ".join(name or "(root)" for name in self.layers if name in digital) for digital in sets]
        values = np.full((len(chips), len(sets)), np.nan)
        all_digital = self._cell(data, DIGITAL, "", 0.0, 0, " ".join(name or "(root)" for name in self.layers))
        cells = [
            [
                # nothing of a chip is left where all layers are digital: one value for all of them
                all_digital
                if len(digital) == len(self.layers)
                else self._cell(data, device.name, device.sha256, t_s, number, key)
                for digital, key in zip(sets, keys, strict=True)
            ]
            for number in chips
        ]
        left = {cell for row in cells for cell in row if self.cells.get(cell) is None}
        chip: Chip | None = None
        with Progress(len(left), shown=self.conditions.progress) as bar:
            for row, number in enumerate(chips):
                if left.intersection(cells[row]) - {all_digital}:
                    chip = self._program(device, number, chip)
                for column, (cell, digital) in enumerate(zip(cells[row], sets, strict=True)):
                    if cell in left:
                        self.cells[cell] = self._score(chip, t_s, digital, data)
                        left.discard(cell)  # the same configuration may come twice
                        bar.step(what or f"{device.name} chip {number}")
                    values[row, column] = self.cells.get(cell)
        return values

    def _score(self, chip: Chip | None, t_s: float, digital: frozenset[str], data: Data) -> float:
        if len(digital) == len(self.layers):
            self._network.write({})
            what = "all layers digital"
        else:
            assert chip is not None
            self._network.load(chip, t_s, digital=digital)
            what = f"{chip.preset.name}, chip {chip.number}, {format_time(t_s)}, {len(digital)} digital layers"
        return score(self.metric, self._network, data, self.conditions.batch_size, self._where, what)

    def _program(self, device: Device, number: int, spent: Chip | None) -> Chip:
        chip = Chip(
            self.mapping, device, seed=self.conditions.seed, chip=number, compensation=self.compensation, memory=spent
        )
        if device.sha256 not in self._checked:
            check_perturbed(chip)
            self._checked.add(device.sha256)
        return chip

    def _checked_names(self, digital: Collection[str]) -> frozenset[str]:
        if isinstance(digital, str):
            raise DriftproofError(f"digital layers came as a text, {digital!r}; wanted their names in a list or a set")
        for name in digital:
            if name not in self.layers:
                raise DriftproofError(
                    f"no layer {name!r} is on tiles{did_you_mean(name, self.layers)}; there are "
                    f"{', '.join(name or '(root)' for name in self.layers)}"
                )
        return frozenset(digital)

    def _cell(self, data: Data, device: str, device_hash: str, t_s: float, chip: int, digital: str) -> Cell:
        return Cell(
            subject=self._subject,
            data=data.fingerprint(),
            device=device,
            device_hash=device_hash[:16],
            compensation=str(self.compensation),
            t_s=t_s,
            seed=self.conditions.seed,
            chip=chip,
            digital=digital,
        )
