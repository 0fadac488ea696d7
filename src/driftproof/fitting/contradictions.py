"""Where measurements contradict the model that was fitted to them."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from driftproof.fitting.device import FittedDevice
from driftproof.fitting.measurements import Measurements

Floats = npt.NDArray[np.float64]
_FAR = 4.0  # standard errors: by chance once in 16,000 comparisons
_LEAST = 0.02  # of the range; a smaller shift does no harm
_HERMITE, _WEIGHT = np.polynomial.hermite_e.hermegauss(41)
_WEIGHT = _WEIGHT / _WEIGHT.sum()


def predicted(device: FittedDevice, level_us: float, t_s: float, read_noise: bool = True) -> tuple[float, float]:
    """Mean and standard deviation in µS of what devices of one level read at a time, under the fitted law.

    Args:
        device: the fitted device.
        level_us: target in µS.
        t_s: time after programming in s.
        read_noise: whether the read noise counts.
    """
    sigma = float(device.sigma_at(np.array([level_us]))[0])
    g = np.maximum(level_us + sigma * _HERMITE, 0)[:, None, None]
    factor = np.ones(1)
    if device.drift is not None:
        r = level_us / device.g_us[1]
        mean, sd = (np.interp(r, device.drift.r, values) for values in (device.drift.mean, device.drift.sd))
        factor = ((t_s + device.t0_s) / device.t0_s) ** -np.abs(mean + sd * _HERMITE)
    relative = np.zeros_like(g)
    if read_noise:
        relative = device.q_at(g) * math.sqrt(math.log((t_s + device.t0_s + device.t_read_s) / (2 * device.t_read_s)))
    values = g * factor[None, :, None] * np.maximum(1 + relative * _HERMITE, 0)
    weight = _WEIGHT[:, None, None] * (_WEIGHT if len(factor) > 1 else factor)[None, :, None] * _WEIGHT
    first = float((weight * values).sum())
    return first, math.sqrt(max(float((weight * values**2).sum()) - first**2, 0.0))


def contradictions(measurements: Measurements, device: FittedDevice) -> tuple[str, ...]:
    """Return a sentence for each level whose first or last readings are off the law's mean, or whose devices are dead.

    The laws have no shift of the mean after programming and no change but a power of time: such a shift hides in a
    spread. A level is named where its mean is four standard errors and 2 % of the range away; and where more devices
    read zero at every time than the fitted spread explains once in 10,000 times.
    """
    found = []
    for level in device.fit.levels_us:
        ends = measurements.ends(level)
        for name, rows in zip(("first", "last"), ends if device.fit.times > 1 else ends[:1], strict=False):
            g, t = measurements.g_us[rows], measurements.t_s[rows]
            if len(g) < 5 or t.max() + device.t0_s > 1.5 * (t.min() + device.t0_s):
                continue
            t_s = float(np.median(t))
            mean, _ = predicted(device, level, t_s)
            off, error = float(g.mean()) - mean, float(g.std(ddof=1)) / math.sqrt(len(g))
            if abs(off) > _FAR * error and abs(off) > _LEAST * (device.g_us[1] - device.g_us[0]):
                chance = f"{abs(off) / error:.0f} standard errors" if error else "and the readings do not vary"
                found.append(
                    f"Level {level:g} µS: the mean of the {name} readings ({t_s:.3g} s) is {g.mean():.4g} µS, by the "
                    f"fitted law {mean:.4g} µS ({chance}): the law does not describe this shift, and its spreads take "
                    "it up."
                )
        if measurements.told_apart and (dead := _dead(measurements, device, level)):
            found.append(
                f"Level {level:g} µS: {dead} of its devices read zero at every time, more than the law explains: if "
                "they are dead they widen the spread; leave them out of the file, and say so (a preset's table [stuck] "
                "has shares of such devices)."
            )
    return tuple(found)


def _dead(measurements: Measurements, device: FittedDevice, level_us: float) -> int:
    """Return how many devices of a level read zero at every time, if that is too many for the law; else 0."""
    at = measurements.target_us == level_us
    who, where = np.unique(np.array(measurements.who)[at], return_inverse=True)
    count = int((np.bincount(where, measurements.g_us[at]) == 0).sum())
    sigma = float(device.sigma_at(np.array([level_us]))[0])
    expected = len(who) * 0.5 * math.erfc(level_us / max(sigma, 1e-12) / math.sqrt(2))
    if count <= expected or expected > 20:  # where many are clipped some more do no harm
        return 0
    fewer = sum(math.exp(-expected) * expected**k / math.factorial(k) for k in range(min(count, 100)))
    return count if 1 - fewer < 1e-4 else 0
