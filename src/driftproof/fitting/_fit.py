"""From measurements to a device: the parts of the model that the measurements allow, and notes about the rest."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Literal, NamedTuple

import numpy as np
from scipy.special import gammainc, ndtr

from driftproof._compensation import LATE_S
from driftproof._defaults import FITTED_DRIFT, FITTED_T0_S
from driftproof._errors import DriftproofError
from driftproof._presets.preset import Fit
from driftproof.fitting._device import Estimate, FittedDevice, Floats
from driftproof.fitting._marginals import fit_marginals
from driftproof.fitting._measurements import Measurements
from driftproof.fitting._repeats import fit_repeats, to_readings
from driftproof.laws._validity import Range
from driftproof.times import format_time

_FAR = 4.0  # standard errors: by chance once in 16,000 comparisons
_LEAST = 0.02  # of the range; a smaller shift does no harm


def fit_measurements(
    measurements: Measurements,
    *,
    g_min_us: float = 0.0,
    g_max_us: float | None = None,
    degree: int | None = None,
    t0_s: float | None = None,
    t_read_s: float = 250e-9,
    drift: Literal["power", "none"] = FITTED_DRIFT,
) -> FittedDevice:
    """Fit the programming noise, the drift exponent at each level, and 1/f read noise.

    The model is that of :mod:`driftproof.fitting._likelihood`. Intervals are 95 %, from the curvature of the likelihood
    (of its logarithm where a number cannot be negative). Parts that the measurements do not allow are left out, and the
    notes name them.

    Args:
        measurements: Measurements, as :func:`driftproof.fitting.read_measurements` returns them.
        g_min_us: Lower end of the conductance range for weights in µS (default: 0).
        g_max_us: Upper end of the conductance range for weights in µS (default: the largest level).
        degree: Degree of the polynomial σ(r). By default 2, or less where there are fewer levels or where σ would be
            negative within the range; a note gives the degree if it is less.
        t0_s: Reference time of drift and read noise in s: when t = 0, the first read, was after the last programming
            pulse (default: 20 where the measurements begin within a minute after t = 0; else it must be given).
        t_read_s: Length of a read in s (default: 250e-9).
        drift: "power" (the default), or "none" for a device that does not drift.

    Returns:
        The device with its intervals, notes and warnings.

    Raises:
        DriftproofError: If levels lie outside the range, there are fewer levels than the polynomial needs, the
            likelihood has no maximum, or σ is negative within the range; if the first reading is late and no t0 is
            given.

    >>> g = 10 + 0.1 * np.arange(-20.0, 21.0)
    >>> names = tuple(f"d{i}" for i in range(41))
    >>> once = Measurements("mine.csv", "", True, names, 0 * g + 10, 0 * g, g, np.arange(2, 43))
    >>> round(fit_measurements(once, degree=0).sigma_us[0], 3)  # the root of the mean square
    1.183
    """
    levels, times = np.unique(measurements.target_us), np.unique(measurements.t_s)
    low, high = float(g_min_us), float(levels[-1] if g_max_us is None else g_max_us)
    drifts = drift == "power" and len(times) > 1 and bool(levels[-1] > 0)
    t0_s = _reference_time(float(times[0]), drifts) if t0_s is None else t0_s
    _check_options(levels, low, high, degree, t0_s, t_read_s, drift)
    notes = [*measurements.notes]
    if drift == "none":
        notes.append("Fitted as a device that does not drift.")
    elif len(times) == 1:
        notes.append("Measured at one time only: the fit has no drift.")
    estimate = _fit(measurements, (low, high), degree, t0_s, t_read_s, drifts)
    power = len(estimate.sigma_us) - 1
    if degree is None and power < 2:
        few = power == len(levels) - 1
        why = f"{len(levels)} levels allow" if few else "is not negative between or beyond the levels"
        notes.append(f"σ of programming is a polynomial of degree {power}: the highest, up to 2, that {why}.")
    counts = tuple(measurements.devices_at(level) for level in levels)
    fit = Fit(
        devices=sum(counts),
        rows=len(measurements.t_s),
        levels_us=tuple(levels.tolist()),
        devices_at_level=counts,
        times=len(times),
        t_s=(times[0], times[-1]),
        understood=measurements.understood,
        parameters=estimate.parameters,
    )
    fitted = FittedDevice((low, high), t0_s, t_read_s, estimate.sigma_us, estimate.drift, estimate.read, fit)
    fitted = replace(fitted, notes=(*notes, *estimate.notes, *_assumptions(fitted)))
    shifts = tuple(_shifts(measurements, fitted))
    _check_start(shifts, fitted)
    return replace(fitted, warnings=(*_contradictions(shifts), *_dead_devices(measurements, fitted)))


def _reference_time(first_s: float, drifts: bool) -> float:
    """Return the default of t0, or raise DriftproofError if devices have drifted unseen before their first reading."""
    if first_s <= LATE_S or not drifts:
        return FITTED_T0_S
    first = format_time(first_s)
    raise DriftproofError(
        f"the first reading is {first} after the start of the time column, and no reference time t0 is given. The "
        "drift law G(t) = G_prog ((t + t0)/t0)^-nu begins at t = 0, a read that follows the last programming pulse "
        "after t0, and what devices lose before their first reading comes from the law alone. If the times count from "
        f"the last pulse, say --times-from last-pulse, with --t0 {FITTED_T0_S:g} if the devices had their targets soon "
        f"after the pulse, or with --t0 {first_s:g} if they have them at this reading. If the times count from a read "
        "that is not in the file, say with --t0 how long after the last pulse that was"
    )


def _fit(
    measurements: Measurements, g_us: Range, degree: int | None, t0_s: float, t_read_s: float, drifts: bool
) -> Estimate:
    """Fit with the given degree, or with the highest for which σ is not negative."""
    most = min(2, len(np.unique(measurements.target_us)) - 1) if degree is None else degree
    for power in range(most, -1, -1):
        if measurements.told_apart and len(set(measurements.who)) < len(measurements.who):
            estimate = fit_repeats(to_readings(measurements, g_us[1], t0_s, t_read_s), g_us[0], power, drifts)
        else:
            estimate = fit_marginals(measurements, g_us, power, t0_s, drifts)
        sigma = np.polynomial.polynomial.polyval(np.linspace(0, 1, 101), np.array(estimate.sigma_us))
        if sigma.min() >= 0:
            break
        if degree is not None:
            raise DriftproofError(
                f"the fitted standard deviation of programming is {sigma.min():.3g} µS at r = "
                f"{sigma.argmin() / 100:g}, between or beyond the levels: a polynomial of degree {degree} does not "
                f"suit them; use --degree {max(degree - 1, 0)} or leave --degree out, or choose a range (--g-min, "
                "--g-max) that the levels span"
            )
    return estimate


def _assumptions(device: FittedDevice) -> list[str]:
    """Return the notes about the assumptions of a fit."""
    (low, high), first, last = device.g_us, device.fit.levels_us[0], device.fit.levels_us[-1]
    notes = (
        (
            first > low or last < high,
            f"The range is {low:g} to {high:g} µS, the measured levels {first:g} to {last:g} µS: beyond them the laws "
            "are extrapolated.",
        ),
        (
            device.drift,
            "The drift exponent depends on the target conductance: fitted at the measured levels, linear in between "
            f"and held outside. The reference time t0 = {device.t0_s:g} s was given, not fitted.",
        ),
        (
            device.read,
            "The read noise depends on the programmed conductance and is drawn again at every time. "
            f"t0 = {device.t0_s:g} s and t_read = {device.t_read_s:g} s were given, not fitted.",
        ),
    )
    return [text for assumed, text in notes if assumed]


class _Shift(NamedTuple):
    """A level whose mean is off the law's.

    Attributes:
        level_us: Target in µS.
        end: ``first`` or ``last`` readings of its devices.
        t_s: Their median time in s.
        mean_us: Their mean in µS.
        law_us: The mean by the law in µS.
        error_us: Standard error of the mean in µS.
    """

    level_us: float
    end: str
    t_s: float
    mean_us: float
    law_us: float
    error_us: float


def _shifts(measurements: Measurements, device: FittedDevice) -> Iterator[_Shift]:
    """Yield each level whose first or last readings are off the law's mean.

    The laws have no shift of the mean after programming and no change but a power of time, so such a shift widens a
    fitted standard deviation. A level is named where its mean is four standard errors and 2 % of the range away.
    """
    for level in device.fit.levels_us:
        ends = measurements.ends(level)
        for name, rows in zip(("first", "last"), ends if device.fit.times > 1 else ends[:1], strict=False):
            g, t = measurements.g_us[rows], measurements.t_s[rows]
            if len(g) < 5 or t.max() + device.t0_s > 1.5 * (t.min() + device.t0_s):
                continue
            t_s = float(np.median(t))
            law, _ = device.readings_at(level, t_s)
            mean, error = float(g.mean()), float(g.std(ddof=1)) / math.sqrt(len(g))
            if abs(mean - law) > max(_FAR * error, _LEAST * (device.g_us[1] - device.g_us[0])):
                yield _Shift(level, name, t_s, mean, law, error)


def _check_start(shifts: Iterable[_Shift], device: FittedDevice) -> None:
    """Raise DriftproofError if t0 is late and the devices have drifted away from most targets before their first read.

    The laws begin at the targets: they would count what is lost before t = 0 as programming noise.
    """
    levels = [level for level in device.fit.levels_us if level > 0]
    fallen = [one for one in shifts if one.end == "first" and one.mean_us < one.law_us]
    if device.t0_s <= LATE_S or device.drift is None or 2 * len(fallen) <= len(levels):
        return
    means = ", ".join(f"{one.mean_us:.4g} of {one.level_us:g} µS" for one in fallen)
    raise DriftproofError(
        f"t = 0 is {format_time(device.t0_s)} after the last pulse (t0), and at {len(fallen)} of {len(levels)} levels "
        f"the first readings are below the targets ({means} on average): the devices drifted before t = 0. The laws "
        "begin at the targets and would count this as programming noise. If the targets are what the devices had soon "
        f"after the pulse, say --t0 {FITTED_T0_S:g}: the preset then begins {FITTED_T0_S:g} s after it, and what is "
        "lost until the first reading follows from the drift law. If the preset is to begin with the first reading, "
        "the targets are what the levels have then: put these means into the column g_target_us"
    )


def _contradictions(shifts: Iterable[_Shift]) -> Iterator[str]:
    """Yield a sentence for each shift, and one on what to do."""
    ends = set()
    for one in shifts:
        ends.add(one.end)
        off = abs(one.mean_us - one.law_us)
        chance = f"{off / one.error_us:.0f} standard errors" if one.error_us else "and the readings do not vary"
        yield (
            f"Level {one.level_us:g} µS: the mean of the {one.end} readings ({one.t_s:.3g} s) is {one.mean_us:.4g} µS, "
            f"by the fitted law {one.law_us:.4g} µS ({chance}). The law does not describe this shift, which makes its "
            "standard deviations too large."
        )
    if "first" in ends:
        yield (
            "If devices are programmed to another level than their target each time, give that level as the target "
            "(g_target_us); if they drifted before t = 0, give the time from the last pulse to t = 0 (--t0)."
        )
    elif ends:
        yield "The change in time is no power of t + t0: look at the figure, and leave out times that you do not need."


def _dead_devices(measurements: Measurements, device: FittedDevice) -> Iterator[str]:
    """Yield a sentence for each level where more devices read zero at all times than σ explains once in 10,000."""
    for level in device.fit.levels_us if measurements.told_apart else ():
        if dead := _dead(measurements, device, level):
            yield (
                f"Level {level:g} µS: {dead} of its devices read zero at every time, more than the law explains. Dead "
                "devices make the standard deviation too large: leave them out of the file, and say so (the table "
                "[stuck] of a preset holds shares of such devices)."
            )


def _dead(measurements: Measurements, device: FittedDevice, level_us: float) -> int:
    """Return how many devices of a level read zero at every time, if that is too many for the law; else 0."""
    largest = measurements.rows[measurements.target_us == level_us].groupby("who")["g_us"].max()
    count = int((largest == 0).sum())
    expected = len(largest) * float(ndtr(-level_us / max(float(device.sigma_at(level_us)), 1e-12)))
    # where many are clipped some more do no harm; the chance of so many or more is Poisson's
    return count if expected <= 20 and count > expected and gammainc(count, expected) < 1e-4 else 0


def _check_options(
    levels: Floats, low: float, high: float, degree: int | None, t0_s: float, t_read_s: float, drift: str
) -> None:
    """Raise DriftproofError if an option is impossible, alone or with these levels."""
    if drift not in ("power", "none"):
        raise DriftproofError(f"drift {drift!r}: wanted power or none")
    if not 0 <= low < high < math.inf:
        raise DriftproofError(f"the range {low:g} to {high:g} µS: wanted 0 <= g_min < g_max; see --g-min and --g-max")
    if outside := ", ".join(f"{level:g}" for level in levels if not low <= level <= high):
        raise DriftproofError(
            f"levels outside the range {low:g} to {high:g} µS: {outside} µS; widen it with --g-min and --g-max, or "
            "leave these levels out of the file"
        )
    if degree is not None and not 0 <= degree < len(levels):
        raise DriftproofError(
            f"--degree {degree}: the polynomial for the standard deviation of programming needs {max(degree, 0) + 1} "
            f"levels, and {len(levels)} came: use a degree from 0 to {len(levels) - 1}, or measure more levels"
        )
    if not 0 < t_read_s <= t0_s < math.inf:
        raise DriftproofError(f"t0 = {t0_s:g} s, t_read = {t_read_s:g} s: wanted 0 < t_read <= t0")
