"""The form of ``converted.json``: what a saved network or chip is, but for its tensors.

Beside it lies ``weights.safetensors``. Its tensors: ``network/NAME`` (what stays digital), ``target/LAYER`` and
``scale/LAYER`` (what is on tiles), ``chip/LAYER/NAME`` (what devices keep for life), ``measured/CHIP/LAYER/NAME``.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter
from torch import Tensor

from driftproof.calls import Layout
from driftproof.devices import Device
from driftproof.devices.saved import tensor
from driftproof.laws.table import Table
from driftproof.mapping import LayerEntry, MappedWeight, Mapping, Scale, TileSize
from driftproof.measured.saved import SavedMeasured
from driftproof.periphery import Periphery
from driftproof.presets.saved import SavedMix, SavedPreset

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
    both_ways: bool = False

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
            both_ways=mapped.both_ways,
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
            both_ways=self.both_ways,
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


SavedDevice = SavedPreset | SavedMix | SavedMeasured
"""The one list of forms that can be read: what devices return of themselves as ``saved()``, told apart by ``kind``."""

_DEVICE: TypeAdapter[SavedDevice] = TypeAdapter(Annotated[SavedDevice, Field(discriminator="kind")])


def save_device(device: Device) -> tuple[SavedDevice, Tensors]:
    """Return what is written of a device, in one of the forms that can be read, and its tensors."""
    form, tensors = device.saved()
    return _DEVICE.validate_python(form), tensors


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
    device: Annotated[SavedDevice, Field(discriminator="kind")]
    mapping: SavedMapping
    network: SavedNetwork | None = None
    periphery: Periphery | None = None
    ranges: dict[str, tuple[float, ...]] = Field(default_factory=dict)
    chip: SavedChip | None = None
    moment: SavedMoment | None = None
    within_validity: bool | None = None
