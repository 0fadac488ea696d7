"""A device preset: the numbers of one published device, frozen and checked."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, model_validator

from driftproof._defaults import COMPENSATION
from driftproof._presets.at_time import AtTime, at_time
from driftproof._presets.variants import preset_without
from driftproof.laws._drift import Drift
from driftproof.laws._effects import Effect
from driftproof.laws._encoding import Conductance, Encoding
from driftproof.laws._law import Law
from driftproof.laws._levels import Levels
from driftproof.laws._old_forms import as_now, as_then
from driftproof.laws._programming import Programming
from driftproof.laws._read import Read
from driftproof.laws._stuck import Stuck
from driftproof.laws._table import Citation, NotNegative, Number, Table, Text
from driftproof.laws._validity import Range, Validity, contains
from driftproof.laws._variation import Variation
from driftproof.laws._words import GENERIC

if TYPE_CHECKING:
    from torch import Tensor

    from driftproof._devices import DeviceLaws, ProgrammedArray


class Source(Citation):
    """The source of the numbers, and who fitted them."""

    fitted_by: Text


class Assumption(Table):
    """An assumption of the preset that is not in its source."""

    text: Text


class Caveat(Table):
    """What a reader of results must know about the device; a report states it beside them."""

    text: Text


class VariantResult(Table):
    """Results of one experiment on a preset and on its variant.

    Attributes:
        what: What was measured, on how many samples and chips, and under which conditions.
        t_s: Time in s.
        percent: Name of each preset → its result, in percent.
        where: The experiment.
    """

    what: Text
    t_s: NotNegative
    percent: Annotated[dict[str, Number], Field(min_length=2)]
    where: Text


class Variant(Table):
    """Another preset of the same device: another fit of the same data, or another form of the same cell.

    Attributes:
        preset: Name of the other preset.
        what: What it is, compared with this one.
        measured: Results on both, where an experiment of driftproof has them.
    """

    preset: Text
    what: Text
    measured: VariantResult | None = None


class FittedParameter(Table):
    """One number of a fit with its 95 % interval. An end that the measurements do not determine is None."""

    name: Text
    value: Number
    low95: Number | None = None
    high95: Number | None = None
    unit: str = ""


class Fit(Table):
    """The data of a preset that ``driftproof presets fit`` wrote, and the uncertainty of its numbers.

    Attributes:
        devices: Number of devices.
        rows: Number of readings.
        levels_us: Targets in µS.
        devices_at_level: Number of devices at each target.
        times: Number of times.
        t_s: First and last time, in s after the first read.
        understood: What was understood of the file: its form, its columns and their units.
        parameters: The fitted numbers.
    """

    devices: Annotated[int, Field(ge=1)]
    rows: Annotated[int, Field(ge=1)]
    levels_us: tuple[NotNegative, ...]
    devices_at_level: tuple[int, ...]
    times: Annotated[int, Field(ge=1)]
    t_s: Range
    understood: tuple[Text, ...] = ()
    parameters: tuple[FittedParameter, ...]


class DevicePreset(Table):
    """One device as data, from :func:`driftproof.load_preset`. The laws are in :mod:`driftproof.laws`."""

    chips: ClassVar[None] = None
    """None: any number of chips can be drawn."""

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
    variation: Variation | None = None
    validity: Validity
    assumptions: tuple[Assumption, ...] = ()
    caveats: tuple[Caveat, ...] = ()
    variants: tuple[Variant, ...] = ()
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
        self._check_variation()
        if encoding.has_devices:
            if self.validity.g_us is None:
                raise ValueError("validity.g_us is missing: the conductance range of the measurement, in µS")
            (low, high), (g_min, g_max) = self.validity.g_us, encoding.ends
            if g_min < low or g_max > high:
                raise ValueError(
                    f"conductance.g_min_us to g_max_us is {g_min} to {g_max}: "
                    f"wanted a range inside validity.g_us, {low} to {high} µS, for which the laws were fitted"
                )
        if self.validity.g_us:
            law.check(self.validity.g_us)
        return self

    def _check_variation(self) -> None:
        if self.variation is None:
            return
        if not self.conductance.has_devices:
            raise ValueError(f"variation acts on devices: use encoding {_encodings(True)}")
        if self.variation.moves_exponents and (self.drift is None or "exponent" not in self.drift.plots):
            law = "there is no drift law" if self.drift is None else f'drift.law "{self.drift.law}" has no exponent nu'
            raise ValueError(f"variation: nu_sd is a spread of drift exponents, but {law}: leave it out")

    @property
    def sha256(self) -> str:
        """Hash of the laws and their numbers, which a record keeps. A change of a text does not change it."""
        laws = {"conductance", "programming", "drift", "read", "stuck", "levels", "validity"}
        numbers = as_then(self.model_dump(mode="json", include=laws))
        if self.variation is not None:  # other presets keep their hashes from before there was variation
            numbers["variation"] = self.variation.numbers()
        return hashlib.sha256(json.dumps(numbers, sort_keys=True).encode()).hexdigest()

    def definition(self) -> dict[str, Any]:
        """Return the preset as plain JSON values, without the tables it does not have."""
        return self.model_dump(mode="json", exclude_none=True)

    def saved(self) -> tuple[SavedPreset, dict[str, Tensor]]:
        """Return the form in which a file stores the preset."""
        return SavedPreset(sha256=self.sha256, preset=self), {}

    def in_validity(self, t_s: float) -> bool:
        """Whether a time after the first read, in s, lies in the range of validity."""
        return contains(self.validity.t_s, t_s)

    @property
    def laws(self) -> DeviceLaws:
        """The laws of the device: the preset itself."""
        return self

    @property
    def parts(self) -> tuple[DevicePreset, ...]:
        """The preset itself."""
        return (self,)

    @property
    def changes_in_time(self) -> bool:
        """Whether the errors or their size depend on the time; see :class:`driftproof._devices.Device`."""
        return bool(self.changing)

    @property
    def changing(self) -> tuple[Law, ...]:
        """The laws that depend on the time."""
        laws = (self.programming, self.drift, self.read)
        return tuple(law for law in laws if law is not None and law.changes_in_time)

    @property
    def of_no_device(self) -> bool:
        """Whether the errors are a generic assumption that holds at any time, and not those of a published device."""
        return self.family in GENERIC

    def for_layer(self, layer: str) -> DevicePreset:
        """Return the device of one layer: itself."""
        return self

    def relative_to(self, layer: str) -> Literal["column", "layer"]:
        """Return whether a layer's targets are relative to the maximum of their tile's column, or of the layer."""
        return self.conductance.relative_to

    def check_layers(self, layers: Iterable[str]) -> None:
        """Do nothing: a preset fits any layers."""

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
        from driftproof._devices import program, restore

        if state is not None:
            return restore(self, target, state, seed=seed, chip=chip, layer=layer, groups=groups, rows=rows)
        return program(self, target, seed=seed, chip=chip, layer=layer, groups=groups, rows=rows)

    def without(self, *effects: Effect) -> DevicePreset:
        """Return the same device without some of its laws; see :func:`driftproof._presets.without`."""
        return preset_without(self, effects)

    def one_die_per_wafer(self) -> DevicePreset:
        """Return the same device with every chip from a wafer of its own."""
        if self.variation is None or self.variation.wafer is None:
            return self
        return self.model_copy(update={"variation": self.variation.one_die_per_wafer()})

    def at(self, t: str | float, until: str | float | None = None, compensation: str = COMPENSATION) -> AtTime:
        """Return the device at a time after the first read, or over a range of times: the noise that training draws.

        Args:
            t: Time after the first read in seconds, or as text such as ``1d``.
            until: End of a range that begins at ``t``, from which times are drawn log-uniformly (default: None, one
                time).
            compensation: Drift compensation.
        """
        return at_time(self, t, until, compensation)


StoredPreset = Annotated[DevicePreset, BeforeValidator(as_now)]
"""A preset as a file or a record stores it, which an earlier version may have written."""


class SavedPreset(Table):
    """The form in which a file stores a preset."""

    kind: Literal["preset"] = "preset"
    sha256: str
    preset: StoredPreset

    def device(self, tensors: dict[str, Tensor], path: Path) -> DevicePreset:
        """Return the preset."""
        return self.preset


def _encodings(with_devices: bool) -> str:
    """Return the encodings that have devices, or those that do not, for a message."""
    return " or ".join(f'"{tag}"' for tag, kind in Encoding.choices().items() if kind.has_devices == with_devices)
