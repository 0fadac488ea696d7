"""One device at a time: what a paper's law says of it, and the devices that hold one weight.

Python's own float64 and ``math`` only; nothing here knows driftproof. Constants are typed in again beside their law.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple


class Numbers(NamedTuple):
    """The standard normal numbers of one device.

    ``read`` is its read noise that all read-outs of a time have in common, ``used`` that of the use alone.
    """

    program: float = 0.0
    drift: float = 0.0
    read: float = 0.0
    used: float = 0.0
    stuck: float = 0.0
    steps: tuple[float, ...] = ()


class Reading(NamedTuple):
    """Conductance of one device at a time without read noise, and the standard deviation of its read noise, in µS."""

    g_us: float
    read_sigma_us: float = 0.0


# (target in µS, the device's numbers, seconds after programming) → what it is then
Law = Callable[[float, Numbers, float], Reading]


@dataclass(frozen=True)
class Spectrum:
    """1/f noise from 1/(t + t0 + t_read) to 1/(2 t_read): each octave has the same part of the variance."""

    t0_s: float
    t_read_s: float

    def fast_share(self, t_s: float, period_s: float) -> float:
        """The part of the variance above 1/period, counted in octaves."""
        lowest, highest, cut = 1 / (t_s + self.t0_s + self.t_read_s), 1 / (2 * self.t_read_s), 1 / period_s
        octaves, above = math.log2(highest) - math.log2(lowest), math.log2(highest) - math.log2(cut)
        return min(max(above / octaves, 0.0), 1.0) if octaves > 0 else 1.0


PERIOD_S = 1 + 3600
"""A read-out of a second, an hour, and the next one: from the middle of one to the middle of the other."""


def nearest_level(x: float, low: float, count: int) -> float:
    """The nearest of ``count`` evenly spaced levels from ``low`` to 1."""
    return min((low + (1 - low) * k / (count - 1) for k in range(count)), key=lambda level: abs(level - x))


@dataclass(frozen=True)
class Stuck:
    """Shares of devices that cannot be programmed."""

    at_g_min: float = 0.0
    at_g_max: float = 0.0
    at_random: float = 0.0

    def us(self, xi: float, g_min_us: float, g_max_us: float) -> float | None:
        """Where a device is stuck, None if it is not: Φ(ξ) is evenly spread over [0, 1], and the shares follow."""
        lot = 0.5 * math.erfc(-xi / math.sqrt(2))
        if lot < self.at_g_min:
            return g_min_us
        if lot < self.at_g_min + self.at_g_max:
            return g_max_us
        if lot < self.at_g_min + self.at_g_max + self.at_random:
            place = (lot - self.at_g_min - self.at_g_max) / self.at_random
            return g_min_us + place * (g_max_us - g_min_us)
        return None


@dataclass(frozen=True)
class Devices:
    """The devices that hold one weight, and the law that each of them follows.

    Its read noise has the ``spectrum``, or none: then all of it is new at each read-out.

    A ``pair`` is G⁺ and G⁻, the unused one at the least conductance; with significance factors f there are several,
    each with the weight's share, and w = Σ fᵢ (Gᵢ⁺ − Gᵢ⁻) / (Σ fᵢ (g_max − g_min)). An ``offset`` device carries
    w = 2 (G − G_ref)/(g_max − g_min), where G_ref is half-way: a number, or a device of a ``reference`` column.
    """

    law: Law
    g_min_us: float
    g_max_us: float
    encoding: Literal["pair", "offset"] = "pair"
    read_noise: Literal["none", "read-out", "mvm"] = "none"
    reference: Literal["none", "constant", "column"] = "none"
    significance: tuple[float, ...] = (1.0,)
    stuck: Stuck | None = None
    levels: int | None = None
    spectrum: Spectrum | None = None

    def marks(self) -> tuple[str, ...]:
        """Names of the devices in the keys of randomness, in the order of :meth:`targets_us`."""
        if self.encoding == "offset":
            return ("+",)
        return tuple(f"{sign}{n}" if n > 1 else sign for n in range(1, len(self.significance) + 1) for sign in "+-")

    def targets_us(self, w: float) -> tuple[float, ...]:
        """Target conductances of a weight's devices."""
        if self.encoding == "offset":
            return (self.target_us((w + 1) / 2),)
        return (self.target_us(max(w, 0.0)), self.target_us(max(-w, 0.0))) * len(self.significance)

    def target_us(self, share: float) -> float:
        """Target conductance of a device that carries a share of the range."""
        if self.levels is not None:
            share = nearest_level(share, 0.0, self.levels)
        return self.g_min_us + share * (self.g_max_us - self.g_min_us)

    def quiet_us(self, target_us: float, xi: Numbers, t_s: float) -> float:
        """Conductance without read noise."""
        fixed = self.stuck.us(xi.stuck, self.g_min_us, self.g_max_us) if self.stuck else None
        return self.law(target_us, xi, t_s).g_us if fixed is None else fixed

    def read_us(self, target_us: float, xi: Numbers, t_s: float) -> float:
        """Conductance as one read-out finds it; noise that is new in every product is not in it."""
        fixed = self.stuck.us(xi.stuck, self.g_min_us, self.g_max_us) if self.stuck else None
        if fixed is not None:
            return fixed
        g, sigma = self.law(target_us, xi, t_s)
        fast = self.spectrum.fast_share(t_s, PERIOD_S) if self.spectrum else 1.0
        noise = math.sqrt(1 - fast) * xi.read + math.sqrt(fast) * xi.used
        return max(0.0, g + sigma * noise) if self.read_noise == "read-out" else g

    def mvm_sigma_us(self, target_us: float, xi: Numbers, t_s: float) -> float:
        """Standard deviation of the read noise that is new in every product; a stuck device has none."""
        if self.read_noise != "mvm" or (self.stuck and self.stuck.us(xi.stuck, 0.0, 1.0) is not None):
            return 0.0
        return self.law(target_us, xi, t_s).read_sigma_us

    def factors(self) -> tuple[float, ...]:
        """What each device's µS count for in the net weight."""
        span = self.g_max_us - self.g_min_us
        if self.encoding == "offset":
            return (2 / span,)
        return tuple(sign * f / (sum(self.significance) * span) for f in self.significance for sign in (1, -1))

    def net(self, conductances_us: tuple[float, ...], reference_us: float | None = None) -> float:
        """The weight that conductances stand for; ``reference_us`` is what an input's reference device is."""
        if self.encoding == "pair":
            return sum(f * g for f, g in zip(self.factors(), conductances_us, strict=True))
        if self.reference == "constant":
            reference_us = (self.g_min_us + self.g_max_us) / 2
        assert reference_us is not None
        return self.factors()[0] * (conductances_us[0] - reference_us)


@dataclass(frozen=True)
class NetWeight:
    """A law of the net weight: (w relative to the largest of its column or layer, ξ) → what it becomes, for ever."""

    law: Callable[[float, float], float]
    scale: Literal["column", "layer"] = "column"
