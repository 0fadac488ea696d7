"""The form of ``converted.json``: a saved network or chip without its tensors.

The tensors are in ``weights.safetensors`` in the same folder: ``network/NAME`` (digital state), ``target/LAYER`` and
``scale/LAYER`` (weights on tiles), ``lost/LAYER`` (what target times scale loses of quantised weights),
``chip/LAYER/NAME`` (lasting state of devices), ``measured/CHIP/LAYER/NAME``.
"""

from __future__ import annotations

from dataclasses import asdict, fields
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor

from driftproof._calls import Layout
from driftproof._devices.saved import tensor
from driftproof._errors import DriftproofError
from driftproof._mapping import LayerEntry, MappedWeight, Mapping, Scale, TileSize
from driftproof._presets import SavedMix, SavedPreset
from driftproof.laws._table import Table
from driftproof.measured._saved import SavedMeasured
from driftproof.periphery import Periphery

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
        """Return the form of a weight."""
        spans = {name: tuple((part.start, part.stop) for part in getattr(mapped, name)) for name in ("rows", "columns")}
        return SavedWeight(**{name: getattr(mapped, name) for name in _SAME}, **spans, **asdict(mapped.layout))

    def mapped(self, tensors: Tensors) -> MappedWeight:
        """Return the weight with its tensors.

        Raises:
            DriftproofError: If a tensor is missing or has another shape.
        """
        layout = Layout(inputs_first=self.inputs_first, groups=self.groups, stacked=self.stacked)
        size = layout.size(self.shape)
        return MappedWeight(
            **{name: getattr(self, name) for name in _SAME},
            target=tensor(tensors, f"target/{self.name}", size),
            scale=tensor(tensors, f"scale/{self.name}", (len(self.rows), size[0])),
            rows=tuple(slice(*part) for part in self.rows),
            columns=tuple(slice(*part) for part in self.columns),
            layout=layout,
            lost=_lost(tensors, self.name, size),
        )


def _lost(tensors: Tensors, layer: str, size: tuple[int, int]) -> Tensor | None:
    """Return what target times scale lost of quantised weights; files of older versions do not have it."""
    name = f"lost/{layer}"
    lost = tensors.get(name)
    if lost is not None and (lost.dtype != torch.int8 or tuple(lost.shape) not in ((), tuple(size))):
        raise DriftproofError(
            f"tensor {name!r} is {lost.dtype} {list(lost.shape)}, wanted torch.int8 [] or {list(size)}: the file was "
            "changed; save again"
        )
    return lost


_SAME = {part.name for part in fields(MappedWeight)} & set(SavedWeight.model_fields) - {"rows", "columns"}
"""Names that a mapped weight and its form share."""


class SavedMapping(Table):
    """Which weights are on tiles, and how."""

    tile: Span
    scale: Scale
    clip: float | None = None
    layers: tuple[LayerEntry, ...]
    weights: tuple[SavedWeight, ...]

    @staticmethod
    def of(mapping: Mapping) -> SavedMapping:
        """Return the form of a mapping."""
        tile, weights = (mapping.tile.rows, mapping.tile.columns), tuple(map(SavedWeight.of, mapping.weights.values()))
        return SavedMapping(tile=tile, scale=mapping.scale, clip=mapping.clip, layers=mapping.layers, weights=weights)

    def mapping(self, tensors: Tensors) -> Mapping:
        """Return the mapping with its tensors."""
        weights = {saved.name: saved.mapped(tensors) for saved in self.weights}
        return Mapping(TileSize(*self.tile), self.layers, weights, self.scale, self.clip)


SavedDevice = Annotated[SavedPreset | SavedMix | SavedMeasured, Field(discriminator="kind")]
"""The forms of devices that can be read, distinguished by ``kind``; ``saved()`` of a device returns one of them."""


class SavedNetwork(Table):
    """The digital part of a network.

    Attributes:
        kind: Class of the network.
        arrays: Name of a weight → name of its layer on tiles.
        same: Name → the name that its tensor has in the file.
        passing: Names of buffers that the network does not count as its state.
        settings: Module → its class, and settings that its parameters' shapes do not determine, such as a stride.
    """

    kind: str
    arrays: dict[str, str]
    same: dict[str, str]
    passing: tuple[str, ...]
    settings: dict[str, dict[str, Any]]


class SavedChip(Table):
    """The seed and number of a chip, and the torch device that drew its random numbers (``cpu``, ``cuda``)."""

    seed: int
    number: int
    drawn_on: str
    read_outs: str | None = None


class SavedMoment(Table):
    """The time of a chip on tiles, whether it was read since programming, and the number of the next sample."""

    t_s: float
    read: bool
    next_sample: int


class Saved(Table):
    """The whole of ``converted.json``. ``within_validity`` is written only if it is true: older versions lack it."""

    format: int
    kind: Literal["converted network", "programmed network", "chip"]
    driftproof: str
    torch: str
    weights_sha256: str
    compensation: str
    device: SavedDevice
    mapping: SavedMapping
    network: SavedNetwork | None = None
    periphery: Periphery | None = None
    ranges: dict[str, tuple[float, ...]] = Field(default_factory=dict)
    chip: SavedChip | None = None
    moment: SavedMoment | None = None
    within_validity: bool | None = None
