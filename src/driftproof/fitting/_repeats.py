"""Fit devices that were read at several times each: all parts of the model at once."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import torch
from numpy.polynomial import polynomial
from torch import Tensor

from driftproof._presets.preset import FittedParameter
from driftproof.fitting._device import (
    DriftTable,
    Estimate,
    ReadNoise,
    interval,
    not_identified,
    sigma_at_levels,
    sigma_parameters,
)
from driftproof.fitting._estimate import LN_SCALE_RANGE, LN_SD_RANGE, NO_MAX, Layout, Search, start_search
from driftproof.fitting._likelihood import Readings, first_place
from driftproof.fitting._measurements import Measurements

_VAGUE = 0.4  # a logarithm with a larger standard error has no interval by the curvature
_LOOSE = 3.0  # a standard error of ln q.scale or of the exponent that is too large to be of use
_UNKNOWN = 0.3  # a mean of ν with a larger standard error than this is not known at all
_NO_LOSS = 1e-3  # of log likelihood: a maximum of Q that gains less is none


def to_readings(measurements: Measurements, high_us: float, t0_s: float, t_read_s: float) -> Readings:
    """Return the measurements as one line per device, padded.

    Args:
        measurements: Measurements of devices that are told apart.
        high_us: Upper end of the range in µS.
        t0_s: Reference time of the drift in s.
        t_read_s: Length of a read in s.
    """
    rows = measurements.rows.sort_values(["who", "t_s"])
    wide = rows.assign(turn=rows.groupby("who").cumcount()).pivot(index="who", columns="turn")
    target, t_s = wide["target_us"][0].to_numpy(), wide["t_s"].fillna(0).to_numpy()
    return Readings(
        level=torch.from_numpy(np.unique(target, return_inverse=True)[1]),
        target_us=torch.tensor(target),
        g_us=torch.tensor(wide["g_us"].to_numpy()),
        log_a=torch.from_numpy(np.log((t_s + t0_s) / t0_s)),
        root=torch.from_numpy(np.sqrt(np.log((t_s + t0_s + t_read_s) / (2 * t_read_s)))),
        high_us=high_us,
    )


def first_parameters(readings: Readings, layout: Layout) -> Tensor:
    """Return rough parameters in the order of :class:`Layout`.

    Drift exponents are the slopes of ln g against ln((t + t0)/t0) of each device, the read noise is what the lines
    leave.
    """
    above = readings.g_us > 0
    # a line with nearly no prior: σ as large as the range, ν = 0.05 ± 0.3, Q = 1 %
    vague = [readings.high_us, 0.05, math.log(0.3), math.log(0.01), 0.0, NO_MAX]
    place = first_place(readings, torch.tensor(vague, dtype=torch.float64).expand(len(above), 6), layout.drifts)
    left = (readings.g_us.log() - place.u[:, None] + place.nu[:, None] * readings.log_a) / readings.root
    off = torch.where(readings.silent, 0.0, place.u.exp()) - readings.target_us
    columns = {
        "level": readings.level,
        "off": off,
        "size": off.abs(),
        "nu": torch.where(readings.silent, torch.nan, place.nu),
        "left": torch.where(above, left.square(), 0.0).sum(1),
        "freedom": (above.sum(1) - 1 - int(layout.drifts)).clamp(min=0),
    }
    levels = pd.DataFrame(columns).groupby("level")
    low, means, high = (levels["nu"].quantile(share) for share in (0.159, 0.5, 0.841))
    means, sds = means.fillna(0.05).clip(0.002, 0.5), ((high - low) / 2).fillna(0.03).clip(0.002, 0.3)
    noises = np.sqrt((levels["left"].sum() / levels["freedom"].sum()).fillna(4e-4).clip(1e-10, 0.04))
    # quantiles that are σ for a normal, and the second one also where half of the devices are clipped at zero
    quantiles = levels["off"].quantile(0.841), levels["size"].quantile(0.683)
    sigmas = pd.concat(quantiles, axis=1).max(axis=1).clip(lower=1e-3 * readings.high_us)
    # relative errors count alike, and a level spread is safer than a polynomial that goes below zero between levels
    coefficients = polynomial.polyfit(layout.r, sigmas, layout.degree, w=1 / sigmas)
    if polynomial.polyval(np.array(layout.r), coefficients).min() < 0.3 * sigmas.min():
        coefficients = np.array([sigmas.mean(), *[0.0] * layout.degree])
    r = np.array(layout.levels_us) / readings.high_us
    ln_r, ln_q = np.log(r[r > 0]), np.log(noises[r > 0])
    exponent = np.clip(np.polyfit(ln_r, ln_q, 1)[0], -1.5, 0.5) if layout.free_exponent else 0.0
    scale = np.mean(ln_q - exponent * ln_r)
    # the first guess of the maximum: the power law's value at a hundredth of the range
    parameters = [*coefficients, *means, *np.log(sds), scale, exponent, scale + exponent * math.log(0.01)]
    return torch.from_numpy(np.clip(parameters, *layout.bounds))


def fit_repeats(readings: Readings, low_us: float, degree: int, drifts: bool) -> Estimate:
    """Fit all parts of the model to devices that were read several times.

    Args:
        readings: Readings of n devices.
        low_us: Lower end of the range in µS.
        degree: Degree of the polynomial σ(r).
        drifts: Whether the devices drift.

    Raises:
        DriftproofError: If the likelihood has no maximum.
    """
    levels = np.unique(readings.target_us.numpy())
    free = bool((levels > 0).sum() > 1)
    layout = Layout(tuple(levels.tolist()), (low_us, readings.high_us), degree, drifts, free)
    search = start_search(readings, layout, first_parameters(readings, layout))
    search.climb()
    # where Q does not grow towards zero, or no device is near to its maximum, it has none
    if free and (search.parameters[-2] >= 0 or search.drop_at(-1, NO_MAX) < _NO_LOSS):
        limited = replace(search, parameters=search.parameters.clone(), bounds=search.bounds.copy())
        search.parameters[-1] = search.bounds[0, -1] = NO_MAX
        search.climb()
        # the drop above is that of one Newton step, which may promise too much
        if limited.parameters[-2] < 0 and search.value < limited.value - _NO_LOSS:
            search = limited
    sigma = search.parameters[: degree + 1].tolist()
    table, drift, notes = _drift(search) if drifts else (None, [], [])
    read, noise, more = _read_noise(search)
    levels_us, powers = np.array(layout.levels_us), np.vander(layout.r, degree + 1, increasing=True)
    covariance = search.covariance[: degree + 1, : degree + 1].numpy()
    at_levels = sigma_at_levels(levels_us, powers, np.array(sigma), covariance)
    parameters = (*sigma_parameters(sigma, search.errors), *at_levels, *drift, *noise)
    return Estimate(tuple(sigma), table, read, parameters, (*notes, *more))


def _drift(search: Search) -> tuple[DriftTable | None, list[FittedParameter], list[str]]:
    """Return the table of ν with its parameters, and notes about levels whose ν is not identified."""
    value, error, fixed = search.parameters.tolist(), search.errors, search.fixed
    notes, means, sds, r = [], [], [], []
    for level, (at, sd_at) in zip(search.layout.levels_us, search.layout.drift_places.T.tolist(), strict=True):
        if level == 0 or error[at] > _UNKNOWN:
            notes.append(not_identified(level, f" (standard error {error[at]:.2g})" if level else ""))
            continue
        r.append(level / search.layout.g_us[1])
        # the law is |mean + sd ξ|: the mean's sign has no meaning
        means.append(interval(f"nu_mean at {level:g} µS", abs(value[at]), error[at]))
        name = f"nu_sd at {level:g} µS"
        if not fixed[sd_at] and error[sd_at] <= _VAGUE:
            sds.append(interval(name, value[sd_at], error[sd_at], back=math.exp))
            continue
        # a standard deviation that the readings hardly tell from zero, where the curvature says little
        low, high = search.profile(sd_at, LN_SD_RANGE[0], max(value[sd_at], 0.0), 1.0)
        best = 0.0 if fixed[sd_at] else math.exp(value[sd_at])
        sds.append(FittedParameter(name=name, value=best, low95=low or 0.0, high95=high or 1.0))
    table = DriftTable(tuple(r), tuple(one.value for one in means), tuple(one.value for one in sds))
    return table if r else None, [*means, *sds], notes


def _read_noise(search: Search) -> tuple[ReadNoise | None, list[FittedParameter], list[str]]:
    """Return Q with its parameters, and notes about what of it the measurements do not tell."""
    (ln_scale, exponent, _), (scale_error, exponent_error, _) = search.parameters[-3:].tolist(), search.errors[-3:]
    if ln_scale <= LN_SCALE_RANGE[0]:
        return None, [], ["No read noise was seen (Q below 1e-6): the table of the read noise is left out."]
    parameters = [interval("q.scale", ln_scale, scale_error, back=math.exp)]
    notes = ["With one level above zero the exponent of the read noise cannot be fitted: Q is taken as constant."]
    if search.layout.free_exponent:
        notes = []
        parameters.append(interval("q.exponent", exponent, exponent_error))
        if max(scale_error, exponent_error) > _LOOSE:
            parameters = [FittedParameter(name=one.name, value=one.value) for one in parameters]
            notes.append(
                "The likelihood is flat in q.scale and q.exponent (standard errors beyond any use): the fit of the "
                "read noise may have stopped beside its maximum, and no intervals are given. Look at the figure; "
                f"{_help(search.layout)} may help."
            )
    q_max = _q_max(search) if exponent < 0 else None
    if q_max is not None:
        parameters.append(q_max)
        if q_max.high95 is None:
            notes.append(
                f"The largest relative read noise, q.max = {q_max.value:.3g}, is not bounded above by these "
                "measurements: too few devices have so small a conductance."
            )
    return ReadNoise(math.exp(ln_scale), exponent, None if q_max is None else q_max.value), parameters, notes


def _help(layout: Layout) -> str:
    """Return what can help to fit q.scale and q.exponent: levels that span decades of r and end at 1."""
    largest, high = layout.levels_us[-1], layout.g_us[1]
    more = "more devices, more times, or more levels far below the largest one"
    return f"{more}, or a --g-max nearer to the largest level, {largest:g} µS," if high > 1.1 * largest else more


def _q_max(search: Search) -> FittedParameter:
    """Return the maximum of Q with its interval by the profile.

    Where the likelihood prefers no maximum, the value is the power law's at the smallest conductance that was seen.
    """
    scale, exponent, best = search.parameters[-3:].tolist()
    low, high = search.profile(-1, scale, NO_MAX, 0.3)
    if best == NO_MAX:
        smallest = min(float(grid.u.mean((1, 2)).min()) for grid in search.grids if not grid.readings.silent.any())
        best = min(scale + exponent * (smallest - math.log(search.layout.g_us[1])), NO_MAX)
    value = math.exp(best)
    return FittedParameter(name="q.max", value=value, low95=None if low is None else min(low, value), high95=high)
