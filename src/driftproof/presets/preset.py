"""A device preset: one published device, frozen and checked."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, model_validator

from driftproof.defaults import COMPENSATION
from driftproof.laws.drift import Drift
from driftproof.laws.effects import Effect
from driftproof.laws.encoding import Conductance, Encoding
from driftproof.laws.law import Law
from driftproof.laws.levels import Levels
from driftproof.laws.programming import Programming
from driftproof.laws.read import Read
from driftproof.laws.stuck import Stuck
from driftproof.laws.table import NotNegative, Number, Table
from driftproof.laws.validity import Range, Validity

if TYPE_CHECKING:
    from torch import Tensor

    from driftproof.devices import Array, DeviceLaws, ProgrammedArray
    from driftproof.presets.at_time import AtTime
    from driftproof.presets.saved import SavedPreset

Text = Annotated[str, Field(min_length=1)]


class Source(Table):
    """Where the numbers come from: the paper, where in it, and who fitted them."""

    title: Text
    authors: str = ""
    venue: str = ""
    year: int | None = None
    doi: str = ""
    where: Text
    fitted_by: Text


class Assumption(Table):
    """One thing that the source does not say and the preset takes for granted."""

    text: Text


class FittedParameter(Table):
    """One number of a fit with its 95 % interval; an end that the measurements leave open is missing."""

    name: Text
    value: Number
    low95: Number | None = None
    high95: Number | None = None
    unit: str = ""


class Fit(Table):
    """What a preset that ``driftproof presets fit`` wrote was fitted to, and how sure its numbers are.

    ``devices_at_level`` belongs to ``levels_us``, the targets in µS; ``t_s`` is the first and the last time.
    """

    devices: Annotated[int, Field(ge=1)]
    rows: Annotated[int, Field(ge=1)]
    levels_us: tuple[NotNegative, ...]
    devices_at_level: tuple[int, ...]
    times: Annotated[int, Field(ge=1)]
    t_s: Range
    parameters: tuple[FittedParameter, ...]


class DevicePreset(Table):
    """One device as data.

    Made by :func:`driftproof.load_preset`; the laws are in :mod:`driftproof.laws`.
    """

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]*(:[^\s]+)?( \[.*\])?$")]
    family: Text
    version: Annotated[int, Field(ge=1)]
    summary: Text
    argument: str = ""
    source: Source
    conductance: Conductance
    programming: Programming
    drift: Drift | None = None
    read: Read | None = None
    stuck: Stuck | None = None
    levels: Levels | None = None
    validity: Validity
    assumptions: tuple[Assumption, ...] = ()
    fit: Fit | None = None

    @model_validator(mode="after")
    def _laws_fit_the_encoding(self) -> DevicePreset:
        encoding, law = self.conductance, self.programming
        if encoding.has_devices and "devices" not in law.acts_on:
            raise ValueError(f'programming.law "{law.law}" acts on the net weight: use encoding {_encodings(False)}')
        if not encoding.has_devices and "weights" not in law.acts_on:
            raise ValueError(f'programming.law "{law.law}" acts on devices: use encoding {_encodings(True)}')
        if not encoding.has_devices and (self.drift or self.read or self.stuck):
            raise ValueError(f"drift, read and stuck act on devices: use encoding {_encodings(True)}")
        if encoding.has_devices:
            if self.validity.g_us is None:
                raise ValueError("validity.g_us is missing: the conductance range of the measurement, in µS")
            (low, high), (g_min, g_max) = self.validity.g_us, encoding.ends
            if g_min < low or g_max > high:
                raise ValueError(
                    f"conductance.g_min_us to g_max_us is {g_min} to {g_max}: "
                    f"wanted a range inside validity.g_us, {low} to {high} µS, for which the laws were fitted"
                )
        return self

    @model_validator(mode="after")
    def _spreads_are_possible(self) -> DevicePreset:
        if self.validity.g_us:
            self.programming.check(self.validity.g_us)
        return self

    @property
    def sha256(self) -> str:
        """Hash of the laws and their numbers, so that a record knows what made it; mending a text leaves it."""
        numbers = self.model_dump(
            mode="json", include={"conductance", "programming", "drift", "read", "stuck", "levels", "validity"}
        )
        text = json.dumps(numbers, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def definition(self) -> dict[str, Any]:
        """Return the preset as plain JSON values, without the tables it does not have."""
        return self.model_dump(mode="json", exclude_none=True)

    def saved(self) -> tuple[SavedPreset, dict[str, Tensor]]:
        """Return what a file keeps of it."""
        from driftproof.presets.saved import SavedPreset

        return SavedPreset(sha256=self.sha256, preset=self), {}

    def in_validity(self, t_s: float) -> bool:
        """Whether a time after programming, in s, lies in the range of validity."""
        return self.validity.holds_at(t_s)

    @property
    def chips(self) -> None:
        """None: as many chips can be drawn as are wanted."""
        return

    @property
    def laws(self) -> DeviceLaws:
        """The laws that its devices are drawn by: its own."""
        return self

    @property
    def parts(self) -> tuple[DevicePreset, ...]:
        """The one device that it is."""
        return (self,)

    @property
    def changes_in_time(self) -> bool:
        """Whether its errors, or how large they are, depend on the time; see :class:`driftproof.devices.Device`."""
        return bool(self.changing)

    @property
    def changing(self) -> tuple[Law, ...]:
        """The laws that depend on the time."""
        laws = (self.programming, self.drift, self.read)
        return tuple(law for law in laws if law is not None and law.changes_in_time)

    @property
    def of_no_device(self) -> bool:
        """Whether its errors are no published device's, but such as anyone may assume, at any time."""
        return self.family in ("none", "generic")

    def for_layer(self, layer: str) -> DevicePreset:
        """Return the device of one layer: itself."""
        return self

    def relative_to(self, layer: str) -> Literal["column", "layer"]:
        """Return which maximum the targets of a layer are relative to."""
        return self.conductance.relative_to

    def check_layers(self, layers: Iterable[str]) -> None:
        """Return: it fits any layers."""

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
        from driftproof.devices import program, restore

        if state is not None:
            return restore(self, target, state, seed=seed, chip=chip, layer=layer, groups=groups)
        return program(self, target, seed=seed, chip=chip, layer=layer, groups=groups, memory=memory)

    def without(self, *effects: Effect) -> DevicePreset:
        """Return the same device without some of its laws; see :func:`driftproof.presets.without`."""
        from driftproof.presets.variants import preset_without

        return preset_without(self, effects)

    def at(self, t: str | float, until: str | float | None = None, compensation: str = COMPENSATION) -> AtTime:
        """Return the device at a time after programming, or over a range of times: the noise that training draws.

        Args:
            t: such as ``1d``, or seconds.
            until: the other end of a range; times are then drawn log-uniformly.
            compensation: of the drift.
        """
        from driftproof.presets.at_time import at_time

        return at_time(self, t, until, compensation)


def _encodings(with_devices: bool) -> str:
    """Return the encodings that have devices, or those that have none, for a message."""
    return " or ".join(f'"{tag}"' for tag, kind in Encoding.choices().items() if kind.has_devices == with_devices)
