"""Fit devices that were read at several times each: all parts of the model at once."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import torch

from driftproof.fitting.device import Z95, DriftTable, Found, ReadNoise
from driftproof.fitting.estimate import (
    DROP,
    LN_SCALE_RANGE,
    LN_SD_RANGE,
    NO_MAX,
    Layout,
    Search,
    crossing,
    newton_step,
    profile,
)
from driftproof.fitting.likelihood import Readings
from driftproof.fitting.start import first_parameters
from driftproof.presets.preset import FittedParameter

Floats = npt.NDArray[np.float64]
_STEP = 0.1  # between values of ln max at which it is profiled
_VAGUE = 0.4  # a logarithm with a larger standard error has no interval by the curvature
_LOOSE = 3.0  # a standard error of ln q.scale or of the exponent that says nothing any more
_UNKNOWN = 0.3  # a mean of ν with a larger standard error than this is not known at all


def to_readings(
    device: npt.NDArray[np.int64],
    target_us: Floats,
    t_s: Floats,
    g_us: Floats,
    high_us: float,
    t0_s: float,
    t_read_s: float,
) -> Readings:
    """Return rows as one line per device, padded.

    Args:
        device: [rows], number of each row's device, 0 to n − 1.
        target_us: [rows], target in µS.
        t_s: [rows], time in s.
        g_us: [rows], what was read in µS.
        high_us: upper end of the range.
        t0_s: reference time of the drift, in s.
        t_read_s: length of a read, in s.
    """
    order = np.lexsort((t_s, device))
    counts = np.bincount(device)
    column = np.arange(len(device)) - np.repeat(np.cumsum(counts) - counts, counts)
    shape = (len(counts), int(counts.max()))
    seen, g, t = np.zeros(shape, dtype=bool), np.zeros(shape), np.zeros(shape)
    place = (device[order], column)
    seen[place], g[place], t[place] = True, g_us[order], t_s[order]
    target = np.zeros(len(counts))
    target[device] = target_us
    level = np.unique(target, return_inverse=True)[1]
    return Readings(
        level=torch.from_numpy(level),
        target_us=torch.from_numpy(target),
        g_us=torch.from_numpy(g),
        log_a=torch.from_numpy(np.log((t + t0_s) / t0_s)),
        root=torch.from_numpy(np.sqrt(np.log((t + t0_s + t_read_s) / (2 * t_read_s)))),
        seen=torch.from_numpy(seen),
        high_us=high_us,
    )


def fit_repeats(readings: Readings, low_us: float, degree: int, drifts: bool) -> Found:
    """Fit all parts of the model to devices that were read several times.

    Args:
        readings: of n devices.
        low_us: lower end of the range, in µS.
        degree: of the polynomial σ(r).
        drifts: whether the devices drift.

    Raises:
        DriftproofError: if the likelihood has no maximum.
    """
    levels = np.unique(readings.target_us.numpy())
    layout = Layout(
        r=tuple(((levels - low_us) / (readings.high_us - low_us)).tolist()),
        degree=degree,
        drifts=drifts,
        free_exponent=bool((levels > 0).sum() > 1),
    )
    parameters = first_parameters(readings, layout)
    # the first guess of the maximum: the power law's value at a hundredth of the range
    ln_max = float(parameters[-2] + parameters[-1] * math.log(0.01)) if layout.free_exponent else NO_MAX
    search = Search(readings, layout, parameters, min(ln_max, NO_MAX))
    search.lay()
    search.climb()
    q_max = _fit_max(search)
    notes: list[str] = []
    sd, value = _standard_errors(search), search.parameters.numpy()
    sigma, mean, spread, scale, exponent, _ = layout.starts
    found = [_wald(f"sigma_us.{i}", value[sigma + i], sd[sigma + i], "µS") for i in range(degree + 1)]

    kept = []
    for place, level in enumerate(levels.tolist() if drifts else []):
        if level == 0:
            notes.append("Level 0 µS: its drift exponent is not identified, and stays out of the table.")
        elif sd[mean + place] > _UNKNOWN:
            error = f"standard error {sd[mean + place]:.2g}"
            notes.append(
                f"Level {level:g} µS: its drift exponent is not identified ({error}), and stays out of the table."
            )
        else:
            kept.append(place)
    table = None
    if kept:
        means, spreads = [], []
        for place in kept:
            # the law is |mean + sd ξ|: the mean's sign says nothing
            one = _wald(f"nu_mean at {levels[place]:g} µS", abs(value[mean + place]), sd[mean + place], "")
            means.append(one)
            name, at = f"nu_sd at {levels[place]:g} µS", spread + place
            if bool(search.fixed[at]) or sd[at] > _VAGUE:
                low, high = _spread_ends(search, at)
                best = 0.0 if bool(search.fixed[at]) else math.exp(value[at])
                spreads.append(FittedParameter(name=name, value=best, low95=low, high95=high))
            else:
                spreads.append(_log_wald(name, value[at], sd[at]))
        found += [*means, *spreads]
        table = DriftTable(
            r=tuple(float(levels[place] / readings.high_us) for place in kept),
            mean=tuple(one.value for one in means),
            sd=tuple(one.value for one in spreads),
        )
    if value[scale] <= LN_SCALE_RANGE[0]:
        notes.append("No read noise was seen (Q below 1e-6): the table of the read noise is left out.")
        return Found(tuple(value[: degree + 1].tolist()), table, None, tuple(found), tuple(notes))
    found.append(_log_wald("q.scale", value[scale], sd[scale]))
    power = 0.0
    if layout.free_exponent:
        power = float(value[exponent])
        found.append(_wald("q.exponent", power, sd[exponent], ""))
    loose = found[-2:] if layout.free_exponent and max(sd[scale], sd[exponent]) > _LOOSE else []
    if loose:
        found[-2:] = [FittedParameter(name=one.name, value=one.value) for one in loose]
        notes.append(
            "The likelihood is flat in q.scale and q.exponent (standard errors beyond any use): the fit of the read "
            "noise may have stopped beside its maximum, and no intervals are given. Look at the figure; a --g-max near "
            "to the largest level, or more levels, may help."
        )
    if not layout.free_exponent:
        notes.append(
            "With one level above zero the exponent of the read noise cannot be fitted: Q is taken as constant."
        )
    if q_max is not None:
        found.append(q_max)
        if q_max.high95 is None:
            notes.append(
                f"The largest relative read noise, q.max = {q_max.value:.3g}, is not bounded above by these "
                "measurements: too few devices have so small a conductance."
            )
    read = ReadNoise(scale=math.exp(value[scale]), exponent=power, max=None if q_max is None else q_max.value)
    return Found(tuple(value[: degree + 1].tolist()), table, read, tuple(found), tuple(notes))


def _fit_max(search: Search) -> FittedParameter | None:
    """Fit the maximum of Q by its profile, and leave the search there; None where Q does not grow towards zero.

    Where the likelihood prefers no maximum, the value is the power law's at the smallest conductance that was seen.
    """
    layout = search.layout
    if not layout.free_exponent or search.parameters[-1] >= 0:
        return None
    smallest = min(float(grid.u.mean((1, 2)).min()) for grid in search.grids if not grid.silent)
    best, low, high = NO_MAX, None, None
    for _ in range(5):
        scale, exponent = search.parameters[-2:].tolist()
        top = scale + exponent * (smallest - math.log(search.readings.high_us))
        x, y = _profiled(search, min(top + 1.5, NO_MAX - _STEP), scale)
        place = int(np.argmax(y))
        best = NO_MAX if place == len(x) - 1 else float(x[place])
        left, right = crossing(x, y, place, up=False), crossing(x, y, place, up=True)
        low, high = (None if end is None else math.exp(end) for end in (left, right))
        if abs(best - search.ln_max) < 0.3 * _STEP:
            break
        search.ln_max = best
        search.climb()
    value = math.exp(min(top, NO_MAX) if best == NO_MAX else best)
    return FittedParameter(name="q.max", value=value, low95=None if low is None else min(low, value), high95=high)


def _profiled(search: Search, top: float, bottom: float) -> tuple[Floats, Floats]:
    """Profile ln max downwards from ``top`` until it is clearly too small: ascending values, their log likelihoods.

    The last value is :data:`NO_MAX`.
    """
    x, y = [NO_MAX], profile(search, [NO_MAX])
    value = top
    while value > bottom and y[-1] > max(y) - 2.5 * DROP:
        x.append(value)
        y += profile(search, [value])
        value -= _STEP
    place = int(np.argmax(y))
    if 0 < place < len(x) - 1:
        for share in (-0.8, -0.6, -0.4, -0.2, 0.2, 0.4, 0.6, 0.8):
            x.append(x[place] + share * _STEP)
            y += profile(search, x[-1:])
    order = np.argsort(x)
    return np.array(x)[order], np.array(y)[order]


def _standard_errors(search: Search) -> Floats:
    """Return each parameter's standard error: very large where the likelihood is flat, 0 at an end of its range."""
    free = ~search.fixed
    information = search.information[free][:, free]
    scale = information.diagonal().abs().clamp(min=1e-12).rsqrt()
    values, vectors = torch.linalg.eigh(scale[:, None] * information * scale)
    variance = scale.square() * (vectors.square() @ values.clamp(min=1e-9).reciprocal())
    errors = torch.zeros(len(free), dtype=torch.float64)
    errors[free] = variance.sqrt()
    return np.asarray(errors.numpy())


