"""A fitted device: its numbers, their intervals, and notes for the reader."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from driftproof._presets.preset import Fit, FittedParameter

Floats = npt.NDArray[np.float64]
Z95 = 1.959964
_HERMITE, _WEIGHT = np.polynomial.hermite_e.hermegauss(41)
_WEIGHT = _WEIGHT / _WEIGHT.sum()


def interval(
    name: str, value: float, error: float, unit: str = "", back: Callable[[float], float] = float
) -> FittedParameter:
    """Return a parameter with its 95 % interval from its standard error; ``back`` is exp if both are a logarithm's."""
    half = Z95 * float(error) if back is float else min(Z95 * float(error), 50.0)
    value, low, high = (back(value + x) for x in (0, -half, half))
    return FittedParameter(name=name, value=value, low95=low, high95=high, unit=unit)


def sigma_parameters(sigma_us: Sequence[float], errors: Iterable[float]) -> list[FittedParameter]:
    """Return the parameters of the coefficients of σ(r) from their standard errors."""
    pairs = enumerate(zip(sigma_us, errors, strict=False))
    return [interval(f"sigma_us.{power}", c, error, "µS") for power, (c, error) in pairs]


def sigma_at_levels(levels_us: Floats, vander: Floats, sigma_us: Floats, covariance: Floats) -> list[FittedParameter]:
    """Return σ at each level; its interval is on a logarithmic scale, as that of a standard deviation.

    Args:
        levels_us: Targets in µS, [levels].
        vander: Powers of r of the levels, [levels, coefficients].
        sigma_us: Coefficients of σ(r) in µS, [coefficients].
        covariance: Their covariance in µS², [coefficients, coefficients].
    """
    found = []
    for level, sigma, variance in zip(
        levels_us, vander @ sigma_us, np.einsum("lc,cd,ld->l", vander, covariance, vander), strict=True
    ):
        name = f"sigma at {level:g} µS"
        if sigma <= 0:
            found.append(FittedParameter(name=name, value=max(float(sigma), 0.0), unit="µS"))
            continue
        error = math.sqrt(max(float(variance), 0.0)) / float(sigma)
        found.append(interval(name, math.log(sigma), error, "µS", math.exp))
    return found


def not_identified(level_us: float, why: str = "") -> str:
    """Return the note about a level whose drift exponent the measurements do not determine."""
    return (
        f"Level {level_us:g} µS: its drift exponent is not identified{why}. The level is left out of the drift table."
    )


@dataclass(frozen=True)
class DriftTable:
    """Mean and device-to-device standard deviation of ν at measured levels; r = target/g_max."""

    r: tuple[float, ...]
    mean: tuple[float, ...]
    sd: tuple[float, ...]


@dataclass(frozen=True)
class ReadNoise:
    """Q = min(scale · r^exponent, max). There is no maximum if the exponent is not negative."""

    scale: float
    exponent: float
    max: float | None


@dataclass(frozen=True)
class Estimate:
    """Result of one of the two ways to fit; ``notes`` name the parts that were left out."""

    sigma_us: tuple[float, ...]
    drift: DriftTable | None
    read: ReadNoise | None
    parameters: tuple[FittedParameter, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class FittedDevice:
    """A device as :func:`driftproof.fitting.fit_measurements` returns it.

    Attributes:
        g_us: Conductance range that weights are mapped to, in µS.
        t0_s: Reference time of drift and read noise in s. It is given, not fitted.
        t_read_s: Length of a read in s. It is given, not fitted.
        sigma_us: Coefficients in µS of the standard deviation of programming, σ = Σ cᵢ rⁱ with
            r = (g − g_min)/(g_max − g_min).
        drift: Drift exponents at the levels. None if no drift was fitted.
        read: Read noise. None if the measurements do not determine it.
        fit: Sample sizes, and every parameter with its 95 % interval.
        notes: Assumptions of the fit, and parts that were left out.
        warnings: Contradictions between the measurements and the model.
    """

    g_us: tuple[float, float]
    t0_s: float
    t_read_s: float
    sigma_us: tuple[float, ...]
    drift: DriftTable | None
    read: ReadNoise | None
    fit: Fit
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    def sigma_at(self, target_us: npt.ArrayLike) -> Floats:
        """Return the standard deviation of programming in µS at targets in µS."""
        low, high = self.g_us
        r = (np.asarray(target_us) - low) / (high - low)
        return np.asarray(np.polynomial.polynomial.polyval(r, np.array(self.sigma_us)))

    def q_at(self, g_us: Floats) -> Floats:
        """Return Q at programmed conductances in µS. It is zero for a device without read noise."""
        if self.read is None:
            return np.zeros_like(g_us)
        r = np.maximum(g_us / self.g_us[1], 1e-30)
        return np.minimum(self.read.scale * r**self.read.exponent, np.inf if self.read.max is None else self.read.max)

    def readings_at(self, level_us: float, t_s: float) -> tuple[float, float]:
        """Return mean and standard deviation in µS of the readings of one level under the law.

        Args:
            level_us: Target in µS.
            t_s: Time after programming in s.
        """
        g = np.maximum(level_us + float(self.sigma_at(level_us)) * _HERMITE, 0)[:, None, None]
        factor, weight = np.ones(1), np.ones(1)
        if self.drift is not None:
            r = level_us / self.g_us[1]
            mean, sd = (np.interp(r, self.drift.r, values) for values in (self.drift.mean, self.drift.sd))
            factor, weight = ((t_s + self.t0_s) / self.t0_s) ** -np.abs(mean + sd * _HERMITE), _WEIGHT
        relative = self.q_at(g) * math.sqrt(math.log((t_s + self.t0_s + self.t_read_s) / (2 * self.t_read_s)))
        values = g * factor[None, :, None] * np.maximum(1 + relative * _HERMITE, 0)
        first, second = (float(np.einsum("ijk,i,j,k", x, _WEIGHT, weight, _WEIGHT)) for x in (values, values**2))
        return first, math.sqrt(max(second - first**2, 0.0))
