"""Measurements against the fit, drawn without pyplot: drift of each level, programming noise, ν, read noise."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, NullLocator, StrMethodFormatter

from driftproof._drawing import render
from driftproof._errors import DriftproofError
from driftproof._presets.preset import Fit
from driftproof.fitting._device import Z95, FittedDevice
from driftproof.fitting._measurements import Measurements
from driftproof.times import format_time, parse_times

FORMATS = ("svg", "png")
BLUE, ORANGE = "#0072B2", "#D55E00"
_POINTS: Any = {"fmt": "o", "ms": 4, "color": ORANGE, "lw": 1.1}


def figure_bytes(measurements: Measurements, device: FittedDevice, file_format: str, name: str) -> bytes:
    """Return a figure of the measurements (points) and the fitted law (lines).

    Args:
        measurements: Measurements that the device was fitted to.
        device: Fitted device.
        file_format: "png" or "svg".
        name: Name of the preset, for the title.

    Raises:
        DriftproofError: If the format is another.
    """
    if file_format not in FORMATS:
        raise DriftproofError(f"a figure as {file_format!r}: wanted a file that ends in .png or .svg")

    def draw(fit: Fit) -> Figure:
        figure = Figure(figsize=(9.6, 7.0), layout="constrained")
        levels, sigmas, exponents, noise = figure.subplots(2, 2).flat
        _levels_over_time(levels, measurements, device)
        _sigmas(sigmas, measurements, device)
        _exponents(exponents, device)
        _read_noise(noise, measurements, device)
        for axes in figure.axes:
            axes.title.set_fontsize(9.5)
            if axes.get_legend_handles_labels()[0]:
                # below the panel, where it covers no data
                axes.legend(fontsize=8, frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=2)
        title = f"{name}: {fit.devices:,} devices, {len(fit.levels_us)} levels, {fit.rows:,} readings"
        figure.suptitle(f"{title}; points measured, lines fitted", fontsize=10.5)
        return figure

    return render(draw, device.fit)[FORMATS.index(file_format)]


def _levels_over_time(axes: Axes, measurements: Measurements, device: FittedDevice) -> None:
    """Draw mean and standard deviation of each level at each time, against the law's."""
    first, last = device.fit.t_s
    smallest = max(first, 1e-2 * device.t0_s)
    grid = np.geomspace(smallest, max(last, 2 * smallest), 40)
    levels = [level for level in device.fit.levels_us if level > 0] or list(device.fit.levels_us)
    for level in levels:
        mean, sd = np.array([device.readings_at(level, t) for t in grid]).T
        axes.plot(grid, mean, color=BLUE, lw=1.3)
        axes.fill_between(grid, np.maximum(mean - sd, 0.02 * mean), mean + sd, color=BLUE, alpha=0.15, lw=0)
    rows = measurements.rows.assign(bin=_time_bins(measurements.rows, device.t0_s))
    bins = rows[rows["target_us"].isin(levels)].groupby(["target_us", "bin"])
    points = bins.agg(t=("t_s", "median"), mean=("g_us", "mean"), sd=("g_us", "std")).query("mean > 0").dropna()
    down = np.minimum(points["sd"], 0.98 * points["mean"])
    t = points["t"].clip(lower=smallest)
    axes.errorbar(t, points["mean"], [down, points["sd"]], **(_POINTS | {"ms": 3, "lw": 0.9}))
    axes.set(xscale="log", yscale="log", xlabel="time after the first read", ylabel="conductance in µS")
    _plain_numbers(axes.yaxis)
    ticks = [one for one in parse_times("1e-3,1s,1min,1h,1d,30d,1y,10y") if smallest <= one <= grid[-1]]
    if len(ticks) > 1:
        axes.set_xticks(ticks, [format_time(one) for one in ticks])
        axes.xaxis.set_minor_locator(NullLocator())
    else:
        _plain_numbers(axes.xaxis, "{x:g} s")
    axes.set(title="each level over time: mean and one standard deviation")
    if len(points):
        axes.set_ylim(bottom=0.8 * np.maximum(points["mean"] - down, 0.2 * points["mean"]).min())


def _plain_numbers(axis: Axis, form: str = "{x:g}") -> None:
    """Write plain numbers at the ticks of a logarithmic axis: few of them, so that they do not touch."""
    low, high = axis.get_data_interval()
    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 300 * max(low, 1e-30) else (1,)))
    axis.set_major_formatter(StrMethodFormatter(form))
    axis.set_minor_formatter(NullFormatter())


def _time_bins(rows: pd.DataFrame, t0_s: float, most: int = 20) -> pd.Series[float]:
    """Return a number for each row: its time; if a level has too many times, a bin of times that drift alike."""
    ln = np.log(rows["t_s"] + t0_s)
    low, high = (ln.groupby(rows["target_us"]).transform(end) for end in ("min", "max"))
    many = rows.groupby("target_us")["t_s"].transform("nunique") > most
    return rows["t_s"].mask(many, np.floor((ln - low) / (high - low).replace(0, 1) * most))


