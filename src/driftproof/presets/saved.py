"""What a file keeps of a preset, and of a mix: all of their numbers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from driftproof.laws.table import Table
from driftproof.presets.mix import DeviceMix
from driftproof.presets.preset import DevicePreset

if TYPE_CHECKING:
    from torch import Tensor


class SavedPreset(Table):
    """A device of published laws."""

    kind: Literal["preset"] = "preset"
    sha256: str
    preset: DevicePreset

    def device(self, tensors: dict[str, Tensor], path: Path) -> DevicePreset:
        """Return the device."""
        return self.preset


class SavedMix(Table):
    """Different devices in different layers."""

    kind: Literal["mix"] = "mix"
    sha256: str
    name: str
    default: DevicePreset
    layers: tuple[tuple[str, DevicePreset], ...]

    def device(self, tensors: dict[str, Tensor], path: Path) -> DeviceMix:
        """Return the device."""
        return DeviceMix(self.name, self.default, self.layers)
