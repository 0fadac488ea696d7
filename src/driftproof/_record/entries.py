"""The entries of a record as frozen models: subject, series, presets, runs, and how a report shows them."""

from __future__ import annotations

import base64
import hashlib
import json
import zlib
from functools import cached_property
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator

from driftproof._defaults import SCALE
from driftproof._presets.card import Card, known_card
from driftproof._record.quantity import Quantity, quantity_of
from driftproof.statistics import Strata

DIGITAL = "digital"
IDEAL_ANALOG = "ideal-analog"

Text = Annotated[str, Field(min_length=1)]
Count = Annotated[int, Field(ge=0)]


class Entry(BaseModel):
    """An entry of a record. Unknown keys are errors, and values do not change."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Subject(Entry):
    """The network, the data and the metric of a record. A record has one subject.

    Two subjects are the same if their hashes are; the names of network and data are for people.

    Attributes:
        numerics: Version of driftproof's numbers (:data:`driftproof._numerics.VERSION`); 0 in records of the old form.
        own_metric: The quantity that a user's metric measures; None for a built-in metric.
    """

    model: Text
    model_hash: Text
    data: Text
    data_hash: Text
    n_samples: Annotated[int, Field(ge=1)]
    metric: Text
    own_metric: Quantity | None = None
    numerics: Count

    @property
    def quantity(self) -> Quantity:
        """The quantity that its metric measures; raises DriftproofError if the metric's name is unknown."""
        return self.own_metric or quantity_of(self.metric)

    def differences(self, other: Subject) -> list[str]:
        """Return how another subject differs from this one, in words; other names alone are not a difference."""
        mine, theirs = self.identity(), other.identity()
        return [
            f"{name}: {getattr(self, name)!r} in the record, {getattr(other, name)!r} now"
            for name in mine
            if mine[name] != theirs[name]
        ]

    def identity(self) -> dict[str, Any]:
        """Return the values that tell subjects apart: all but the names and the words for the metric."""
        values = self.model_dump(mode="json", exclude={"model", "data"})
        return values | {"own_metric": values["own_metric"] and values["own_metric"] | {"words": ""}}


# --- models that decide numbers; identities are hashes of these models only ---


class Inputs(Entry):
    """Inputs of a measurement: their hash, their number and the batch size."""

    data_hash: Text
    samples: Annotated[int, Field(ge=1)]
    batch_size: Annotated[int, Field(ge=1)]


class RecalibrationInputs(Inputs):
    """When BatchNorm is recalibrated on a chip, and the inputs that are used."""

    when: Literal["programming", "time"]


class Conditions(Entry):
    """A deployment without its device, on a backend: everything that decides numbers, as plain values.

    Attributes:
        backend: Name of the backend that computed.
        torch_device: Torch device whose generator drew the noise.
        tile_rows: Rows of the largest tile.
        tile_cols: Columns of the largest tile.
        scale: The unit of the weights on a tile: the largest weight of a column or of the layer.
        clip: Percentile of the weights at which they are clipped; None if they are not.
        analog: Names of the arrays on tiles, sorted.
        compensation: Name of the drift compensation.
        periphery: Settings of the periphery; empty if it is ideal.
        ranges: Inputs on which static input ranges are measured.
        recalibration: When BatchNorm is recalibrated, and on which inputs; None if it is not.
        read_outs: How long read-outs take, and how long lies between calibration and use; empty in records of versions
            in which calibration and use were one read-out.
        seed: Seed of the device randomness.
    """

    backend: Text
    torch_device: Text
    tile_rows: Annotated[int, Field(ge=1)]
    tile_cols: Annotated[int, Field(ge=1)]
    scale: Text
    clip: float | None = None
    analog: tuple[str, ...]
    compensation: Text
    periphery: dict[str, Any] = Field(default_factory=dict)
    ranges: Inputs | None = None
    recalibration: RecalibrationInputs | None = None
    read_outs: str = ""
    seed: int

    def plain(self) -> dict[str, Any]:
        """Return the conditions as plain JSON values; those of versions without read-outs stay as they were."""
        return self.model_dump(mode="json", exclude=None if self.read_outs else {"read_outs"})

    @property
    def id(self) -> str:
        """10 hexadecimal digits that name the conditions; they are the same for every network."""
        return digest(self.plain())

    @property
    def conversion_id(self) -> str:
        """10 hexadecimal digits that name how weights are placed on tiles."""
        return digest(self.model_dump(mode="json", include={"tile_rows", "tile_cols", "scale", "clip", "analog"}))


