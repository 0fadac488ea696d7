"""What a record holds, as frozen models: subject, series, presets, runs, and how a report shows them."""

from __future__ import annotations

import hashlib
import json
from functools import cached_property
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from driftproof.defaults import SCALE
from driftproof.presets.card import Card, known_card
from driftproof.record.quantity import Quantity, quantity_of

DIGITAL = "digital"
IDEAL_ANALOG = "ideal-analog"

Text = Annotated[str, Field(min_length=1)]
Count = Annotated[int, Field(ge=0)]


class Entry(BaseModel):
    """One entry of a record: unknown keys are errors, values never change."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Subject(Entry):
    """What a record is about, beside the deployments: the network, the data and the metric; one per record.

    The *names* of network and data are for people; their hashes say what is the same.

    Attributes:
        numerics: version of driftproof's numbers (:data:`driftproof.numerics.VERSION`); 0 in records of the old form.
        own_metric: what a metric of the user's own measures; of the others the name is enough.
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
        """What its values are; raises DriftproofError for a name that only a later driftproof knows."""
        return self.own_metric or quantity_of(self.metric)

    def differences(self, other: Subject) -> list[str]:
        """Return what tells another subject from this one, in words; names alone tell nothing."""
        return [
            f"{name}: {getattr(self, name)!r} in the record, {getattr(other, name)!r} now"
            for name in Subject.model_fields
            if name not in ("model", "data") and getattr(_unnamed(self), name) != getattr(_unnamed(other), name)
        ]


def _unnamed(subject: Subject) -> Subject:
    """Return a subject without what sentences call its metric."""
    own = subject.own_metric
    return subject if own is None else subject.model_copy(update={"own_metric": own.model_copy(update={"words": ""})})


# --- what decides numbers: hashed into identities, and nothing else is ---


class Inputs(Entry):
    """Inputs that something is measured on: their hash, how many, and how many at a time."""

    data_hash: Text
    samples: Annotated[int, Field(ge=1)]
    batch_size: Annotated[int, Field(ge=1)]


class RecalibrationInputs(Inputs):
    """When and on what BatchNorm statistics are re-estimated on a chip."""

    when: Literal["programming", "time"]


class Conditions(Entry):
    """A deployment without its device, on a backend: all that decides numbers, as plain values.

    Attributes:
        backend: what computed.
        torch_device: which generator drew the noise.
        tile_rows: of the largest crossbar.
        tile_cols: of the largest crossbar.
        scale: what weights are relative to.
        clip: percentile of the weights that takes the largest one's place.
        analog: names of the arrays on tiles, sorted.
        compensation: of the drift.
        periphery: numbers of its settings; empty if it is ideal.
        ranges: what static input ranges are measured on.
        recalibration: of BatchNorm.
        seed: of all device randomness.
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
    seed: int

    @property
    def id(self) -> str:
        """10 hexadecimal digits, the same for every network."""
        return digest(self.model_dump(mode="json"))

    @property
    def conversion_id(self) -> str:
        """10 hexadecimal digits of how weights lie on tiles."""
        return digest(self.model_dump(mode="json", include={"tile_rows", "tile_cols", "scale", "clip", "analog"}))


class Series(Entry):
    """What the chips of one device under one set of conditions have in common; a cell adds chip, time, digital layers.

    The digital network has a series of its own, which has neither.
    """

    device_sha256: str = ""
    conditions: Conditions | None = None

    @cached_property
    def id(self) -> str:
        """10 hexadecimal digits, ``digital`` for the network without analog hardware."""
        return DIGITAL if self.conditions is None else digest(self.model_dump(mode="json"))


class CellKey(NamedTuple):
    """One cell: a series, a chip, a time in s after programming, and the names of the layers kept digital, sorted."""

    series: str
    chip: int = 0
    t_s: float = 0.0
    digital: tuple[str, ...] = ()


DIGITAL_CELL = CellKey(DIGITAL)


def config_id(subject: Subject, conditions: Conditions) -> str:
    """Return 10 hexadecimal digits that name a configuration: conditions that a subject was measured under.

    Reports of several networks tell their configurations apart by it. Names and labels do not enter.
    """
    about = _unnamed(subject).model_dump(mode="json", exclude={"model", "data"})
    return digest({"subject": about, "conditions": conditions.model_dump(mode="json")})


def digest(values: Any) -> str:
    """Return 10 hexadecimal digits of plain values.

    >>> digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
    True
    """
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:10]


# --- what is shown: may be added to and mended without touching an identity ---


class Layer(Entry):
    """One layer with weights and where it went: ``tiles`` is 0 and ``reason`` says why if it stayed digital."""

    name: Text
    kind: Text
    shape: tuple[int, ...]
    weights: Count
    tiles: Count
    mvms_per_input: Count | None
    analog: bool
    reason: str = ""
    # not known of records from before they were counted, nor without example inputs
    rows: Count | None = None
    columns: Count | None = None
    groups: Count = 1
    utilisation: float | None = None
    macs_per_input: Count | None = None
    dac_per_input: Count | None = None
    adc_per_input: Count | None = None
    clipped: Count = 0
    unasked: bool = False
    more: dict[str, Any] = Field(default_factory=dict)


class Conversion(Entry):
    """How a network's weights lie on tiles: the table of its layers."""

    tile_rows: Annotated[int, Field(ge=1)]
    tile_cols: Annotated[int, Field(ge=1)]
    scale: Text = SCALE
    clip: float | None = None
    layers: tuple[Layer, ...]


class Recalibrated(Entry):
    """When and on what BatchNorm statistics were re-estimated: once a chip, or at every read-out time."""

    when: Literal["programming", "time"]
    data: Text
    data_hash: Text
    samples: Annotated[int, Field(ge=1)]
    batch_size: Annotated[int, Field(ge=1)]

    def __str__(self) -> str:
        """Return it in words."""
        when = "after programming" if self.when == "programming" else "at every time"
        return f"BatchNorm measured anew {when} on {self.samples:,} inputs of {self.data}"


class MeasuredRanges(Entry):
    """What static input ranges were measured on."""

    data: Text
    data_hash: Text
    samples: Annotated[int, Field(ge=1)]

    def __str__(self) -> str:
        """Return it in words."""
        return f"input ranges measured on {self.samples:,} inputs of {self.data}"


class Configuration(Entry):
    """What a report says of a set of conditions; ``device`` says which generator drew the noise.

    ``periphery`` is its name, ``around`` all of its settings and ``around_text`` these in a line; None if it is ideal.
    ``conversion`` is the id of its table of layers.
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


class PresetEntry(Entry):
    """A preset as it was used: its name, the hash of its numbers, all of it as JSON tables, and its card's numbers.

    Records from before there were cards have none. Cells of a device that is not ``reported`` are exported, and stand
    in no report: it was made to tell causes of error apart.
    """

    name: Text
    sha256: Text
    definition: dict[str, Any]
    card: Annotated[Card | None, BeforeValidator(known_card)] = None
    reported: bool = True


class Run(Entry):
    """One call that added cells; ``started`` is ISO 8601 in UTC, ``dirty`` is None outside a checkout."""

    started: Text
    command: str
    versions: dict[str, str]
    commit: str
    dirty: bool | None
    machine: dict[str, str]
    batch_size: Annotated[int, Field(ge=1)]


class Cell(Entry):
    """One cell as tables show it: (configuration, preset, digital layers, chip, t) → value of the metric."""

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
