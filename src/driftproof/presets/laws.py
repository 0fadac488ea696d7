"""The parameters of each device law, as data: frozen, checked, units in the names.

What a law *does* with its numbers is in :mod:`driftproof.devices`; here is only what a preset may say.
Conductances are in µS, times in s. For programming, r = (target − g_min)/(g_max − g_min), the share of the range that
a device carries; for drift and read noise, r = G/g_max.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Positive = Annotated[float, Field(strict=True, gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(strict=True, ge=0, allow_inf_nan=False)]


def _not_negative_spread(coefficients: tuple[float, ...]) -> tuple[float, ...]:
    """Refuse a polynomial σ(r) that is negative for some r in [0, 1]: a spread cannot be."""
    for step in range(101):
        r = step / 100
        sigma = sum(c * r**i for i, c in enumerate(coefficients))
        if sigma < 0:
            raise ValueError(f"the spread is {sigma:.3g} µS at r = {r}: it must not be negative for r in [0, 1]")
    return coefficients


SigmaPolynomial = Annotated[tuple[Number, ...], Field(min_length=1), AfterValidator(_not_negative_spread)]


class Table(BaseModel):
    """One table of a preset file; unknown keys are errors, values never change."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=False)


# --- how a weight becomes conductances ---


class WeightEncoding(Table):
    """No devices: the law acts on the net weight, relative to its column's maximum."""

    encoding: Literal["weight"]


class PairEncoding(Table):
    """One weight is a pair of devices: w = (G⁺ − G⁻) / (g_max − g_min); the unused device rests at g_min."""

    encoding: Literal["pair"]
    g_min_us: NotNegative
    g_max_us: Positive

    @model_validator(mode="after")
    def _range_is_not_empty(self) -> PairEncoding:
        if self.g_min_us >= self.g_max_us:
            raise ValueError(f"g_min_us = {self.g_min_us} must be below g_max_us = {self.g_max_us}")
        return self


Conductance = Annotated[WeightEncoding | PairEncoding, Field(discriminator="encoding")]


# --- programming ---


class ExactProgramming(Table):
    """No programming noise."""

    law: Literal["none"]


class GaussianProgramming(Table):
    """Net weight: w' = w + σ · (column's maximum) · ξ."""

    law: Literal["gaussian"]
    sigma: NotNegative


class PolynomialProgramming(Table):
    """Each device: G = max(0, target + σ(r) ξ), σ(r) = Σ cᵢ rⁱ in µS."""

    law: Literal["polynomial"]
    sigma_us: SigmaPolynomial


class PolynomialInTime(Table):
    """Each device: G(t) = max(0, target + σ(r, t) ξ) with one ξ for life, σ linear in ln t between the times."""

    law: Literal["polynomial-in-time"]
    t_s: Annotated[tuple[Positive, ...], Field(min_length=1)]
    sigma_us: Annotated[tuple[SigmaPolynomial, ...], Field(min_length=1)]
    time_correlation: Literal["common"]

    @model_validator(mode="after")
    def _one_polynomial_per_time(self) -> PolynomialInTime:
        if len(self.t_s) != len(self.sigma_us):
            raise ValueError(f"{len(self.t_s)} times in t_s but {len(self.sigma_us)} polynomials in sigma_us")
        if list(self.t_s) != sorted(set(self.t_s)):
            raise ValueError("t_s must increase")
        return self


Programming = Annotated[
    ExactProgramming | GaussianProgramming | PolynomialProgramming | PolynomialInTime,
    Field(discriminator="law"),
]


# --- drift ---


class LogClip(Table):
    """clip(per_ln_r · ln r + constant, min, max); no unit."""

    per_ln_r: Number
    constant: Number
    min: NotNegative
    max: NotNegative

    @model_validator(mode="after")
    def _range_is_not_empty(self) -> LogClip:
        if self.min > self.max:
            raise ValueError(f"min = {self.min} is above max = {self.max}")
        return self


class PowerDrift(Table):
    """G(t) = G_prog ((t + t0)/t0)^−ν, ν = |mean + sd ξ| per device for life; mean and sd at the target r."""

    law: Literal["power"]
    t0_s: Positive
    nu_mean: LogClip
    nu_sd: LogClip


# --- read noise ---


class OneOverFRead(Table):
    """σ = G(t) Q √ln((t + t0 + t_read) / (2 t_read)), Q = min(q_scale / r^q_exponent, q_max), r programmed."""

    law: Literal["one-over-f"]
    t0_s: NotNegative
    t_read_s: Positive
    q_scale: NotNegative
    q_exponent: NotNegative
    q_max: NotNegative

    @model_validator(mode="after")
    def _logarithm_is_not_negative(self) -> OneOverFRead:
        if self.t0_s < self.t_read_s:
            raise ValueError(f"t0_s = {self.t0_s} must be at least t_read_s = {self.t_read_s}")
        return self


__all__ = [
    # Encodings
    "Conductance",
    "PairEncoding",
    "WeightEncoding",
    # Programming
    "ExactProgramming",
    "GaussianProgramming",
    "PolynomialInTime",
    "PolynomialProgramming",
    "Programming",
    # Drift and read noise
    "LogClip",
    "OneOverFRead",
    "PowerDrift",
    # Building block
    "Table",
]
