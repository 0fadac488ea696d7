"""Different devices for different layers of one network."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from driftproof._errors import DriftproofError
from driftproof._presets.load import load_preset, shown
from driftproof._presets.preset import DevicePreset, StoredPreset
from driftproof.laws._effects import Effect
from driftproof.laws._table import Table
from driftproof.laws._validity import Validity

if TYPE_CHECKING:
    from torch import Tensor

    from driftproof._devices import ProgrammedArray


@dataclass(frozen=True)
class DeviceMix:
    """One device for most layers, and other devices for layers that match a pattern.

    Attributes:
        name: The text of the mix, ``DEVICE,PATTERN=DEVICE,…``.
        default: Device of the layers that match no pattern.
        layers: Pairs (pattern, device). The first pattern that matches a layer's canonical name counts. ``*`` matches
            any text, including dots.
    """

    chips: ClassVar[None] = None
    """None: any number of chips can be drawn."""
    laws: ClassVar[None] = None
    """None: its layers have different laws."""

    name: str
    default: DevicePreset
    layers: tuple[tuple[str, DevicePreset], ...]

    def for_layer(self, layer: str) -> DevicePreset:
        """Return the device of a layer.

        >>> mix = load_mix("pcm-nandakumar-2019,fc=ideal")
        >>> mix.for_layer("fc").name, mix.for_layer("conv1").name
        ('ideal', 'pcm-nandakumar-2019')
        """
        return next((device for pattern, device in self.layers if fnmatchcase(layer, pattern)), self.default)

    def check_layers(self, layers: Iterable[str]) -> None:
        """Raise DriftproofError if a pattern gives no layer its device, or if no layer has the default."""
        names = list(layers)
        left = set(names)
        for pattern, _ in self.layers:
            matching = {name for name in names if fnmatchcase(name, pattern)}
            if not matching:
                raise DriftproofError(
                    f"device {self.name}: {pattern!r} matches no layer on tiles; there are {', '.join(names)}"
                )
            if not matching & left:
                raise DriftproofError(
                    f"device {self.name}: every layer of {pattern!r} has a device by an earlier pattern; "
                    "give the narrower pattern first"
                )
            left -= matching
        if not left:
            raise DriftproofError(
                f"device {self.name}: no layer is left for {self.default.name}; leave one out of the patterns"
            )

    @property
    def parts(self) -> tuple[DevicePreset, ...]:
        """The devices of the mix, each once, the default first."""
        return tuple({device.name: device for device in (self.default, *(d for _, d in self.layers))}.values())

    @property
    def validity(self) -> Validity:
        """The times at which all devices are valid.

        Raises:
            DriftproofError: If there are none.
        """
        starts, ends = zip(*(device.validity.t_s for device in self.parts), strict=True)
        if max(starts) >= min(ends):
            raise DriftproofError(f"device {self.name}: its devices have no valid time in common")
        return Validity(t_s=(max(starts), min(ends)))

    def in_validity(self, t_s: float) -> bool:
        """Whether a time after the first read, in s, lies in the range of validity of every device."""
        return all(device.in_validity(t_s) for device in self.parts)

    @property
    def changes_in_time(self) -> bool:
        """Whether the weights of some layer depend on the time."""
        return any(device.changes_in_time for device in self.parts)

    def relative_to(self, layer: str) -> Literal["column", "layer"]:
        """Return whether a layer's targets are relative to the maximum of their tile's column, or of the layer."""
        return self.for_layer(layer).relative_to(layer)

    def array(
        self,
        layer: str,
        chip: int,
        target: Tensor,
        *,
        seed: int,
        groups: int = 1,
        rows: tuple[slice, ...] = (),
        state: dict[str, Tensor] | None = None,
    ) -> ProgrammedArray:
        """Return one layer of one chip; see :meth:`driftproof._devices.Device.array`."""
        device = self.for_layer(layer)
        return device.array(layer, chip, target, seed=seed, groups=groups, rows=rows, state=state)

    def without(self, *effects: Effect) -> DeviceMix:
        """Return the same devices without some of their laws; see :func:`driftproof._presets.without`."""
        default = self.default.without(*effects)
        layers = tuple((pattern, device.without(*effects)) for pattern, device in self.layers)
        if (default, layers) == (self.default, self.layers):
            return self
        return DeviceMix(f"{self.name} [without {', '.join(effects)}]", default, layers)

    def one_die_per_wafer(self) -> DeviceMix:
        """Return the same devices with every chip from a wafer of its own."""
        layers = tuple((pattern, device.one_die_per_wafer()) for pattern, device in self.layers)
        return DeviceMix(self.name, self.default.one_die_per_wafer(), layers)

    @property
    def sha256(self) -> str:
        """Hash of the patterns and of the devices' numbers."""
        parts = [("*", self.default.sha256), *((pattern, device.sha256) for pattern, device in self.layers)]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    def definition(self) -> dict[str, Any]:
        """Return the mix as plain JSON values, with the names of its devices."""
        return {
            "name": self.name,
            "family": "mixed",
            "summary": "Different devices for different layers.",
            "devices": {pattern: device.name for pattern, device in (*self.layers, ("all other layers", self.default))},
            "validity": self.validity.model_dump(mode="json", exclude_none=True),
        }

    def saved(self) -> tuple[SavedMix, dict[str, Tensor]]:
        """Return the form in which a file stores the mix."""
        return SavedMix(sha256=self.sha256, name=self.name, default=self.default, layers=self.layers), {}


