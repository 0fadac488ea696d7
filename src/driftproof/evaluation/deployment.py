"""A deployment: a device and all conditions that decide what a network does on it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from driftproof.compensation import Compensation, as_compensation
from driftproof.data import Data, as_data, hold
from driftproof.defaults import COMPENSATION, PERIPHERY, SEED
from driftproof.device_choice import load_device
from driftproof.devices import Device
from driftproof.errors import DriftproofError
from driftproof.evaluation.checks import whole_number
from driftproof.evaluation.recalibration import Recalibration
from driftproof.keywords import ChecksKeywords
from driftproof.mapping import MappingOptions
from driftproof.periphery import Periphery, StaticRange, load_periphery
from driftproof.record.entries import digest


@dataclass(frozen=True, kw_only=True, eq=False)
class Deployment(ChecksKeywords):
    """Everything about hardware that decides a number: the device, the tiles, the periphery, what is done about drift.

    The network, the data and the metric are an evaluator's (:class:`driftproof.evaluation.Evaluator`). Two deployments
    are equal, and have one :attr:`id`, if they give the same numbers on every network; names and texts do not enter.

    Attributes:
        device: a memory device, or the text that :func:`driftproof.load_device` takes.
        mapping: which layers are on tiles, on how large ones, relative to what.
        compensation: of the drift: ``none``, ``tile``, ``column`` or ``exact``, with parameters after a colon, or one
            of the classes in :mod:`driftproof.compensation`.
        periphery: DAC, ADC and noise around the arrays: ``ideal``, ``standard``, a file, or a
            :class:`driftproof.periphery.Periphery`.
        calibration: data whose inputs static input ranges are measured on; None if the periphery has none.
        recalibration: when and on which inputs BatchNorm statistics are re-estimated on each chip; None for never.
        seed: of all device randomness.

    Raises:
        DriftproofError: an unknown device, compensation or periphery; calibration data for a periphery that has nothing
            to calibrate; a seed that no record can hold.

    >>> a = Deployment(device="pcm-nandakumar-2019", compensation="column")
    >>> b = Deployment(device="pcm-nandakumar-2019", compensation="column", seed=1)
    >>> a == b, a.id == a.with_changes(seed=1).id, b.id == a.with_changes(seed=1).id
    (False, False, True)
    """

    device: Device
    mapping: MappingOptions = field(default_factory=MappingOptions)
    compensation: Compensation = COMPENSATION  # type: ignore[assignment]  # texts become objects below
    periphery: Periphery = PERIPHERY  # type: ignore[assignment]
    calibration: Data | None = field(default=None, repr=False)
    recalibration: Recalibration | None = field(default=None, repr=False)
    seed: int = SEED

    def __init__(
        self,
        *,
        device: Device | str,
        mapping: MappingOptions | None = None,
        compensation: Compensation | str = COMPENSATION,
        periphery: Periphery | str | Path = PERIPHERY,
        calibration: Data | object | None = None,
        recalibration: Recalibration | None = None,
        seed: int = SEED,
    ) -> None:
        around = load_periphery(periphery)
        if calibration is not None and not isinstance(around.input_range, StaticRange):
            raise DriftproofError(
                f"calibration data, but the periphery {around.name} ({around}) has no static input ranges: leave "
                "the data out"
            )
        seed = whole_number("seed", seed)
        if not -(2**63) <= seed < 2**63:
            raise DriftproofError(f"seed: wanted a whole number from 0 to 2^63 - 1, got {seed}")
        values = {
            "device": load_device(device) if isinstance(device, str) else device,
            "mapping": mapping or MappingOptions(),
            "compensation": as_compensation(compensation),
            "periphery": around,
            "calibration": None if calibration is None else hold(as_data(calibration)),
            "recalibration": recalibration,
            "seed": seed,
        }
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def with_changes(self, **changes: Any) -> Deployment:
        """Return the same deployment with other values.

        >>> Deployment(device="ideal").with_changes(device="gaussian:0.1").device.name
        'gaussian:0.1'
        """
        return replace(self, **changes)

    @property
    def wants_calibration(self) -> bool:
        """Whether static input ranges have to be measured and nothing is given to measure them on."""
        return isinstance(self.periphery.input_range, StaticRange) and self.calibration is None

    def definition(self) -> dict[str, Any]:
        """Return all that decides numbers as plain JSON values; data and devices are there by their hashes.

        Raises:
            DriftproofError: ``mapping.where`` is a function, which cannot be written down.
        """
        options, recalibration = self.mapping, self.recalibration
        where = options.where
        if callable(where):
            raise DriftproofError(
                "mapping.where is a function, which has no lasting name; give the layers' names or patterns instead"
            )
        return {
            "device": self.device.sha256,
            "tile": [options.tile.rows, options.tile.columns],
            "where": where if isinstance(where, str | None) else list(where),
            "scale": options.scale,
            "clip": options.clip,
            "compensation": str(self.compensation),
            "periphery": {} if self.periphery.is_ideal else self.periphery.numbers(),
            "calibration": _fingerprint(self.calibration),
            "recalibration": None if recalibration is None else recalibration.definition(),
            "seed": self.seed,
        }

    @cached_property
    def id(self) -> str:
        """10 hexadecimal digits of :meth:`definition`."""
        return digest(self.definition())

    @cached_property
    def _key(self) -> tuple[Any, ...]:
        recalibration = self.recalibration
        return (
            self.device.sha256,
            replace(self.mapping, all_analog=False),  # which decides no number
            str(self.compensation),
            self.periphery.sha256,
            _fingerprint(self.calibration),
            None if recalibration is None else tuple(recalibration.definition().items()),
            self.seed,
        )

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


def _fingerprint(data: Data | None) -> str | None:
    return None if data is None else data.fingerprint()
