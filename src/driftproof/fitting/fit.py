"""From measurements to a device: which parts of the model they allow, and what to say about it."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from driftproof.defaults import FITTED_DRIFT
from driftproof.errors import DriftproofError
from driftproof.fitting.contradictions import contradictions
from driftproof.fitting.device import FittedDevice
from driftproof.fitting.marginals import fit_marginals
from driftproof.fitting.measurements import Measurements
from driftproof.fitting.repeats import fit_repeats, to_readings
from driftproof.presets.preset import Fit

Floats = npt.NDArray[np.float64]


def fit_measurements(
    measurements: Measurements,
    *,
    g_min_us: float = 0.0,
    g_max_us: float | None = None,
    degree: int | None = None,
    t0_s: float = 20.0,
    t_read_s: float = 250e-9,
    drift: Literal["power", "none"] = FITTED_DRIFT,
) -> FittedDevice:
    """Fit the spread of programming, the drift exponent at each level, and 1/f read noise.

    The model is that of :mod:`driftproof.fitting.likelihood`; intervals are 95 %, from the curvature of the likelihood
    (of its logarithm where a number cannot be negative). What the measurements do not allow is left out, and the
    notes say so.

    Args:
        measurements: as :func:`driftproof.fitting.read_measurements` returns them.
        g_min_us: lower end of the range that weights will be mapped to, in µS.
        g_max_us: its upper end; the largest level by default.
        degree: of the polynomial σ(r); by default 2, or less where there are fewer levels or where the spread would be
            negative within the range, which the notes say.
        t0_s: reference time of drift and read noise, in s.
        t_read_s: length of a read, in s.
        drift: "power", or "none" for a device that does not drift.

    Raises:
        DriftproofError: levels outside the range; fewer levels than the polynomial wants; no maximum of the likelihood;
            a spread that is negative within the range.

    >>> g = 10 + 0.1 * np.arange(-20.0, 21.0)
    >>> names = tuple(f"d{i}" for i in range(41))
    >>> once = Measurements("mine.csv", "", True, names, 0 * g + 10, 0 * g, g, np.arange(2, 43))
    >>> round(fit_measurements(once, degree=0).sigma_us[0], 3)  # the root of the mean square
    1.183
    """
    levels = np.unique(measurements.target_us)
    low, high = float(g_min_us), float(levels[-1] if g_max_us is None else g_max_us)
    _check_options(levels, low, high, degree, t0_s, t_read_s, drift)
    times = np.unique(measurements.t_s)
    notes = list(measurements.notes)
    drifts = drift == "power" and len(times) > 1 and bool((levels > 0).any())
    if drift == "none":
        notes.append("Fitted as a device that does not drift.")
    elif len(times) == 1:
        notes.append("Measured at one time only: drift is not in it.")

    device = np.unique(np.array(measurements.who), return_inverse=True)[1]
    repeats = measurements.told_apart and int(np.bincount(device).max()) > 1
    highest = min(2, len(levels) - 1) if degree is None else degree
    for power in range(highest, -1, -1):
        if repeats:
            data = measurements.target_us, measurements.t_s, measurements.g_us
            found = fit_repeats(to_readings(device, *data, high, t0_s, t_read_s), low, power, drifts)
        else:
            found = fit_marginals(measurements, levels, (low, high), power, t0_s, drifts)
        if degree is not None:
            _check_spread(found.sigma_us, power)
        if _lowest(found.sigma_us)[0] >= 0:
            break
    if degree is None and power < 2:
        why = f"{len(levels)} levels allow" if power == highest else "is not negative between or beyond the levels"
        notes.append(f"The spread of programming is a polynomial of degree {power}: the highest, up to 2, that {why}.")
    notes += found.notes
    sigma, table, read, parameters = found.sigma_us, found.drift, found.read, found.parameters
    if levels[0] > low or levels[-1] < high:
        notes.append(
            f"The range is {low:g} to {high:g} µS, the measured levels {levels[0]:g} to {levels[-1]:g} µS: beyond them "
            "the laws are extrapolated."
        )
    if table is not None:
        notes.append(
            "The drift exponent depends on the target conductance: fitted at the measured levels, linear in between "
            f"and held outside. The reference time t0 = {t0_s:g} s was given, not fitted."
        )
    if read is not None:
        notes.append(
            "The read noise depends on the programmed conductance and is new at every time. "
            f"t0 = {t0_s:g} s and t_read = {t_read_s:g} s were given, not fitted."
        )
    counts = [_devices(measurements, level) for level in levels]
    fit = Fit(
        devices=sum(counts),
        rows=len(measurements.g_us),
        levels_us=tuple(levels.tolist()),
        devices_at_level=tuple(counts),
        times=len(times),
        t_s=(float(times[0]), float(times[-1])),
        parameters=parameters,
    )
    fitted = FittedDevice((low, high), t0_s, t_read_s, sigma, table, read, fit, tuple(notes))
    return replace(fitted, warnings=contradictions(measurements, fitted))


def _check_options(
    levels: Floats, low: float, high: float, degree: int | None, t0_s: float, t_read_s: float, drift: str
) -> None:
    if drift not in ("power", "none"):
        raise DriftproofError(f"drift {drift!r}: wanted power or none")
    if not 0 <= low < high < math.inf:
        raise DriftproofError(f"the range {low:g} to {high:g} µS: wanted 0 <= g_min < g_max; see --g-min and --g-max")
    outside = [f"{level:g}" for level in levels if not low <= level <= high]
    if outside:
        raise DriftproofError(
            f"levels outside the range {low:g} to {high:g} µS: {', '.join(outside)} µS; "
            "widen it with --g-min and --g-max, or leave these levels out of the file"
        )
    if degree is not None and not 0 <= degree < len(levels):
        raise DriftproofError(
            f"a polynomial of degree {degree} for the spread of programming wants {max(degree, 0) + 1} levels, "
            f"{len(levels)} came: use --degree {len(levels) - 1} or less (and not below 0), or measure more levels"
        )
    if not 0 < t_read_s <= t0_s < math.inf:
        raise DriftproofError(f"t0 = {t0_s:g} s, t_read = {t_read_s:g} s: wanted 0 < t_read <= t0")


def _lowest(sigma: tuple[float, ...]) -> tuple[float, float]:
    """Return the least spread in the range in µS, and the r where it is."""
    values = np.polynomial.polynomial.polyval(np.linspace(0, 1, 101), np.array(sigma))
    return float(values.min()), float(values.argmin() / 100)


def _check_spread(sigma: tuple[float, ...], degree: int) -> None:
    least, r = _lowest(sigma)
    if least < 0:
        raise DriftproofError(
            f"the fitted spread of programming is {least:.3g} µS at r = {r:g}, between or beyond the levels: a "
            f"polynomial of degree {degree} does not suit them; use --degree {max(degree - 1, 0)} or none at all, "
            "or choose a range (--g-min, --g-max) that the levels span"
        )


def _devices(measurements: Measurements, level: float) -> int:
    """How many devices a level has; of groups, the largest number of readings at one time."""
    at = measurements.target_us == level
    if measurements.told_apart:
        return len(set(np.array(measurements.who)[at]))
    return int(np.unique(measurements.t_s[at], return_counts=True)[1].max())
