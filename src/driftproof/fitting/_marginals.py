"""The fit of measurements in which no device was read twice: programming noise, and the decay of each level's mean."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import torch
from scipy.optimize import LinearConstraint, minimize
from torch import Tensor

from driftproof._errors import DriftproofError
from driftproof._presets.preset import FittedParameter
from driftproof.fitting._device import (
    DriftTable,
    Estimate,
    Floats,
    interval,
    not_identified,
    sigma_at_levels,
    sigma_parameters,
)
from driftproof.fitting._measurements import Measurements


def clipped_log_likelihood(coefficients: Tensor, r: Tensor, target_us: Tensor, g_us: Tensor) -> Tensor:
    """Log likelihood of g = max(0, g_T + σ(r) ξ), σ = Σ cᵢ rⁱ, each [n]: a density in 1/µS, at zero Φ(−g_T/σ).

    >>> one = torch.tensor([1.0], dtype=torch.float64)
    >>> round(clipped_log_likelihood(one, 0 * one, one, 0 * one).exp().item(), 4)  # Φ(−1)
    0.1587
    """
    sigma = (r[:, None] ** torch.arange(len(coefficients), dtype=torch.float64)) @ coefficients
    density = -0.5 * ((g_us - target_us) / sigma).square() - sigma.log() - 0.5 * math.log(2 * math.pi)
    return torch.where(g_us > 0, density, torch.special.log_ndtr(-target_us / sigma))


def fit_sigma(r: Floats, target_us: Floats, g_us: Floats, degree: int) -> tuple[list[float], Floats]:
    """Return the coefficients of σ(r) in µS, and their covariance in µS², from one reading of each device.

    Args:
        r: Place of the target in the range, [n].
        target_us: Target in µS, [n].
        g_us: Reading in µS, [n]. Zero is a device that was clipped.
        degree: Degree of the polynomial.

    Raises:
        DriftproofError: If the likelihood has no maximum.
    """
    data = tuple(torch.tensor(values, dtype=torch.float64) for values in (r, target_us, g_us))
    unit = max(float(np.std(g_us - target_us)), 1e-9)

    def loss(relative: Tensor) -> Tensor:
        return -clipped_log_likelihood(unit * relative, *data).sum()

    positive = LinearConstraint(np.unique(r)[:, None] ** np.arange(degree + 1), 1e-9)
    start = np.eye(degree + 1)[0]
    end = minimize(
        lambda relative: float(loss(torch.from_numpy(relative))), start, method="SLSQP", constraints=positive, tol=1e-9
    )
    if not end.success:
        raise DriftproofError(
            "the standard deviation of programming has no best fit: look at the measurements, or use a lower --degree"
        )
    information: Tensor = torch.autograd.functional.hessian(loss, torch.from_numpy(end.x))  # type: ignore[no-untyped-call]
    return (unit * end.x).tolist(), np.asarray(unit**2 * torch.linalg.pinv(information).numpy())


def mean_decay(rows: pd.DataFrame) -> tuple[float, float] | None:
    """Return the exponent with which the mean of one level decays, and its standard error.

    Weighted least squares of ln(mean of g) against ln((t + t0)/t0), one height per group. The means at different times
    count as independent, which overstates the error where they are of the same devices.

    Args:
        rows: Readings of one level, with the columns ``group``, ``log_a`` (ln((t + t0)/t0)) and ``g_us``.

    Returns:
        None if no group was read at two times.
    """
    means = rows.groupby(["group", "log_a"])["g_us"].agg(["mean", "var", "count"]).reset_index()
    means = means[(means["mean"] > 0) & (means["var"] > 0)]
    means = means[means.groupby("group")["log_a"].transform("count") > 1]
    if means.empty:
        return None
    root = means["mean"] * np.sqrt(means["count"] / means["var"])
    design = pd.get_dummies(means["group"], dtype=float).assign(log_a=means["log_a"]).mul(root, axis=0).to_numpy()
    covariance = np.linalg.inv(design.T @ design)
    fitted = covariance @ design.T @ (root * np.log(means["mean"]))
    return -float(fitted[-1]), float(covariance[-1, -1]) ** 0.5


def fit_marginals(
    measurements: Measurements, g_us: tuple[float, float], degree: int, t0_s: float, drifts: bool
) -> Estimate:
    """Fit the programming noise at the earliest time, and the decay of each level's mean.

    Args:
        measurements: Measurements that read no device twice, or that name groups only.
        g_us: Conductance range in µS.
        degree: Degree of the polynomial σ(r).
        t0_s: Reference time of the drift in s.
        drifts: Whether the devices drift.

    Raises:
        DriftproofError: If a level's mean grows, or if the programming noise has no best fit.
    """
    # of devices told apart each was read once: a level is one group
    rows = measurements.rows.assign(
        group="" if measurements.told_apart else measurements.rows["who"],
        log_a=np.log((measurements.t_s + t0_s) / t0_s),
    )
    means, notes = _mean_exponents(rows) if drifts else ({}, [])
    first = rows[rows["t_s"] == rows.groupby(["target_us", "group"])["t_s"].transform("min")]
    target, decay = first["target_us"].to_numpy(), 0.0
    if means:
        decay = np.interp(target, list(means), [one.value for one in means.values()])
    at_zero = (first["g_us"] * np.exp(decay * first["log_a"])).to_numpy()
    r = (target - g_us[0]) / (g_us[1] - g_us[0])
    sigma, covariance = fit_sigma(r, target, at_zero, degree)
    levels_us, places = np.unique(target, return_index=True)
    powers = np.vander(r[places], degree + 1, increasing=True)
    sigmas = [
        *sigma_parameters(sigma, np.sqrt(covariance.diagonal())),
        *sigma_at_levels(levels_us, powers, np.array(sigma), covariance),
    ]
    notes.append(
        "No device was read twice: the programming noise is the standard deviation of the earliest readings and "
        "contains their read noise; the read noise itself is left out."
    )
    table = None
    if means:
        notes.append(
            "The drift exponent is that of each level's mean, because devices are not told apart through time; its "
            "spread from device to device is left out: all devices of a level drift alike."
        )
        values = tuple(one.value for one in means.values())
        table = DriftTable(tuple(level / g_us[1] for level in means), values, (0.0,) * len(means))
    return Estimate(tuple(sigma), table, None, (*sigmas, *means.values()), tuple(notes))


def _mean_exponents(rows: pd.DataFrame) -> tuple[dict[float, FittedParameter], list[str]]:
    """Return the drift exponent of the mean of each level, and notes about levels without one."""
    means, notes = {}, []
    for level in np.unique(rows["target_us"]).tolist():
        decay = mean_decay(rows[rows["target_us"] == level])
        if decay is None or level == 0:
            notes.append(not_identified(level))
            continue
        one = interval(f"nu_mean at {level:g} µS", *decay)
        if one.high95 is not None and one.high95 < 0:
            raise DriftproofError(
                f"level {level:g} µS: the mean grows with time (exponent {decay[0]:.3g}, standard error "
                f"{decay[1]:.2g}); the law is a decay: use --drift none, or leave the level out"
            )
        means[level] = one.model_copy(update={"value": max(one.value, 0.0)})
    return means, notes