def _spread_ends(search: Search, place: int) -> tuple[float, float]:
    """Return the ends of the interval of a spread of ν by its profile: where that has fallen by :data:`DROP`.

    For spreads that the readings hardly tell from zero, where the curvature says little. The other parameters follow
    by one Newton step.
    """
    best, least = math.exp(float(search.parameters[place])), math.exp(LN_SD_RANGE[0])
    ends = []
    for factor in (0.7, 1.3):
        before, x_before, x = 0.0, best, max(best * factor, 3e-4 if factor > 1 else 0.0)
        end = 0.0 if factor < 1 else 1.0
        while least < x < 1:
            drop = _drop(search, place, x)
            if drop > DROP:
                end = x_before + (x - x_before) * (DROP - before) / (drop - before)
                break
            before, x_before, x = drop, x, factor * x
        ends.append(end)
    return ends[0], ends[1]


def _drop(search: Search, place: int, value: float) -> float:
    """Return how far the log likelihood falls if a spread of ν has another value."""
    parameters = search.parameters.clone()
    parameters[place] = math.log(value)
    there = Search(search.readings, search.layout, parameters, search.ln_max)
    there.lay()
    here, gradient, hessian = there.derivatives(search.ln_max)
    free = ~search.fixed
    free[place] = False
    step = newton_step(-hessian[free][:, free], gradient[free])
    return search.value - here - 0.5 * float(gradient[free] @ step)


def _wald(name: str, value: float, sd: float, unit: str) -> FittedParameter:
    value, sd = float(value), float(sd)
    return FittedParameter(name=name, value=value, low95=value - Z95 * sd, high95=value + Z95 * sd, unit=unit)


def _log_wald(name: str, ln_value: float, sd: float) -> FittedParameter:
    ends = (math.exp(float(ln_value) + sign * min(Z95 * float(sd), 50.0)) for sign in (0, -1, 1))
    value, low, high = ends
    return FittedParameter(name=name, value=value, low95=low, high95=high)
