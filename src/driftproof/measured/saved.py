"""What a file keeps of measured chips: their settings as values, their conductances as tensors."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from driftproof.devices.saved import tensor
from driftproof.laws.table import Table
from driftproof.measured.device import MeasuredDevice, Settings, TimeRange
from driftproof.measured.files import REFERENCE, LayerFile, bank_names


class SavedMeasured(Table):
    """Chips that were measured; ``times_s`` is chip after chip, layer → times."""

    kind: Literal["measured"] = "measured"
    sha256: str
    name: str
    settings: Settings
    valid_s: tuple[float, float]
    times_s: tuple[dict[str, tuple[float, ...]], ...]

    @staticmethod
    def of(device: MeasuredDevice) -> tuple[SavedMeasured, dict[str, Tensor]]:
        """Return what is written of a device, and its tensors: ``measured/CHIP/LAYER/NAME``."""
        tensors: dict[str, Tensor] = {}
        for number, layers in enumerate(device.layers):
            for layer, file in layers.items():
                arrays = dict(zip(bank_names(device.conductance), file.banks, strict=True))
                if file.reference is not None:
                    arrays[REFERENCE] = file.reference
                tensors |= {f"measured/{number}/{layer}/{name}": torch.tensor(array) for name, array in arrays.items()}
        return SavedMeasured(
            sha256=device.sha256,
            name=device.name,
            settings=device.settings,
            valid_s=device.validity.t_s,
            times_s=tuple({layer: file.t_s for layer, file in layers.items()} for layers in device.layers),
        ), tensors

    def device(self, tensors: dict[str, Tensor], path: Path) -> MeasuredDevice:
        """Return the device with its conductances."""
        chips = []
        for number, layers in enumerate(self.times_s):
            found = {}
            for layer, times in layers.items():
                place = f"measured/{number}/{layer}"
                banks = tuple(tensor(tensors, f"{place}/{bank}") for bank in bank_names(self.settings.conductance))
                column = tensors.get(f"{place}/{REFERENCE}")
                found[layer] = LayerFile(
                    path, times, tuple(bank.numpy() for bank in banks), None if column is None else column.numpy()
                )
            chips.append(found)
        return MeasuredDevice(self.name, self.settings, tuple(chips), TimeRange(self.valid_s), self.sha256)
