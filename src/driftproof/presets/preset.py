"""A device preset: one published device, frozen and checked."""

from __future__ import annotations

import hashlib
import json
import math
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, field_validator, model_validator

from driftproof.defaults import COMPENSATION
from driftproof.presets.laws import (
    DEVICE_LAWS,
    WEIGHT_LAWS,
    Conductance,
    Conductances,
    Drift,
    Levels,
    NotNegative,
    Number,
    PolynomialInTime,
    PolynomialProgramming,
    Programming,
    Read,
    SaturatingInTime,
    Stuck,
    Table,
)

if TYPE_CHECKING:
    from driftproof.presets.at_time import AtTime

Text = Annotated[str, Field(min_length=1)]
Range = tuple[NotNegative, NotNegative]


class Source(Table):
    """Where the numbers come from: the paper, where in it, and who fitted them."""

    title: Text
    authors: str = ""
    venue: str = ""
    year: int | None = None
    doi: str = ""
    where: Text
    fitted_by: Text


class Validity(Table):
    """Where the numbers hold: conductance in µS (devices only), time after programming in s, temperature in °C.

    The temperature is given where the source states it; no law here depends on it.
    """

    g_us: Range | None = None
    t_s: Range
    temperature_c: tuple[Number, Number] | None = None

    @field_validator("g_us", "t_s", "temperature_c")
    @classmethod
    def _ascending(cls, value: tuple[float, float] | None) -> tuple[float, float] | None:
        if value is not None and value[0] >= value[1]:
            raise ValueError(f"the range must ascend, got {list(value)}")
        return value


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

    Made by :func:`driftproof.load_preset`; the laws are in :mod:`driftproof.devices`.
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
        devices, law = isinstance(self.conductance, Conductances), self.programming
        if devices and not isinstance(law, DEVICE_LAWS):
            raise ValueError(f'programming.law "{law.law}" acts on the net weight: use encoding "weight"')
        if not devices and not isinstance(law, WEIGHT_LAWS):
            raise ValueError(f'programming.law "{law.law}" acts on devices: use encoding "pair" or "offset"')
        if not devices and (self.drift or self.read or self.stuck):
            raise ValueError('drift, read and stuck act on devices: use encoding "pair" or "offset"')
        if isinstance(self.conductance, Conductances):
            if self.validity.g_us is None:
                raise ValueError("validity.g_us is missing: the conductance range of the measurement, in µS")
            low, high = self.validity.g_us
            if self.conductance.g_min_us < low or self.conductance.g_max_us > high:
                raise ValueError(
                    f"conductance.g_min_us to g_max_us is {self.conductance.g_min_us} to {self.conductance.g_max_us}: "
                    f"wanted a range inside validity.g_us, {low} to {high} µS, for which the laws were fitted"
                )
        return self

    @model_validator(mode="after")
    def _spreads_are_possible(self) -> DevicePreset:
        law = self.programming
        if not isinstance(law, PolynomialProgramming | PolynomialInTime | SaturatingInTime) or not self.validity.g_us:
            return self
        low, high = self.validity.g_us
        for step in range(101):
            r = step / 100
            sigmas = _sigmas_us(law, r, low + r * (high - low))
            if min(sigmas) < 0:
                raise ValueError(
                    f"programming.sigma_us: the spread is {min(sigmas):.3g} µS at r = {r}: "
                    "it must not be negative for r in [0, 1]"
                )
            if not isinstance(law, PolynomialProgramming) and law.time_correlation == "increments":
                for place, (before, after) in enumerate(pairwise(sigmas)):
                    if after < before:
                        raise ValueError(
                            f'programming.time_correlation "increments" wants a spread that grows, but at r = {r} it '
                            f"falls from {before:.4g} µS at {law.t_s[place]:g} s to {after:.4g} µS at "
                            f'{law.t_s[place + 1]:g} s: use "common", or other times'
                        )
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

    def in_validity(self, t_s: float) -> bool:
        """Whether a time after programming, in s, lies in the range of validity."""
        low, high = self.validity.t_s
        return low <= t_s <= high

    def at(self, t: str | float, until: str | float | None = None, compensation: str = COMPENSATION) -> AtTime:
        """Return the device at a time after programming, or over a range of times: the noise that training draws.

        Args:
            t: such as ``1d``, or seconds.
            until: the other end of a range; times are then drawn log-uniformly.
            compensation: of the drift.
        """
        from driftproof.presets.at_time import at_time

        return at_time(self, t, until, compensation)


def _sigmas_us(law: PolynomialProgramming | PolynomialInTime | SaturatingInTime, r: float, g_us: float) -> list[float]:
    """Return the declared spread of one target in µS, at every time of the law's table."""
    if isinstance(law, SaturatingInTime):
        na_per_us = 1000 * law.read_voltage_v
        return [a / na_per_us * -math.expm1(-g_us * na_per_us / b) for a, b in zip(law.a_na, law.b_na, strict=True)]
    x = r if law.variable == "r" else g_us
    polynomials = (law.sigma_us,) if isinstance(law, PolynomialProgramming) else law.sigma_us
    return [sum(c * x**i for i, c in enumerate(coefficients)) for coefficients in polynomials]
