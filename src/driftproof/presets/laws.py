"""The parameters of each device law, as data: frozen, checked, units in the names.

What a law *does* with its numbers is in :mod:`driftproof.devices`; here is only what a preset may say.
Conductances are in µS, times in s. The laws' r is relative to the range for which they were fitted, ``validity.g_us``
= (low, high), whatever part of it the weights are mapped to: for programming, r = (target − low)/(high − low); for
drift and read noise, r = G/high. For laws of the net weight, r = |w| / the column's maximum.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from driftproof.defaults import SCALE

Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Positive = Annotated[float, Field(strict=True, gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(strict=True, ge=0, allow_inf_nan=False)]
Share = Annotated[float, Field(strict=True, ge=0, le=1, allow_inf_nan=False)]
Coefficients = Annotated[tuple[Number, ...], Field(min_length=1)]


def _increasing(values: tuple[float, ...]) -> tuple[float, ...]:
    if list(values) != sorted(set(values)):
        raise ValueError(f"the values must increase, got {list(values)}")
    return values


Increasing = Annotated[tuple[NotNegative, ...], Field(min_length=1), AfterValidator(_increasing)]


class Table(BaseModel):
    """One table of a preset file; unknown keys are errors, values never change."""

    model_config = ConfigDict(frozen=True, extra="forbid")


# --- a function of r, in pieces ---


class Piece(Table):
    """One piece of a curve: the first whose ``below_r`` exceeds r counts; ``min`` and ``max`` clip it.

    It is one of: ``polynomial`` Σ cᵢ rⁱ; ``per_ln_r`` · ln r + ``constant``; ``scale`` · r^``exponent``;
    ``values`` at ``at_r``, linear in between and held outside.
    """

    below_r: Positive | None = None
    polynomial: Coefficients | None = None
    per_ln_r: Number | None = None
    constant: Number | None = None
    scale: NotNegative | None = None
    exponent: Number | None = None
    at_r: Increasing | None = None
    values: Coefficients | None = None
    min: Number | None = None
    max: Number | None = None

    @model_validator(mode="after")
    def _is_one_form(self) -> Piece:
        forms = {
            "polynomial": (self.polynomial,),
            "per_ln_r and constant": (self.per_ln_r, self.constant),
            "scale and exponent": (self.scale, self.exponent),
            "at_r and values": (self.at_r, self.values),
        }
        complete = [name for name, keys in forms.items() if all(key is not None for key in keys)]
        begun = [name for name, keys in forms.items() if any(key is not None for key in keys)]
        if len(complete) != 1 or len(begun) != 1:
            raise ValueError(f"a piece is one of {'; '.join(forms)}; got {' and '.join(begun) or 'none of them'}")
        if self.at_r is not None and self.values is not None and len(self.at_r) != len(self.values):
            raise ValueError(f"{len(self.at_r)} places in at_r but {len(self.values)} values")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min = {self.min} is above max = {self.max}")
        return self

    def unbounded_at_zero(self) -> str:
        """Return the key that is missing if the piece goes to ±∞ at r = 0, else an empty text."""
        if (self.per_ln_r or 0) > 0 and self.min is None:
            return "min"
        return "max" if ((self.per_ln_r or 0) < 0 or (self.exponent or 0) < 0) and self.max is None else ""


def _pieces(value: Any) -> Any:
    return [value] if isinstance(value, dict) else value


def _cover(pieces: tuple[Piece, ...]) -> tuple[Piece, ...]:
    """Check that the pieces follow one another and that the last one has no end."""
    ends = [piece.below_r for piece in pieces]
    inner = [end for end in ends[:-1] if end is not None]
    if len(inner) != len(ends) - 1 or ends[-1] is not None or inner != sorted(set(inner)):
        raise ValueError("every piece but the last wants a below_r, and they must increase")
    if missing := pieces[0].unbounded_at_zero():
        raise ValueError(
            f"the curve has no finite value at r = 0, where devices that hold zero are: give it a {missing}"
        )
    return pieces


Curve = Annotated[tuple[Piece, ...], BeforeValidator(_pieces), Field(min_length=1), AfterValidator(_cover)]


# --- how a weight becomes conductances ---


class WeightEncoding(Table):
    """No devices: the law acts on the net weight, relative to the largest of its column or of its layer."""

    encoding: Literal["weight"]
    scale: Literal["column", "layer"] = SCALE


class Conductances(Table):
    """The range that a device is mapped to."""

    g_min_us: NotNegative
    g_max_us: Positive

    @model_validator(mode="after")
    def _range_is_not_empty(self) -> Conductances:
        if self.g_min_us >= self.g_max_us:
            raise ValueError(f"g_min_us = {self.g_min_us} must be below g_max_us = {self.g_max_us}")
        return self


class PairEncoding(Conductances):
    """One weight is a pair of devices, w = (G⁺ − G⁻)/(g_max − g_min), the unused one at g_min; or several pairs.

    With ``significance`` (f₁, f₂, …) there is one pair per entry, each with the weight's share as its target:
    w = Σ fᵢ (Gᵢ⁺ − Gᵢ⁻) / (Σ fᵢ (g_max − g_min)).
    """

    encoding: Literal["pair"]
    significance: Annotated[tuple[Positive, ...], Field(min_length=1)] = (1.0,)


class OffsetEncoding(Conductances):
    """One weight is one device: w = 2 (G − G_ref)/(g_max − g_min), G_ref half-way.

    ``reference = "column"``: G_ref is a device too, one per input, shared by all outputs; it is programmed and relaxes
    like the others. ``reference = "constant"``: it is a number.
    """

    encoding: Literal["offset"]
    reference: Literal["column", "constant"]


Conductance = Annotated[WeightEncoding | PairEncoding | OffsetEncoding, Field(discriminator="encoding")]


# --- programming ---


class ExactProgramming(Table):
    """No programming noise."""

    law: Literal["none"]


class GaussianProgramming(Table):
    """Net weight: w' = w + σ · (largest weight, or the weight itself) · ξ."""

    law: Literal["gaussian"]
    sigma: NotNegative
    relative_to: Literal["largest", "weight"]


