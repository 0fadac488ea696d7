"""A device as it was fitted: its numbers, how sure they are, and what the reader should know."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from driftproof.presets.preset import Fit, FittedParameter

Floats = npt.NDArray[np.float64]
Z95 = 1.959964


@dataclass(frozen=True)
class DriftTable:
    """Mean and device-to-device standard deviation of ν at measured levels; r = target/g_max."""

    r: tuple[float, ...]
    mean: tuple[float, ...]
    sd: tuple[float, ...]


@dataclass(frozen=True)
class ReadNoise:
    """Q = min(scale · r^exponent, max); no max where the exponent is not negative."""

    scale: float
    exponent: float
    max: float | None


@dataclass(frozen=True)
class Found:
    """The numbers of one way to fit, with their intervals; ``notes`` say what was left out."""

    sigma_us: tuple[float, ...]
    drift: DriftTable | None
    read: ReadNoise | None
    parameters: tuple[FittedParameter, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class FittedDevice:
    """A device as :func:`driftproof.fitting.fit_measurements` found it.

    Attributes:
        g_us: the range that the device is mapped to, in µS.
        t0_s, t_read_s: reference time of the drift and length of a read, in s: given, not fitted.
        sigma_us: coefficients of the spread of programming in µS, σ = Σ cᵢ rⁱ, r = (g − g_min)/(g_max − g_min).
        drift: None where it was not asked for or cannot be seen.
        read: None where the measurements cannot tell it from what devices keep.
        fit: sample sizes, and every parameter with its 95 % interval.
        notes: what was assumed and what was left out.
        warnings: where the measurements contradict the model.
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

    def sigma_at(self, target_us: Floats) -> Floats:
        """Declared spread of programming in µS at targets in µS."""
        low, high = self.g_us
        return np.asarray(np.polynomial.polynomial.polyval((target_us - low) / (high - low), np.array(self.sigma_us)))

    def q_at(self, g_us: Floats) -> Floats:
        """Q at programmed conductances in µS; zero without read noise."""
        if self.read is None:
            return np.zeros_like(g_us)
        r = np.maximum(g_us / self.g_us[1], 1e-30)
        return np.minimum(self.read.scale * r**self.read.exponent, np.inf if self.read.max is None else self.read.max)
