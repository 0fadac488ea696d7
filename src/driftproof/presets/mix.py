"""Different devices for different layers of one network."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from driftproof.errors import DriftproofError
from driftproof.laws.effects import Effect
from driftproof.laws.validity import Validity
from driftproof.presets.load import load_preset
from driftproof.presets.preset import DevicePreset

if TYPE_CHECKING:
    from torch import Tensor

    from driftproof.devices import Array, ProgrammedArray
    from driftproof.presets.saved import SavedMix


@dataclass(frozen=True)
class DeviceMix:
    """A device for most layers, and others for those that a pattern names.

    Attributes:
        name: the text that says it, ``DEVICE,PATTERN=DEVICE,…``.
        default: the device of the layers that no pattern names.
        layers: (pattern, device) in order; the first that matches a layer's canonical name counts. ``*`` matches any
            text, dots too.
    """

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
        """Raise DriftproofError for a pattern that is no layer's device, and for a default that no layer has."""
        names = list(layers)
        for place, (pattern, _) in enumerate(self.layers):
            own = [name for name in names if fnmatchcase(name, pattern)]
            taken = [name for name in own if any(fnmatchcase(name, earlier) for earlier, _ in self.layers[:place])]
            if not own:
                raise DriftproofError(
                    f"device {self.name}: {pattern!r} matches no layer on tiles; there are {', '.join(names)}"
                )
            if own == taken:
                raise DriftproofError(
                    f"device {self.name}: every layer of {pattern!r} has a device by an earlier pattern; "
                    "give the narrower pattern first"
                )
        if all(any(fnmatchcase(name, pattern) for pattern, _ in self.layers) for name in names):
            raise DriftproofError(
                f"device {self.name}: no layer is left for {self.default.name}; leave one out of the patterns"
            )

    @property
    def devices(self) -> tuple[DevicePreset, ...]:
        """The devices, each once, the default first."""
        return tuple({device.name: device for device in (self.default, *(d for _, d in self.layers))}.values())

    @property
    def validity(self) -> Validity:
        """The times at which all devices are valid.

        Raises:
            DriftproofError: if there are none.
        """
        low = max(device.validity.t_s[0] for device in self.devices)
        high = min(device.validity.t_s[1] for device in self.devices)
        if low >= high:
            raise DriftproofError(f"device {self.name}: its devices have no valid time in common")
        return Validity(t_s=(low, high))

    def in_validity(self, t_s: float) -> bool:
        """Whether a time after programming, in s, lies in the range of validity of every device."""
        return all(device.in_validity(t_s) for device in self.devices)

    @property
    def chips(self) -> None:
        """None: as many chips can be drawn as are wanted."""
        return

    @property
    def laws(self) -> None:
        """None: its layers have different laws."""
        return

    @property
    def parts(self) -> tuple[DevicePreset, ...]:
        """The devices that it consists of, each once, the default first."""
        return self.devices

    @property
    def changes_in_time(self) -> bool:
        """Whether the weights of some layer depend on the time."""
        return any(device.changes_in_time for device in self.devices)

    def relative_to(self, layer: str) -> Literal["column", "layer"]:
        """Return which maximum the targets of a layer are relative to."""
        return self.for_layer(layer).relative_to(layer)

    def array(
        self,
        layer: str,
        chip: int,
        target: Tensor,
        *,
        seed: int,
        groups: int = 1,
        state: dict[str, Tensor] | None = None,
        memory: Array | None = None,
    ) -> ProgrammedArray:
        """Return one layer of one chip; see :meth:`driftproof.devices.Device.array`."""
        device = self.for_layer(layer)
        return device.array(layer, chip, target, seed=seed, groups=groups, state=state, memory=memory)

    def without(self, *effects: Effect) -> DeviceMix:
        """Return the same devices without some of their laws; see :func:`driftproof.presets.without`."""
        from driftproof.presets.variants import mix_without

        return mix_without(self, effects)

    @property
    def sha256(self) -> str:
        """Hash of the patterns and of the numbers of the devices."""
        parts = [("*", self.default.sha256), *((pattern, device.sha256) for pattern, device in self.layers)]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    def definition(self) -> dict[str, Any]:
        """Return what it is as plain JSON values; the devices have definitions of their own."""
        return {
            "name": self.name,
            "family": "mixed",
            "summary": "Different devices for different layers.",
            "devices": {pattern: device.name for pattern, device in (*self.layers, ("all other layers", self.default))},
            "validity": self.validity.model_dump(mode="json", exclude_none=True),
        }

    def saved(self) -> tuple[SavedMix, dict[str, Tensor]]:
        """Return what a file keeps of it."""
        from driftproof.presets.saved import SavedMix

        return SavedMix(sha256=self.sha256, name=self.name, default=self.default, layers=self.layers), {}


def is_mix(text: str) -> bool:
    """Whether a text says different devices for different layers: it has a comma and is no file."""
    return "," in text and not Path(text).is_file()


def load_mix(text: str, changes: Mapping[str, Any] | None = None) -> DeviceMix:
    """Return the devices that ``DEVICE,PATTERN=DEVICE,…`` names, each as :func:`load_preset` takes it.

    Args:
        text: such as ``pcm-nandakumar-2019,conv1=reram-wan-2022,layer3.*=gaussian:0.02``.
        changes: dotted key → new number, for every device.

    Raises:
        DriftproofError: no default first, a part without ``=``, an unknown device, no valid time in common.
    """
    default, *parts = text.split(",")
    if any(part.rpartition("=")[2].startswith("measured:") for part in (default, *parts)):
        raise DriftproofError(f"device {text!r}: measured chips stand alone, not beside presets in one network")
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
    shown = f" [{', '.join(f'{key}={value}' for key, value in changes.items())}]" if changes else ""
    mix = DeviceMix(text + shown, load_preset(default, changes), tuple(layers))
    different = {device.name: device.sha256 for device in mix.devices}
    if any(different[device.name] != device.sha256 for device in (mix.default, *(d for _, d in layers))):
        raise DriftproofError(f"device {text!r}: two of its devices have one name and other numbers; rename one")
    _ = mix.validity
    return mix