class UniformProgramming(Table):
    """Net weight: w' = w + h · (largest weight) · u, u uniform in [−1, 1]."""

    law: Literal["uniform"]
    half_width: NotNegative


class WeightCurveProgramming(Table):
    """Net weight: w' = w + σ(r) · (largest weight) · ξ; below ``zero_below_r`` the weight is exactly zero."""

    law: Literal["weight-curve"]
    sigma: Curve
    zero_below_r: NotNegative = 0.0


class PolynomialProgramming(Table):
    """Each device: G = max(0, target + σ ξ), σ = Σ cᵢ vⁱ in µS, v = r or the target in µS."""

    law: Literal["polynomial"]
    variable: Literal["r", "g_us"]
    sigma_us: Coefficients


# How one device goes through a table of spreads. "common": ξ is one number for life. "increments": from each time of
# the table to the next it takes a step of its own, of variance σ(next)² − σ(this)²: only for a spread that grows.
TimeCorrelation = Literal["common", "increments"]


class PolynomialInTime(Table):
    """Each device: G(t) = max(0, target + σ(r, t) ξ), σ linear in ln t between the times.

    ``time_correlation``: see :data:`TimeCorrelation`.
    """

    law: Literal["polynomial-in-time"]
    variable: Literal["r", "g_us"]
    t_s: Annotated[Increasing, Field(min_length=1)]
    sigma_us: Annotated[tuple[Coefficients, ...], Field(min_length=1)]
    time_correlation: TimeCorrelation

    @model_validator(mode="after")
    def _one_polynomial_per_time(self) -> PolynomialInTime:
        if len(self.t_s) != len(self.sigma_us):
            raise ValueError(f"{len(self.t_s)} times in t_s but {len(self.sigma_us)} polynomials in sigma_us")
        if self.t_s[0] <= 0:
            raise ValueError(f"t_s must be above 0 to interpolate in ln t, got {self.t_s[0]}")
        return self


