"""What shows only between readings: repeats, wrong units, slips, too few devices of a level."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import median_abs_deviation

from driftproof._lab_tables import WHOLE, Fault
from driftproof.fitting._measurements import LEAST_DEVICES, Measurements

MOST_LEVELS = 50
# A reading is called a slip of 10, 1,000 or a million times if it is that far from its level's median within a factor
# of 1.4, and 8 robust standard deviations away: a device of the normal law does that once in 10^15. Where a level is
# so wide that it holds such factors itself (read noise of a small conductance), ten times more is no slip.
_POWERS = (-6, -3, -1, 1, 3, 6)
_NEAR = 0.15
_FAR = 8.0
_WIDE = 0.3
_UNITS = {3: "nS", 6: "pS", -3: "mS", -6: "S"}


def cross_faults(measurements: Measurements) -> list[Fault]:
    """Return the faults that show only between rows."""
    rows, told_apart = measurements.rows, measurements.told_apart
    faults = _in_devices(rows, measurements.place) if told_apart else []
    if rows.empty:
        return faults
    if not rows["g_us"].any():
        return [*faults, (WHOLE, "every g_us is 0: wanted readings of devices that conduct")]
    if (count := rows["target_us"].nunique()) > MOST_LEVELS:
        text = (
            f"{count} different values of g_target_us: wanted at most {MOST_LEVELS} levels, each with {LEAST_DEVICES}"
        )
        return [*faults, (WHOLE, f"{text} devices or more: give devices of one level the same target")]
    one, at_once = ("device", "") if told_apart else ("reading", " at one time")
    for level in np.unique(rows["target_us"]):
        if (count := measurements.devices_at(level)) < LEAST_DEVICES:
            came = f"{count} {one}{'s' * (count != 1)}{at_once} came"
            text = f"level {level:g} µS: {came}, at least {LEAST_DEVICES} are wanted of each level"
            faults.append((WHOLE, f"{text}: measure more, or leave the level out"))
    return faults + (_wrong_units(rows) or _slips(rows))


def _in_devices(rows: pd.DataFrame, place: str) -> list[Fault]:
    """Return the faults within the rows of one device: repeats, a second target, times that do not increase."""
    faults: list[Fault] = []
    row: Any  # pandas types a cell by all that one can be
    firsts: dict[str, Any] = {}
    at_time: dict[tuple[str, float], Any] = {}
    latests: dict[str, Any] = {}
    for row in rows.itertuples():
        first, same = firsts.setdefault(row.who, row), at_time.setdefault((row.who, row.t_s), row)
        latest = latests.setdefault(row.who, row)
        if row.target_us != first.target_us:
            text = (
                f"device {row.who} has g_target_us = {row.target_us:g}, but {first.target_us:g} on {place} {first.line}"
            )
            faults.append((row.line, f"{text}: wanted one target per device"))
        if same.line != row.line:
            text = (
                f"device {row.who} at t_s = {row.t_s:g} once more ({place} {same.line} has g_us = {same.g_us:g}, this "
            )
            text += f"{place} {row.g_us:g}): wanted one reading per device and time"
            alike = f"the same as {place} {same.line}: wanted each reading once"
            faults.append((row.line, alike if same.g_us == row.g_us else text))
        elif row.t_s < latest.t_s:
            text = f"device {row.who}: t_s = {row.t_s:g} after {latest.t_s:g} on {place} {latest.line}"
            faults.append((row.line, f"{text}: wanted times that increase within a device"))
        else:
            latests[row.who] = row
    return faults


def _wrong_units(rows: pd.DataFrame) -> list[Fault]:
    """Return a fault if the earliest readings are a power of ten away from the targets, by their median."""
    largest = float(rows["target_us"].max())
    if 0 < largest < 1e-4:
        text = f"the largest g_target_us is {largest:g}: wanted µS; is it in S? then multiply by 1e6, or say --unit"
        return [(WHOLE, f"{text} g_target_us=S")]
    first = rows["t_s"] == rows.groupby(["who", "target_us"])["t_s"].transform("min")
    use = rows[first & (rows["target_us"] > 0) & (rows["g_us"] > 0)]
    ratio = float((use["g_us"] / use["target_us"]).median()) if len(use) >= LEAST_DEVICES else 1.0
    power = round(math.log10(ratio))
    if power == 0 or abs(math.log10(ratio) - power) > 0.25:
        return []
    mend = f"divide g_us by {10.0**power:g}" if power > 0 else f"multiply g_us by {10.0**-power:g}"
    text = (
        f"g_us is about {10.0**power:g} times g_target_us (median of {len(use)} earliest readings: {ratio:.4g} times)"
    )
    option = f"say --unit g_us={_UNITS[power]}, or " if power in _UNITS else ""
    unit = f" (is g_us in {_UNITS[power]}?)" if power in _UNITS else ""
    return [(WHOLE, f"{text}: wanted both in µS{unit}: {option}{mend}, or mend g_target_us")]


def _slips(rows: pd.DataFrame) -> list[Fault]:
    """Return single readings that are ten or a thousand times off the median of their level.

    The median is that of the same time where the level has many readings at that time.
    """
    faults: list[Fault] = []
    row: Any
    rows = rows[rows["target_us"] > 0]
    many = rows.groupby(["target_us", "t_s"])["t_s"].transform("count") >= LEAST_DEVICES
    for _, alike in rows.groupby(["target_us", rows["t_s"].where(many, -1.0)]):
        g = alike["g_us"]
        middle, sd = float(g.median()), float(median_abs_deviation(g, scale="normal"))
        far = (g - middle).abs() > _FAR * sd
        if len(alike) < LEAST_DEVICES or middle <= 0 or not far.any():
            continue
        with np.errstate(divide="ignore"):
            decades = np.log10(g / middle)
        for power in (p for p in _POWERS if p != 1 or sd < _WIDE * middle):
            for row in alike[((decades - power).abs() < _NEAR) & far].itertuples():
                text = (
                    f"g_us = {row.g_us:g} is about {10.0**power:g} times the median of its level, {middle:.4g} µS: "
                    "a slip of the unit? mend it, or leave the device out and say so where you cite the data"
                )
                faults.append((row.line, text))
    return faults