class SavedMix(Table):
    """The form in which a file stores a mix."""

    kind: Literal["mix"] = "mix"
    sha256: str
    name: str
    default: StoredPreset
    layers: tuple[tuple[str, StoredPreset], ...]

    def device(self, tensors: dict[str, Tensor], path: Path) -> DeviceMix:
        """Return the mix."""
        return DeviceMix(self.name, self.default, self.layers)


def is_mix(text: str) -> bool:
    """Whether a text names different devices for different layers: it has a comma and is not a file."""
    return "," in text and not Path(text).is_file()


def load_mix(text: str, changes: Mapping[str, Any] | None = None) -> DeviceMix:
    """Return the devices that ``DEVICE,PATTERN=DEVICE,…`` names, each as :func:`load_preset` takes it.

    Args:
        text: The devices, such as ``pcm-nandakumar-2019,conv1=reram-wan-2022,layer3.*=gaussian:0.02``.
        changes: New numbers by dotted key, for every device (default: none).

    Raises:
        DriftproofError: If the default is not first, a part has no ``=``, a device is unknown, or the devices have no
            valid time in common.
    """
    default, *parts = text.split(",")
    if any(part.rpartition("=")[2].startswith("measured:") for part in (default, *parts)):
        raise DriftproofError(
            f"device {text!r}: measured chips stand alone and cannot be mixed with presets in one network"
        )
    if "=" in default:
        raise DriftproofError(
            f"device {text!r}: wanted the device of most layers first, then PATTERN=DEVICE for the others"
        )
    layers = []
    for part in parts:
        pattern, equals, device = part.partition("=")
        if not equals or not pattern or not device:
            raise DriftproofError(f"device {text!r}: wanted PATTERN=DEVICE such as fc=ideal, got {part!r}")
        layers.append((pattern, load_preset(device, changes)))
    mix = DeviceMix(text + shown(changes), load_preset(default, changes), tuple(layers))
    if len({(device.name, device.sha256) for device in (mix.default, *(d for _, d in layers))}) > len(mix.parts):
        raise DriftproofError(f"device {text!r}: two of its devices have one name and other numbers; rename one")
    _ = mix.validity
    wafers = {
        device.variation.wafer.dies_per_wafer for device in mix.parts if device.variation and device.variation.wafer
    }
    if len(wafers) > 1:
        raise DriftproofError(
            f"device {text!r}: its devices are on one die, but variation.wafer.dies_per_wafer is "
            f"{' and '.join(map(str, sorted(wafers)))}; give one number"
        )
    return mix