def _sigmas(axes: Axes, measurements: Measurements, device: FittedDevice) -> None:
    """Draw the standard deviation of each level's earliest readings; they contain the read noise of that time."""
    grid = np.linspace(*device.g_us, 60)
    t_s = float(np.median(measurements.t_s[measurements.ends(device.fit.levels_us[-1])[0]]))
    axes.plot(grid, device.sigma_at(grid), color=BLUE, lw=1.5, label="programming, σ of the law")
    whole = [device.readings_at(g, t_s)[1] for g in grid]
    axes.plot(grid, whole, color=BLUE, lw=1.1, ls="--", label="as first read: clipped, with read noise")
    points = []
    for level in device.fit.levels_us:
        g = measurements.g_us[measurements.ends(level)[0]]
        if len(g) > 2:
            sd = float(g.std(ddof=1))
            # the error of a standard deviation by the fourth moment, for the readings need not be normal
            fourth = float(((g - g.mean()) ** 4).mean())
            points.append((level, sd, Z95 * math.sqrt(max(fourth - sd**4, 0.0) / len(g)) / (2 * sd) if sd else 0.0))
    if points:
        axes.errorbar(*np.array(points).T, label="first readings, with 95 % interval", **_POINTS)
    axes.set(xlabel="target in µS", ylabel="standard deviation in µS", ylim=(0, None))
    axes.set(title=f"σ after programming (first readings, at about {t_s:.3g} s)")


def _exponents(axes: Axes, device: FittedDevice) -> None:
    """Draw the drift exponents at the levels with their intervals."""
    if device.drift is None:
        axes.set(title="no drift was fitted", xticks=[], yticks=[])
        return
    at = np.array(device.drift.r) * device.g_us[1]
    wide = [device.g_us[0], *at, device.g_us[1]]
    for kind, values, colour, text in (
        ("nu_mean", device.drift.mean, BLUE, "mean"),
        ("nu_sd", device.drift.sd, ORANGE, "sd from device to device"),
    ):
        axes.plot(wide, np.interp(wide, at, values), color=colour, lw=1.2, label=text)
        for one in device.fit.parameters:
            if one.name.startswith(kind) and one.low95 is not None and one.high95 is not None:
                error = [[max(one.value - one.low95, 0.0)], [max(one.high95 - one.value, 0.0)]]
                axes.errorbar(float(one.name.split()[2]), one.value, error, **(_POINTS | {"color": colour}))
    axes.set(xlabel="target in µS", ylabel="ν", ylim=(0, None), title="drift exponent ν and its 95 % intervals")


def _read_noise(axes: Axes, measurements: Measurements, device: FittedDevice) -> None:
    """Draw Q from the residuals of a power law for each device, in bins of devices of similar conductance."""
    if device.read is None:
        axes.set(title="no read noise was fitted", xticks=[], yticks=[])
        return
    left = leftovers(measurements, device)
    if len(left):
        bins = pd.qcut(left["g"].rank(method="first"), min(24, max(len(left) // 20, 3), len(left)), labels=False)
        sums = left.assign(ln_g=np.log(left["g"]), one=1).groupby(bins).sum()
        q = np.sqrt(sums["square"] / sums["spare"])
        at, error = np.exp(sums["ln_g"] / sums["one"]), Z95 * q / np.sqrt(2 * sums["spare"])
        axes.errorbar(at, q, error, label="residuals of a power law for each device", **_POINTS)
        grid = np.geomspace(left["g"].min(), max(left["g"].max(), device.g_us[1]), 100)
        axes.plot(grid, device.q_at(grid), color=BLUE, lw=1.4, label="Q of the law")
    title = "read noise Q against the programmed conductance"
    axes.set(xscale="log", yscale="log", xlabel="programmed conductance in µS", ylabel="Q", title=title)
    _plain_numbers(axes.xaxis)
    _plain_numbers(axes.yaxis)


def leftovers(measurements: Measurements, device: FittedDevice) -> pd.DataFrame:
    """Return G_prog in µS and the residuals of a straight line, for each device with readings to spare.

    The line is ln g against ln((t + t0)/t0), so devices with a reading of zero are left out. Where Q √ln … is above
    some 30 % these numbers are rough: they are for the eye, the fit does not use them.

    Returns:
        Columns ``g``, ``square`` (Σ of squares in units of the read noise's growth), ``spare`` (degrees of freedom).
    """
    table = []
    for _, rows in measurements.rows.groupby("who"):
        g, t = rows["g_us"].to_numpy(), rows["t_s"].to_numpy()
        spare = len(rows) - (2 if device.drift else 1)
        if spare < 1 or g.min() <= 0:
            continue
        x = np.log((t + device.t0_s) / device.t0_s)
        root = np.sqrt(np.log((t + device.t0_s + device.t_read_s) / (2 * device.t_read_s)))
        line = np.polynomial.Polynomial.fit(x, np.log(g), 1 if device.drift else 0)
        ratio = g / np.exp(line(x))
        table.append((math.exp(line(0.0)), float((((ratio / ratio.mean() - 1) / root) ** 2).sum()), spare))
    return pd.DataFrame(table, columns=["g", "square", "spare"])
