"""The form of ``converted.json``: what a saved network or chip is, but for its tensors.

Beside it lies ``weights.safetensors``. Its tensors: ``network/NAME`` (what stays digital), ``target/LAYER`` and
``scale/LAYER`` (what is on tiles), ``chip/LAYER/NAME`` (what devices keep for life), ``measured/CHIP/LAYER/NAME``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor

from driftproof.calls import Layout
from driftproof.device_choice import Device
from driftproof.errors import DriftproofError
from driftproof.mapping import LayerEntry, MappedWeight, Mapping, Scale, TileSize
from driftproof.measured import MeasuredDevice
from driftproof.measured.device import Settings, TimeRange
from driftproof.measured.files import REFERENCE, LayerFile, bank_names
from driftproof.periphery import Periphery
from driftproof.presets import DeviceMix, DevicePreset
from driftproof.presets.laws import Table

FORMAT = 1
Tensors = dict[str, Tensor]
Span = tuple[int, int]


class SavedWeight(Table):
    """One weight on tiles, without its tensors."""

    name: str
    path: str
    parameter: str
    shape: tuple[int, ...]
    rows: tuple[Span, ...]
    columns: tuple[Span, ...]
    inputs_first: bool
    groups: int
    stacked: bool
    aliases: tuple[tuple[str, str], ...]
    modules: tuple[str, ...]
    readers: tuple[str, ...]
    uses: int
    made: bool
    clipped: int

    @staticmethod
    def of(mapped: MappedWeight) -> SavedWeight:
        """Return what is written of a weight."""
        return SavedWeight(
            name=mapped.name,
            path=mapped.path,
            parameter=mapped.parameter,
            shape=mapped.shape,
            rows=tuple((part.start, part.stop) for part in mapped.rows),
            columns=tuple((part.start, part.stop) for part in mapped.columns),
            inputs_first=mapped.layout.inputs_first,
            groups=mapped.layout.groups,
            stacked=mapped.layout.stacked,
            aliases=mapped.aliases,
            modules=mapped.modules,
            readers=mapped.readers,
            uses=mapped.uses,
            made=mapped.made,
            clipped=mapped.clipped,
        )

    def mapped(self, tensors: Tensors) -> MappedWeight:
        """Return the weight with its tensors.

        Raises:
            DriftproofError: a tensor that is missing or of another shape.
        """
        layout = Layout(inputs_first=self.inputs_first, groups=self.groups, stacked=self.stacked)
        size = layout.size(self.shape)
        return MappedWeight(
            name=self.name,
            path=self.path,
            shape=self.shape,
            target=tensor(tensors, f"target/{self.name}", size),
            scale=tensor(tensors, f"scale/{self.name}", (len(self.rows), size[0])),
            rows=tuple(slice(*part) for part in self.rows),
            columns=tuple(slice(*part) for part in self.columns),
            layout=layout,
            parameter=self.parameter,
            aliases=self.aliases,
            modules=self.modules,
            readers=self.readers,
            uses=self.uses,
            made=self.made,
            clipped=self.clipped,
        )


class SavedMapping(Table):
    """Which weights are on tiles, and how."""

    tile: Span
    scale: Scale
    clip: float | None = None
    layers: tuple[LayerEntry, ...]
    weights: tuple[SavedWeight, ...]

    @staticmethod
    def of(mapping: Mapping) -> tuple[SavedMapping, Tensors]:
        """Return what is written of a mapping, and its tensors."""
        weights = mapping.weights
        return SavedMapping(
            tile=(mapping.tile.rows, mapping.tile.columns),
            scale=mapping.scale,
            clip=mapping.clip,
            layers=mapping.layers,
            weights=tuple(SavedWeight.of(mapped) for mapped in weights.values()),
        ), {
            **{f"target/{name}": mapped.target for name, mapped in weights.items()},
            **{f"scale/{name}": mapped.scale for name, mapped in weights.items()},
        }

    def mapping(self, tensors: Tensors) -> Mapping:
        """Return the mapping with its tensors."""
        weights = {saved.name: saved.mapped(tensors) for saved in self.weights}
        return Mapping(TileSize(*self.tile), self.layers, weights, self.scale, self.clip)


class SavedPreset(Table):
    """A device of published laws."""

    kind: Literal["preset"] = "preset"
    sha256: str
    preset: DevicePreset

    def device(self, tensors: Tensors, path: Path) -> Device:
        """Return the device."""
        return self.preset


class SavedMix(Table):
    """Different devices in different layers."""

    kind: Literal["mix"] = "mix"
    sha256: str
    name: str
    default: DevicePreset
    layers: tuple[tuple[str, DevicePreset], ...]

    def device(self, tensors: Tensors, path: Path) -> Device:
        """Return the device."""
        return DeviceMix(self.name, self.default, self.layers)


class SavedMeasured(Table):
    """Chips that were measured; ``times_s`` is chip after chip, layer → times."""

    kind: Literal["measured"] = "measured"
    sha256: str
    name: str
    settings: Settings
    valid_s: tuple[float, float]
    times_s: tuple[dict[str, tuple[float, ...]], ...]

    def device(self, tensors: Tensors, path: Path) -> Device:
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


def save_device(device: Device) -> tuple[SavedPreset | SavedMix | SavedMeasured, Tensors]:
    """Return what is written of a device, and its tensors: only measured ones have any."""
    if isinstance(device, DevicePreset):
        return SavedPreset(sha256=device.sha256, preset=device), {}
    if isinstance(device, DeviceMix):
        return SavedMix(sha256=device.sha256, name=device.name, default=device.default, layers=device.layers), {}
    tensors: Tensors = {}
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


class SavedNetwork(Table):
    """What stays digital.

    Attributes:
        kind: class of the network.
        arrays: name of a weight → the layer on tiles that it is.
        same: name → the name under which its tensor is in the file.
        passing: names of buffers that the network itself does not count as its state.
        settings: module → class and numbers that its parameters' shapes do not tell, such as a stride.
    """

    kind: str
    arrays: dict[str, str]
    same: dict[str, str]
    passing: tuple[str, ...]
    settings: dict[str, dict[str, Any]]


class SavedChip(Table):
    """Which chip it is, and the kind of device that drew its numbers (``cpu``, ``cuda``)."""

    seed: int
    number: int
    drawn_on: str


class SavedMoment(Table):
    """Where a chip on tiles stands: its time, whether it was read since programming, and the sample that comes next."""

    t_s: float
    read: bool
    next_sample: int


class Saved(Table):
    """The whole of ``converted.json``; ``within_validity`` is there only if it is true: older versions lack it."""

    format: int
    kind: Literal["converted network", "programmed network", "chip"]
    driftproof: str
    torch: str
    weights_sha256: str
    compensation: str
    device: Annotated[SavedPreset | SavedMix | SavedMeasured, Field(discriminator="kind")]
    mapping: SavedMapping
    network: SavedNetwork | None = None
    periphery: Periphery | None = None
    ranges: dict[str, tuple[float, ...]] = Field(default_factory=dict)
    chip: SavedChip | None = None
    moment: SavedMoment | None = None
    within_validity: bool | None = None


def tensor(tensors: Tensors, name: str, shape: tuple[int, ...] | None = None) -> Tensor:
    """Return a float32 tensor by its name in the file.

    Raises:
        DriftproofError: there is none, or it has another shape or kind of number.
    """
    found = tensors.get(name)
    if found is None:
        raise DriftproofError(f"no tensor {name!r} in the file of weights: it was changed; save anew")
    if found.dtype != torch.float32 or (shape is not None and tuple(found.shape) != shape):
        raise DriftproofError(
            f"tensor {name!r} is {found.dtype} {list(found.shape)}; wanted torch.float32"
            f"{'' if shape is None else f' {list(shape)}'}: the file was changed; save anew"
        )
    return found
