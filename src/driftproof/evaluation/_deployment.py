"""A deployment: a device and all conditions that decide how a network computes on it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from driftproof._compensation import Compensation, as_compensation
from driftproof._defaults import COMPENSATION, PERIPHERY, SEED
from driftproof._device_choice import as_device
from driftproof._devices import Device, ReadOuts
from driftproof._errors import DriftproofError, whole_number
from driftproof._keywords import ChecksKeywords
from driftproof._mapping import MappingOptions
from driftproof._record.entries import digest
from driftproof.data import Data
from driftproof.data._adapters import as_inputs
from driftproof.data._batched import hold
from driftproof.evaluation._checks import check_seed
from driftproof.evaluation._recalibration import Recalibration
from driftproof.periphery import Periphery, StaticRange, load_periphery


@dataclass(frozen=True, init=False, eq=False)
class Deployment(ChecksKeywords):
    """Everything about the hardware that decides a number: device, tiles, periphery, drift compensation, recalibration.

    The network, the data and the metric belong to an evaluator (:class:`driftproof.evaluation.Evaluator`). Two
    deployments are equal and have the same :attr:`id` if they give the same numbers on every network. Names and texts
    do not matter.

    Attributes:
        device: Memory device, or a text that :func:`driftproof.load_device` takes.
        mapping: Which layers are on tiles, the size of the tiles, and the scale of the weights.
        compensation: Drift compensation: ``none``, ``tile``, ``column`` or ``exact``, with parameters after a colon, or
            an object of a class in :mod:`driftproof._compensation`.
        periphery: DAC, ADC and noise of the arrays: ``ideal``, ``standard``, a file, or a
            :class:`driftproof.periphery.Periphery`.
        calibration: Data on whose inputs static input ranges are measured, or inputs alone (default: None).
        recalibration: When and on which inputs BatchNorm statistics are re-estimated on each chip (default: never).
        read_outs: The read-out that calibrates a chip (its compensation, its BatchNorm statistics) and that in which it
            is used: how long they take, how long lies between them, and so how much of the read noise is new in the
            second, as text or as an object (default: ``duration_s=1,pause_s=3600``).
        seed: Seed of the device randomness.

    Raises:
        DriftproofError: The device, compensation or periphery is unknown; calibration data comes with a periphery that
            has no static input ranges; a record cannot hold the seed.

    >>> a = Deployment(device="pcm-nandakumar-2019", compensation="column")
    >>> b = Deployment(device="pcm-nandakumar-2019", compensation="column", seed=1)
    >>> a == b, a.id == a.with_changes(seed=1).id, b.id == a.with_changes(seed=1).id
    (False, False, True)
    """

    device: Device
    mapping: MappingOptions
    compensation: Compensation
    periphery: Periphery
    calibration: Data | None
    recalibration: Recalibration | None
    read_outs: ReadOuts
    seed: int

    def __init__(
        self,
        *,
        device: Device | str,
        mapping: MappingOptions | None = None,
        compensation: Compensation | str = COMPENSATION,
        periphery: Periphery | str | Path = PERIPHERY,
        calibration: Data | object | None = None,
        recalibration: Recalibration | None = None,
        read_outs: ReadOuts | str | None = None,
        seed: int = SEED,
    ) -> None:
        periphery = load_periphery(periphery)
        if calibration is not None and not isinstance(periphery.input_range, StaticRange):
            raise DriftproofError(
                f"calibration data, but the periphery {periphery.name} ({periphery}) measures no input ranges: leave "
                "the data out"
            )
        seed = whole_number("seed", seed)
        check_seed(seed, lowest=-(2**63))
        vars(self).update(
            device=as_device(device),
            mapping=mapping or MappingOptions(),
            compensation=as_compensation(compensation),
            periphery=periphery,
            calibration=None if calibration is None else hold(as_inputs(calibration)),
            recalibration=recalibration,
            read_outs=ReadOuts.of(read_outs),
            seed=seed,
        )

    def with_changes(self, **changes: Any) -> Deployment:
        """Return the same deployment with other values.

        >>> Deployment(device="ideal").with_changes(device="gaussian:0.1").device.name
        'gaussian:0.1'
        """
        return replace(self, **changes)

    @property
    def wants_calibration(self) -> bool:
        """Whether the periphery has static input ranges, and there is no data to measure them on."""
        return isinstance(self.periphery.input_range, StaticRange) and self.calibration is None

    def definition(self) -> dict[str, Any]:
        """Return everything that decides numbers as plain JSON values, with the hashes of data and device.

        Raises:
            DriftproofError: ``mapping.where`` is a function, which cannot be written down.
        """
        options, where = self.mapping, self.mapping.where
        if callable(where):
            raise DriftproofError(
                "mapping.where is a function, which a record cannot keep; give the layers' names or patterns instead"
            )
        return self._without_mapping() | {
            "tile": [options.tile.rows, options.tile.columns],
            "where": where if isinstance(where, str | None) else list(where),
            "scale": options.scale,
            "clip": options.clip,
        }

    def _without_mapping(self) -> dict[str, Any]:
        recalibration = self.recalibration
        return {
            "device": self.device.sha256,
            "compensation": str(self.compensation),
            "periphery": {} if self.periphery.is_ideal else self.periphery.numbers(),
            "calibration": None if self.calibration is None else self.calibration.fingerprint(),
            "recalibration": None if recalibration is None else recalibration.definition(),
            "read_outs": self.read_outs.definition(),
            "seed": self.seed,
        }

    @cached_property
    def id(self) -> str:
        """10 hexadecimal digits of :meth:`definition`."""
        return digest(self.definition())

    @cached_property
    def hardware(self) -> tuple[MappingOptions, str, str | None, bool]:
        """What deployments on one mapping, one periphery and one kind of recalibration have in common."""
        held = None if self.calibration is None else self.calibration.fingerprint()
        return self.mapping, self.periphery.sha256, held, self.recalibration is not None

    @cached_property
    def _key(self) -> tuple[MappingOptions, str]:
        return replace(self.mapping, all_analog=False), digest(self._without_mapping())  # all_analog decides no number

    def __str__(self) -> str:
        recalibrated = "" if self.recalibration is None else f", BatchNorm re-estimated ({self.recalibration.when})"
        return (
            f"{self.device.name}, compensation {self.compensation}, periphery {self.periphery.name}{recalibrated}, "
            f"seed {self.seed}"
        )

    def __repr__(self) -> str:
        return f"Deployment({self})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Deployment) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)