class Series(Entry):
    """A device under one set of conditions. A cell of the series adds chip, time and layers kept digital.

    The digital network has a series without device and conditions.
    """

    device_sha256: str = ""
    conditions: Conditions | None = None

    @cached_property
    def id(self) -> str:
        """10 hexadecimal digits; ``digital`` for the network without analog hardware."""
        if self.conditions is None:
            return DIGITAL
        return digest({"device_sha256": self.device_sha256, "conditions": self.conditions.plain()})


class CellKey(NamedTuple):
    """One cell: a series, a chip, a time in s after the first read, and the names of layers kept digital, sorted."""

    series: str
    chip: int = 0
    t_s: float = 0.0
    digital: tuple[str, ...] = ()

    def __str__(self) -> str:
        layers = f", {len(self.digital)} layers digital" if self.digital else ""
        return f"cell {self.series}, chip {self.chip}, t_s {self.t_s:g}{layers}"


DIGITAL_CELL = CellKey(DIGITAL)


def config_id(subject: Subject, conditions: Conditions) -> str:
    """Return 10 hexadecimal digits that name a configuration: a subject and the conditions of its measurement.

    Reports of several networks distinguish their configurations by it. It does not depend on names and labels.
    """
    return digest({"subject": subject.identity(), "conditions": conditions.plain()})


def digest(values: Any) -> str:
    """Return 10 hexadecimal digits of the SHA-256 over plain values as JSON.

    >>> digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
    True
    """
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:10]


# --- models of the display; they may change without changing an identity ---


class Layer(Entry):
    """A layer with weights. If it stayed digital, ``tiles`` is 0 and ``reason`` says why."""

    name: Text
    kind: Text
    shape: tuple[int, ...]
    weights: Count
    tiles: Count
    mvms_per_input: Count | None
    analog: bool
    reason: str = ""
    # unknown (None) in records of earlier versions, and without example inputs
    rows: Count | None = None
    columns: Count | None = None
    groups: Count = 1
    utilisation: float | None = None
    macs_per_input: Count | None = None
    dac_per_input: Count | None = None
    adc_per_input: Count | None = None
    clipped: Count = 0
    unasked: bool = False
    more: dict[str, Count | None] = Field(default_factory=dict)


class Conversion(Entry):
    """How a network's weights are placed on tiles: the table of its layers."""

    tile_rows: Annotated[int, Field(ge=1)]
    tile_cols: Annotated[int, Field(ge=1)]
    scale: Text = SCALE
    clip: float | None = None
    layers: tuple[Layer, ...]


class Recalibrated(Entry):
    """When BatchNorm was recalibrated (once per chip, or at every time), and on which inputs."""

    when: Literal["programming", "time"]
    data: Text
    data_hash: Text
    samples: Annotated[int, Field(ge=1)]
    batch_size: Annotated[int, Field(ge=1)]

    def __str__(self) -> str:
        when = "after programming" if self.when == "programming" else "at every time"
        return f"BatchNorm recalibrated {when} on {self.samples:,} inputs of {self.data}"


class MeasuredRanges(Entry):
    """The inputs on which static input ranges were measured."""

    data: Text
    data_hash: Text
    samples: Annotated[int, Field(ge=1)]

    def __str__(self) -> str:
        return f"input ranges measured on {self.samples:,} inputs of {self.data}"


ONE_READ_OUT = "duration_s=0,pause_s=0"
"""The text of read-outs between which no time lies."""


class Configuration(Entry):
    """A set of conditions as a report shows it.

    Attributes:
        periphery: Name of the periphery.
        device: Torch device whose generator drew the noise.
        conversion: Id of the table of layers.
        around: All settings of the periphery; None if it is ideal.
        around_text: The settings of the periphery in one line.
        read_outs: How long read-outs take, and how long lies between calibration and use; empty in records of versions
            in which calibration and use were one read-out.
    """

    backend: Text
    periphery: Text
    compensation: Text
    device: Text
    seed: int
    conversion: Text
    label: str = ""
    recalibration: Recalibrated | None = None
    around: dict[str, Any] | None = None
    around_text: str = ""
    ranges: MeasuredRanges | None = None
    read_outs: str = ""

    @property
    def calibrated(self) -> str:
        """In which read-out compensation and BatchNorm statistics are measured; empty if nothing is measured."""
        if self.compensation == "none" and self.recalibration is None:
            return ""
        if self.read_outs in ("", ONE_READ_OUT):
            return "calibrated in the read-out of the use, with the very read noise of the use"
        return (
            f"calibrated in a read-out of its own ({self.read_outs}), which has in common with the use only the read "
            "noise that is slower than these times together"
        )