class SaturatingInTime(Table):
    """Each device: I(t) = max(0, target + Δ(I, t) + σ(I, t) ξ), linear in t between the times.

    Currents in nA, I = G · ``read_voltage_v``. σ = A (1 − e^(−I/B)); Δ = Σ pᵢ Iⁱ, evaluated in float64.
    """

    law: Literal["saturating-in-time"]
    read_voltage_v: Positive
    t_s: Increasing
    a_na: tuple[NotNegative, ...]
    b_na: tuple[Positive, ...]
    shift_na: tuple[Coefficients, ...]
    time_correlation: TimeCorrelation

    @model_validator(mode="after")
    def _one_row_per_time(self) -> SaturatingInTime:
        rows = {"a_na": len(self.a_na), "b_na": len(self.b_na), "shift_na": len(self.shift_na)}
        for key, count in rows.items():
            if count != len(self.t_s):
                raise ValueError(f"{len(self.t_s)} times in t_s but {count} entries in {key}")
        return self


Programming = Annotated[
    ExactProgramming
    | GaussianProgramming
    | UniformProgramming
    | WeightCurveProgramming
    | PolynomialProgramming
    | PolynomialInTime
    | SaturatingInTime,
    Field(discriminator="law"),
]
WEIGHT_LAWS = (ExactProgramming, GaussianProgramming, UniformProgramming, WeightCurveProgramming)
DEVICE_LAWS = (ExactProgramming, PolynomialProgramming, PolynomialInTime, SaturatingInTime)


# --- change in time ---


class PowerDrift(Table):
    """G(t) = G_prog ((t + t0)/t0)^−ν, ν = |mean + sd ξ| per device for life; mean and sd at the target r."""

    law: Literal["power"]
    t0_s: Positive
    nu_mean: Curve
    nu_sd: Curve


class LogRelaxation(Table):
    """G(t) = G_prog + a ln t + (b ln t + c) ξ in µS, one ξ per device for life; ln t is 0 before t = 1 s."""

    law: Literal["log-relaxation"]
    shift_us_per_ln_t: Number
    sd_us_per_ln_t: NotNegative
    sd_us: NotNegative


Drift = Annotated[PowerDrift | LogRelaxation, Field(discriminator="law")]


# --- read noise ---


# "read-out": one draw at every read-out time, the same for all products of that time (slow noise, 1/f).
# "product": a draw of its own in every matrix-vector product.
NewEvery = Literal["read-out", "product"]
NEW_EVERY: Final = "read-out"


class OneOverFRead(Table):
    """σ = G(t) Q √ln((t + t0 + t_read) / (2 t_read)), Q a curve of the programmed r."""

    law: Literal["one-over-f"]
    t0_s: NotNegative
    t_read_s: Positive
    q: Curve
    new_every: NewEvery = NEW_EVERY

    @model_validator(mode="after")
    def _logarithm_is_not_negative(self) -> OneOverFRead:
        if self.t0_s < self.t_read_s:
            raise ValueError(f"t0_s = {self.t0_s} must be at least t_read_s = {self.t_read_s}")
        return self


class LogConductanceRead(Table):
    """σ = K log₁₀(G(t) / 1 µS) √ln((t + t_read) / (2 t_read)) in µS; none up to 1 µS, and none up to t = t_read."""

    law: Literal["log10-g"]
    k_us: NotNegative
    t_read_s: Positive
    new_every: NewEvery = NEW_EVERY


class SaturatingRead(Table):
    """σ = A (1 − e^(−I/B)), I = G(t) · ``read_voltage_v``; currents in nA."""

    law: Literal["saturating"]
    read_voltage_v: Positive
    a_na: NotNegative
    b_na: Positive
    new_every: NewEvery = "product"


Read = Annotated[OneOverFRead | LogConductanceRead | SaturatingRead, Field(discriminator="law")]


# --- what fails, and what is discrete ---


class Stuck(Table):
    """Devices that cannot be programmed, fixed for a chip's life: shares at g_min, at g_max, at a random level."""

    at_g_min: Share = 0.0
    at_g_max: Share = 0.0
    at_random: Share = 0.0

    @model_validator(mode="after")
    def _shares_fit(self) -> Stuck:
        total = self.at_g_min + self.at_g_max + self.at_random
        if total > 1:
            raise ValueError(f"the shares add up to {total}, above 1")
        return self


class Levels(Table):
    """Targets are rounded to the nearest of ``count`` evenly spaced levels.

    Net weights: from −max to max, an odd count has a level at zero (255 levels are 8 bits). Devices: g_min to g_max.
    """

    count: Annotated[int, Field(ge=2)]
