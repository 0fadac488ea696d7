"""Faults that show only between rows: repeats, times that go back, units, levels with too few devices."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
LEAST_DEVICES = 10
MOST_LEVELS = 50
# A reading is called a slip of 10, 1,000 or a million times if it is that far from its level's median within a factor
# of 1.4, and 8 robust standard deviations away: a device of the normal law does that once in 10^15. Where a level is
# so wide that it holds such factors itself (read noise of a small conductance), ten times more is no slip.
_POWERS = (-6, -3, -1, 1, 3, 6)
_NEAR = 0.15
_FAR = 8.0
_WIDE = 0.3
_UNITS = {3: "nS", 6: "pS", -3: "mS", -6: "S"}


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong: the line of the file (None: the file as a whole) and what came and was wanted."""

    line: int | None
    text: str


def cross_faults(
    told_apart: bool,
    who: Sequence[str],
    target_us: Floats,
    t_s: Floats,
    g_us: Floats,
    line: npt.NDArray[np.int64],
) -> list[Fault]:
    """Return the faults between rows; all arrays are [rows], ``who`` names each row's device or group."""
    faults = _in_devices(who, target_us, t_s, g_us, line) if told_apart else []
    if not len(target_us):
        return faults
    if not g_us.any():
        return [*faults, Fault(None, "every g_us is 0: wanted readings of devices that conduct")]
    levels = np.unique(target_us)
    if len(levels) > MOST_LEVELS:
        text = (
            f"{len(levels)} different values of g_target_us: wanted at most {MOST_LEVELS} levels, each with "
            f"{LEAST_DEVICES} devices or more: give devices of one level the same target"
        )
        return [*faults, Fault(None, text)]
    for level in levels:
        at = target_us == level
        count = len({name for name, there in zip(who, at, strict=True) if there})
        what = "devices"
        if not told_apart:
            count, what = int(np.unique(t_s[at], return_counts=True)[1].max()), "readings at one time"
        if count < LEAST_DEVICES:
            text = f"level {level:g} µS: {count} {what} came, at least {LEAST_DEVICES} are wanted of each level"
            faults.append(Fault(None, f"{text}: measure more, or leave the level out"))
    units = _wrong_units(who, target_us, t_s, g_us)
    return faults + (units or _slips(target_us, t_s, g_us, line))


def _in_devices(
    who: Sequence[str], target_us: Floats, t_s: Floats, g_us: Floats, line: npt.NDArray[np.int64]
) -> list[Fault]:
    """Faults within the rows of one device: repeats, a second target, times that do not increase."""
    faults: list[Fault] = []
    last: dict[str, tuple[float, int]] = {}
    targets: dict[str, tuple[float, int]] = {}
    seen: dict[tuple[str, float], tuple[float, int]] = {}
    for name, target, t, g, at in zip(who, target_us.tolist(), t_s.tolist(), g_us.tolist(), line.tolist(), strict=True):
        first_target, target_line = targets.setdefault(name, (target, at))
        if target != first_target:
            text = f"device {name} has g_target_us = {target:g}, but {first_target:g} on line {target_line}"
            faults.append(Fault(at, f"{text}: wanted one target per device"))
        if (name, t) in seen:
            before, line_before = seen[name, t]
            text = (
                f"the same as line {line_before}: wanted each reading once"
                if before == g
                else f"device {name} at t_s = {t:g} once more (line {line_before} has g_us = {before:g}, this line "
                f"{g:g}): wanted one reading per device and time"
            )
            faults.append(Fault(at, text))
            continue
        seen[name, t] = g, at
        if name in last and t < last[name][0]:
            text = f"device {name}: t_s = {t:g} after {last[name][0]:g} on line {last[name][1]}"
            faults.append(Fault(at, f"{text}: wanted times that increase within a device"))
        else:
            last[name] = t, at
    return faults


def _wrong_units(who: Sequence[str], target_us: Floats, t_s: Floats, g_us: Floats) -> list[Fault]:
    """Whether the bulk of the readings is a power of ten away from the targets, each device's earliest counted."""
    largest = float(target_us.max())
    if 0 < largest < 1e-4:
        return [Fault(None, f"the largest g_target_us is {largest:g}: wanted µS; is it in S? then multiply by 1e6")]
    earliest: dict[tuple[str, float], float] = {}
    for name, target, t in zip(who, target_us.tolist(), t_s.tolist(), strict=True):
        earliest[name, target] = min(t, earliest.get((name, target), math.inf))
    first = np.array([t == earliest[n, g] for n, g, t in zip(who, target_us.tolist(), t_s.tolist(), strict=True)])
    use = first & (target_us > 0) & (g_us > 0)
    if use.sum() < LEAST_DEVICES:
        return []
    ratio = float(np.median(g_us[use] / target_us[use]))
    power = round(math.log10(ratio))
    if power == 0 or abs(math.log10(ratio) - power) > 0.25:
        return []
    unit = f" (is g_us in {_UNITS[power]}?)" if power in _UNITS else ""
    mend = f"divide g_us by {10.0**power:g}" if power > 0 else f"multiply g_us by {10.0**-power:g}"
    text = (
        f"g_us is about {10.0**power:g} times g_target_us (median of {int(use.sum())} earliest readings: {ratio:.4g} "
        f"times): wanted both in µS{unit}: {mend}, or mend g_target_us"
    )
    return [Fault(None, text)]


def _slips(target_us: Floats, t_s: Floats, g_us: Floats, line: npt.NDArray[np.int64]) -> list[Fault]:
    """Single readings that are ten or a thousand times off their level's median."""
    faults: list[Fault] = []
    for level in np.unique(target_us[target_us > 0]):
        rows = np.flatnonzero(target_us == level)
        times, where, counts = np.unique(t_s[rows], return_inverse=True, return_counts=True)
        pooled = np.flatnonzero(counts[where] < LEAST_DEVICES)
        parts = [np.flatnonzero(where == i) for i in range(len(times)) if counts[i] >= LEAST_DEVICES]
        for part in (*parts, pooled):
            own = rows[part]
            if len(own) < LEAST_DEVICES:
                continue
            g = g_us[own]
            middle = float(np.median(g))
            if middle <= 0:
                continue
            spread = 1.4826 * float(np.median(np.abs(g - middle)))
            with np.errstate(divide="ignore"):
                decades = np.log10(g / middle)
            for power in (p for p in _POWERS if p != 1 or spread < _WIDE * middle):
                for i in np.flatnonzero((np.abs(decades - power) < _NEAR) & (np.abs(g - middle) > _FAR * spread)):
                    text = (
                        f"g_us = {g[i]:g} is about {10.0**power:g} times the median of its level, {middle:.4g} µS: "
                        "a slip of the unit? mend it, or leave the device out and say so where you cite the data"
                    )
                    faults.append(Fault(int(line[own[i]]), text))
    return faults