_LISTS = tuple((key, list | tuple) for key in ("assumptions", "caveats", "variants"))


class PresetEntry(Entry):
    """A preset as it was used: its name, the hash of its numbers, its definition as tables, and its card.

    Records of earlier versions have no card. The cells of a preset that is not ``reported`` are exported but are in no
    report: the preset was made to tell causes of error apart.
    """

    name: Text
    sha256: Text
    definition: dict[str, Any]
    card: Annotated[Card | None, BeforeValidator(known_card)] = None
    reported: bool = True

    @field_validator("definition")
    @classmethod
    def _has_its_tables(cls, definition: dict[str, Any]) -> dict[str, Any]:
        """Check the parts that a report reads."""
        for key, kinds in (("validity", dict), ("source", dict | str), ("family", str), *_LISTS):
            if key in definition and not isinstance(definition[key], kinds):
                raise ValueError(f"{key} is of type {type(definition[key]).__name__}")
        return definition

    def completed(self, other: PresetEntry) -> PresetEntry:
        """Return the entry with the card of another entry of its preset if it has none; reported if either is."""
        return self.model_copy(update={"card": self.card or other.card, "reported": self.reported or other.reported})


class DrawnSamples(Entry):
    """How the samples of partial cells were drawn: at random within strata, in an order for each chip.

    The strata, the seed and the number of a chip give its order (:class:`driftproof.statistics.Strata`), and the
    samples of its cell tell how many of each stratum it saw. n of N samples of a stratum were each seen with n/N.

    Attributes:
        by: What the samples of a stratum have in common, in words.
        seed: Seed of the orders.
        strata: Number of the stratum of every sample, one byte each, compressed (zlib) and as base64.
    """

    by: Text
    seed: Count
    strata: Text

    @classmethod
    def of(cls, strata: Strata, by: str) -> DrawnSamples:
        """Return the entry for strata.

        >>> DrawnSamples.of(Strata(np.array([0, 1, 1]), seed=3), "margin").samples.of.tolist()
        [0, 1, 1]
        """
        content = zlib.compress(strata.of.astype(np.uint8).tobytes(), 9)
        return cls(by=by, seed=strata.seed, strata=base64.b64encode(content).decode())

    @field_validator("strata")
    @classmethod
    def _can_be_read(cls, strata: str) -> str:
        try:
            np.bincount(np.frombuffer(zlib.decompress(base64.b64decode(strata, validate=True)), np.uint8))
        except (ValueError, zlib.error) as error:
            raise ValueError(f"strata cannot be read ({error})") from None
        return strata

    @cached_property
    def samples(self) -> Strata:
        """The strata.

        Raises:
            DriftproofError: A number between the strata is missing.
        """
        numbers = np.frombuffer(zlib.decompress(base64.b64decode(self.strata)), np.uint8)
        return Strata(numbers.astype(np.int64), self.seed)


class Run(Entry):
    """A call that added cells. ``started`` is ISO 8601 in UTC; ``dirty`` is None if there was no git checkout.

    ``drawn`` says how the samples of partial cells were drawn, None if all samples were asked for.
    """

    started: Text
    command: str
    versions: dict[str, str]
    commit: str
    dirty: bool | None
    machine: dict[str, str]
    batch_size: Annotated[int, Field(ge=1)]
    drawn: DrawnSamples | None = None


class Cell(Entry):
    """A cell as tables show it: the metric's value for a configuration, preset, chip, time and digital layers."""

    config_id: Text
    preset: Text
    digital: tuple[str, ...] = ()
    chip: Count
    t_s: float
    in_validity: bool
    metric: Text
    value: float
    n_samples: Annotated[int, Field(ge=1)]
    seconds: float
    diagnostics: dict[str, Any] = Field(default_factory=dict)
