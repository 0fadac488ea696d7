"""What a record holds, as frozen models: subject, configurations, presets, runs, cells."""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from driftproof.presets.card import Card, known_card
from driftproof.record.quantity import Quantity, quantity_of

DIGITAL = "digital"
IDEAL_ANALOG = "ideal-analog"

Text = Annotated[str, Field(min_length=1)]
Count = Annotated[int, Field(ge=0)]
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Entry(BaseModel):
    """One entry of a record: unknown keys are errors, values never change."""

    model_config = ConfigDict(frozen=True, extra="forbid")


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


class Subject(Entry):
    """What a record is about: network, data, metric and the conversion; one per record.

    ``own_metric`` says what a metric of the user's own measures; of the others the name is enough.
    """

    model: Text
    model_hash: Text
    data: Text
    data_hash: Text
    n_samples: Annotated[int, Field(ge=1)]
    metric: Text
    tile_rows: Annotated[int, Field(ge=1)]
    tile_cols: Annotated[int, Field(ge=1)]
    layers: tuple[Layer, ...]
    own_metric: Quantity | None = None
    scale: Literal["column", "layer"] = "column"
    clip: float | None = None

    @property
    def quantity(self) -> Quantity:
        """What its values are; raises DriftproofError for a name that only a later driftproof knows."""
        return self.own_metric or quantity_of(self.metric)


class Recalibrated(Entry):
    """When and on what BatchNorm statistics were measured anew: once a chip, or at every read-out time."""

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
    """How the chips were evaluated; ``device`` says which generator drew their noise.

    ``periphery`` is its name, ``around`` all of its settings and ``around_text`` these in a line; None if it is ideal.
    """

    backend: Literal["folded", "tiles"]
    periphery: Text
    compensation: Text
    device: Literal["cpu", "cuda"]
    seed: int
    label: str = ""
    recalibration: Recalibrated | None = None
    around: dict[str, Any] | None = None
    around_text: str = ""
    ranges: MeasuredRanges | None = None


class PresetEntry(Entry):
    """A preset as it was used: its name, the hash of its numbers, all of it as JSON tables, and its card's numbers.

    Records from before there were cards have none.
    """

    name: Text
    sha256: Text
    definition: dict[str, Any]
    card: Annotated[Card | None, BeforeValidator(known_card)] = None


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
    """One measurement: (configuration, preset, chip, t) → value of the metric; accuracies are in percent."""

    config_id: Text
    preset: Text
    chip: Count
    t_s: Seconds
    in_validity: bool
    metric: Text
    # Not checked here: Record.add_cell refuses NaN with a message that names the cell.
    value: float
    n_samples: Annotated[int, Field(ge=1)]
    seconds: Seconds

    @model_validator(mode="after")
    def _no_chip_without_devices(self) -> Self:
        if self.preset in (DIGITAL, IDEAL_ANALOG) and (self.chip, self.t_s) != (0, 0.0):
            raise ValueError(f"{self.preset} has one row, chip 0 at t_s 0, not chip {self.chip} at t_s {self.t_s}")
        return self


def config_id(subject: Subject, configuration: Configuration) -> str:
    """Return 10 hexadecimal digits that name a configuration of a subject.

    The *names* of model and data do not enter, their hashes do: the same file under another path is the same thing.

    >>> subject = Subject(model="a", model_hash="1", data="d", data_hash="2", n_samples=10, metric="accuracy",
    ...                   tile_rows=512, tile_cols=512, layers=())
    >>> folded = Configuration(backend="folded", periphery="ideal", compensation="tile", device="cpu", seed=0)
    >>> renamed = subject.model_copy(update={"model": "b"})
    >>> config_id(subject, folded) == config_id(renamed, folded)
    True
    """
    settings = configuration.model_dump(mode="json")
    if configuration.recalibration is None:
        del settings["recalibration"]  # as it was before there was any
    else:
        del settings["recalibration"]["data"]
    del settings["around_text"]
    if configuration.around is None:
        del settings["around"], settings["ranges"]  # likewise
    elif configuration.ranges is not None:
        del settings["ranges"]["data"]
    about = subject.model_dump(mode="json", exclude={"model", "data"})
    if subject.own_metric is None:
        del about["own_metric"]
    if (subject.scale, subject.clip) == ("column", None):
        del about["scale"], about["clip"]
    content = {"subject": about, "configuration": settings}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:10]
