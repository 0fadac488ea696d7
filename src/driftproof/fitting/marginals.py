"""What can be fitted where no device is read twice: the spread of programming, and how the mean of a level decays."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from driftproof.errors import DriftproofError
from driftproof.fitting.device import Z95, DriftTable, Found
from driftproof.fitting.measurements import Measurements
from driftproof.presets.preset import FittedParameter

Floats = npt.NDArray[np.float64]


def clipped_log_likelihood(coefficients: Tensor, r: Tensor, target_us: Tensor, g_us: Tensor) -> Tensor:
    """Log likelihood of g = max(0, g_T + σ(r) ξ), σ = Σ cᵢ rⁱ, each [n]: a density in 1/µS, at zero Φ(−g_T/σ).

    >>> one = torch.tensor([1.0], dtype=torch.float64)
    >>> round(clipped_log_likelihood(one, 0 * one, one, 0 * one).exp().item(), 4)  # Φ(−1)
    0.1587
    """
    powers = torch.arange(len(coefficients), dtype=torch.float64)
    sigma = (r[:, None] ** powers) @ coefficients
    density = -0.5 * ((g_us - target_us) / sigma).square() - sigma.log() - 0.5 * math.log(2 * math.pi)
    return torch.where(g_us > 0, density, torch.special.log_ndtr(-target_us / sigma))


def fit_spread(r: Floats, target_us: Floats, g_us: Floats, degree: int) -> tuple[Floats, Floats]:
    """Return the coefficients of σ(r) in µS, and their covariance, from one reading of each device.

    Args:
        r: [n], the target's place in the range.
        target_us: [n], in µS.
        g_us: [n], read, in µS; zero is a device that was clipped.
        degree: of the polynomial.

    Raises:
        DriftproofError: if no maximum of the likelihood is found.
    """
    data = tuple(torch.from_numpy(np.asarray(values, dtype=np.float64)) for values in (r, target_us, g_us))
    spread = max(float(np.std(g_us - target_us)), 1e-9)
    now = torch.tensor([spread, *[0.0] * degree], dtype=torch.float64)

    def value(at: Tensor) -> Tensor:
        return clipped_log_likelihood(at, *data).sum()

    def possible(at: Tensor) -> bool:
        return bool(((data[0][:, None] ** torch.arange(degree + 1)) @ at).min() > 0)

    for _ in range(100):
        at = now.clone().requires_grad_()
        (slope,) = torch.autograd.grad(value(at), at, create_graph=True)
        information = -torch.stack([torch.autograd.grad(one, at, retain_graph=True)[0] for one in slope])
        gradient = slope.detach()
        values, vectors = torch.linalg.eigh(information)
        step = vectors @ ((vectors.T @ gradient) / values.abs().clamp(min=1e-9 * float(values.abs().max())))
        if float(gradient @ step) < 1e-10:
            covariance = torch.linalg.pinv(information)
            return now.numpy(), covariance.numpy()
        while not possible(now + step) or float(value(now + step)) < float(value(now)) - 1e-9:
            step = step / 2
            if float(step.abs().max()) < 1e-14 * spread:
                return now.numpy(), torch.linalg.pinv(information).numpy()
        now = now + step
    raise DriftproofError(
        "the spread of programming has no best fit: look at the measurements, or use a lower --degree"
    )


def mean_decay(groups: Sequence[str], log_a: Floats, g_us: Floats) -> tuple[float, float] | None:
    """Return the exponent with which the mean of one level decays, and its standard error.

    Weighted least squares of ln(mean of g) against ln((t + t0)/t0), one height per group; the means at different times
    count as independent, which overstates the error where they are of the same devices. None if no group was read at
    two times.

    Args:
        groups: [n], group of each reading.
        log_a: [n], ln((t + t0)/t0).
        g_us: [n], read, in µS.
    """
    names = np.asarray(groups)
    top = bottom = 0.0
    for name in np.unique(names):
        own = names == name
        x, where = np.unique(log_a[own], return_inverse=True)
        g = g_us[own]
        count = np.bincount(where)
        mean = np.bincount(where, g) / count
        variance = np.bincount(where, (g - mean[where]) ** 2) / np.maximum(count - 1, 1) / count
        use = (count >= 2) & (mean > 0) & (variance > 0)
        if use.sum() < 2:
            continue
        x, y, weight = x[use], np.log(mean[use]), mean[use] ** 2 / variance[use]
        centre = float((weight * x).sum() / weight.sum())
        top -= float((weight * (x - centre) * y).sum())
        bottom += float((weight * (x - centre) ** 2).sum())
    return (top / bottom, bottom**-0.5) if bottom > 0 else None


def fit_marginals(
    measurements: Measurements, levels: Floats, g_us: tuple[float, float], degree: int, t0_s: float, drifts: bool
) -> Found:
    """Fit the spread at the earliest time, and the decay of each level's mean.

    Args:
        measurements: no device of which was read twice, or which name groups only.
        levels: the different targets in µS, ascending.
        g_us: the range in µS.
        degree: of the polynomial σ(r).
        t0_s: reference time of the drift, in s.
        drifts: whether the devices drift.

    Raises:
        DriftproofError: if a level's mean grows, or the spread has no best fit.
    """
    (low, high), notes = g_us, []
    log_a = np.log((measurements.t_s + t0_s) / t0_s)
    # of devices told apart each was read once: a level is one group
    groups = ["" if measurements.told_apart else name for name in measurements.who]
    names = np.array(groups)
    exponents: dict[float, tuple[float, float]] = {}
    first = np.zeros(len(log_a), dtype=bool)
    for level in levels:
        at = np.flatnonzero(measurements.target_us == level)
        for name in np.unique(names[at]):
            own = at[names[at] == name]
            first[own] = measurements.t_s[own] == measurements.t_s[own].min()
        found = mean_decay([groups[i] for i in at], log_a[at], measurements.g_us[at]) if drifts else None
        if drifts and (found is None or level == 0):
            notes.append(f"Level {level:g} µS: its drift exponent is not identified, and stays out of the table.")
        elif found is not None:
            exponents[float(level)] = found
    decay = np.zeros(len(levels))
    if exponents:
        decay = np.interp(levels, list(exponents), [nu for nu, _ in exponents.values()])
    at_zero = measurements.g_us * np.exp(decay[np.searchsorted(levels, measurements.target_us)] * log_a)
    target = measurements.target_us[first]
    sigma, covariance = fit_spread((target - low) / (high - low), target, at_zero[first], degree)
    parameters = [
        FittedParameter(name=f"sigma_us.{i}", value=c, low95=c - Z95 * e, high95=c + Z95 * e, unit="µS")
        for i, (c, e) in enumerate(zip(sigma.tolist(), np.sqrt(covariance.diagonal()).tolist(), strict=True))
    ]
    notes.append(
        "No device was read twice: the spread of programming is that of the earliest readings and contains their read "
        "noise; the read noise itself is left out."
    )
    if not exponents:
        return Found(tuple(sigma.tolist()), None, None, tuple(parameters), tuple(notes))
    for level, (nu, error) in exponents.items():
        if nu + Z95 * error < 0:
            raise DriftproofError(
                f"level {level:g} µS: the mean grows with time (exponent {nu:.3g}, standard error {error:.2g}); "
                "the law is a decay: use --drift none, or leave the level out"
            )
    means = [
        FittedParameter(name=f"nu_mean at {level:g} µS", value=max(nu, 0.0), low95=nu - Z95 * e, high95=nu + Z95 * e)
        for level, (nu, e) in exponents.items()
    ]
    notes.append(
        "The drift exponent is that of each level's mean, for devices are not told apart through time; its spread from "
        "device to device is left out: all devices of a level drift alike."
    )
    table = DriftTable(
        r=tuple(level / high for level in exponents),
        mean=tuple(one.value for one in means),
        sd=(0.0,) * len(means),
    )
    return Found(tuple(sigma.tolist()), table, None, (*parameters, *means), tuple(notes))
