"""The form of measured chips in a file: their settings as values, their conductances as tensors."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from driftproof._devices.saved import tensor
from driftproof.laws._table import Table
from driftproof.measured._device import MeasuredDevice, Settings, TimeRange
from driftproof.measured._files import REFERENCE, LayerFile


class SavedMeasured(Table):
    """Measured chips; ``times_s`` holds the times of each layer, for each chip."""

    kind: Literal["measured"] = "measured"
    sha256: str
    name: str
    settings: Settings
    valid_s: tuple[float, float]
    times_s: tuple[dict[str, tuple[float, ...]], ...]

    @staticmethod
    def of(device: MeasuredDevice) -> tuple[SavedMeasured, dict[str, Tensor]]:
        """Return the saved form of a device, and its tensors: ``measured/CHIP/LAYER/NAME``."""
        tensors: dict[str, Tensor] = {}
        for number, layers in enumerate(device.layers):
            for layer, file in layers.items():
                arrays = dict(zip(device.conductance.file_columns, file.banks, strict=True))
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
            files = {}
            for layer, times in layers.items():
                place = f"measured/{number}/{layer}"
                columns = self.settings.conductance.file_columns
                banks = tuple(tensor(tensors, f"{place}/{bank}").numpy() for bank in columns)
                reference = tensors.get(f"{place}/{REFERENCE}")
                files[layer] = LayerFile(path, times, banks, None if reference is None else reference.numpy())
            chips.append(files)
        return MeasuredDevice(self.name, self.settings, tuple(chips), TimeRange(self.valid_s), self.sha256)
