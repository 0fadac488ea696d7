"""Measurements against the fit, drawn without pyplot: drift of each level, spread after programming, ν, read noise."""

from __future__ import annotations

import io
from typing import Any

import matplotlib
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from driftproof.errors import DriftproofError
from driftproof.fitting.contradictions import predicted
from driftproof.fitting.device import FittedDevice
from driftproof.fitting.measurements import Measurements

Floats = npt.NDArray[np.float64]
FORMATS = ("png", "svg")
BLUE, ORANGE, INK = "#0072B2", "#D55E00", "#333333"
# Any: matplotlib types its settings by name, those of later versions included.
_STYLE: Any = {
    "font.size": 9.5,
    "svg.hashsalt": "driftproof",
    "svg.fonttype": "path",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#888888",
    "axes.labelcolor": INK,
    "text.color": INK,
    "legend.frameon": False,
    "savefig.dpi": 150,
}


def figure_bytes(measurements: Measurements, device: FittedDevice, file_format: str, name: str) -> bytes:
    """Return a figure of the measurements (points) and the fitted law (lines).

    Args:
        measurements: what was fitted.
        device: what was found.
        file_format: "png" or "svg".
        name: of the preset, for the title.

    Raises:
        DriftproofError: if the format is another.
    """
    if file_format not in FORMATS:
        raise DriftproofError(f"a figure as {file_format!r}: wanted a file that ends in .png or .svg")
    out = io.BytesIO()
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_STYLE)
        figure = Figure(figsize=(9.6, 7.0), layout="constrained")
        axes = figure.subplots(2, 2)
        _levels_over_time(axes[0, 0], measurements, device)
        _spreads(axes[0, 1], measurements, device)
        _exponents(axes[1, 0], device)
        _read_noise(axes[1, 1], measurements, device)
        fit = device.fit
        figure.suptitle(
            f"{name}: {fit.devices:,} devices, {len(fit.levels_us)} levels, {fit.rows:,} readings; "
            "points measured, lines fitted",
            fontsize=10.5,
        )
        metadata: Any = {"Date": None, "Creator": None} if file_format == "svg" else {"Software": None}
        figure.savefig(out, format=file_format, metadata=metadata)
    return out.getvalue()


def _levels_over_time(axes: Axes, measurements: Measurements, device: FittedDevice) -> None:
    """Mean and standard deviation of each level at each time, against what the law gives."""
    first, last = device.fit.t_s
    smallest = max(first, 1e-2 * device.t0_s)
    grid = np.geomspace(smallest, max(last, 2 * smallest), 40)
    levels = [level for level in device.fit.levels_us if level > 0] or list(device.fit.levels_us)
    lowest = np.inf
    for level in levels:
        at = measurements.target_us == level
        mean, sd = np.array([predicted(device, level, t) for t in grid]).T
        axes.plot(grid, mean, color=BLUE, lw=1.3)
        axes.fill_between(grid, np.maximum(mean - sd, 0.02 * mean), mean + sd, color=BLUE, alpha=0.15, lw=0)
        for rows in _like_times(measurements.t_s, np.flatnonzero(at), device.t0_s):
            g, t = measurements.g_us[rows], float(np.median(measurements.t_s[rows]))
            if len(g) < 2:
                continue
            middle, spread = float(g.mean()), float(g.std(ddof=1))
            if middle <= 0:
                continue
            down = min(spread, 0.98 * middle)
            axes.errorbar(max(t, smallest), middle, [[down], [spread]], fmt="o", ms=3, color=ORANGE, lw=0.9)
            lowest = min(lowest, max(middle - down, 0.2 * middle))
    axes.set(xscale="log", yscale="log", xlabel="time after programming in s", ylabel="conductance in µS")
    if np.isfinite(lowest):
        axes.set_ylim(bottom=0.8 * lowest)
    axes.set_title("each level over time: mean and one standard deviation", fontsize=9.5)


def _like_times(t_s: Floats, rows: npt.NDArray[np.int64], t0_s: float, most: int = 20) -> list[npt.NDArray[np.int64]]:
    """Return rows in parts of equal time; where there are too many times, of times that are alike for the drift."""
    times = t_s[rows]
    if len(np.unique(times)) > most:
        log_a = np.log(times + t0_s)
        width = (log_a.max() - log_a.min()) / most
        times = np.floor((log_a - log_a.min()) / width)
    order = np.argsort(times, kind="stable")
    return np.split(rows[order], np.flatnonzero(np.diff(times[order])) + 1)


def _spreads(axes: Axes, measurements: Measurements, device: FittedDevice) -> None:
    """Standard deviation of each level's earliest readings; they contain the read noise of that time."""
    grid = np.linspace(*device.g_us, 60)
    t_s = float(np.median(measurements.t_s[measurements.ends(device.fit.levels_us[-1])[0]]))
    axes.plot(grid, device.sigma_at(grid), color=BLUE, lw=1.5, label="programming, σ of the law")
    whole = [predicted(device, g, t_s)[1] for g in grid]
    axes.plot(grid, whole, color=BLUE, lw=1.1, ls="--", label="as first read: clipped, with read noise")
    label = "first readings, with 95 % interval"
    for level in device.fit.levels_us:
        g = measurements.g_us[measurements.ends(level)[0]]
        if len(g) < 3:
            continue
        sd = float(g.std(ddof=1))
        # the error of a standard deviation by the fourth moment, for the readings need not be normal
        fourth = float(((g - g.mean()) ** 4).mean())
        error = 1.96 * np.sqrt(max(fourth - sd**4, 0.0) / len(g)) / (2 * sd) if sd else 0.0
        axes.errorbar(level, sd, error, fmt="o", ms=4, color=ORANGE, lw=1.1, label=label)
        label = ""
    axes.set(xlabel="target in µS", ylabel="spread in µS", ylim=(0, None))
    axes.legend(fontsize=8)
    axes.set_title(f"spread after programming (first readings, at about {t_s:.3g} s)", fontsize=9.5)


def _exponents(axes: Axes, device: FittedDevice) -> None:
    """Drift exponents at the levels with their intervals."""
    axes.set_title("drift exponent ν and its 95 % intervals", fontsize=9.5)
    if device.drift is None:
        _say(axes, "no drift was fitted")
        return
    found = {one.name: one for one in device.fit.parameters}
    place = np.array(device.drift.r) * device.g_us[1]
    wide = np.concatenate(([device.g_us[0]], place, [device.g_us[1]]))
    for kind, values, colour, text in (
        ("nu_mean", device.drift.mean, BLUE, "mean"),
        ("nu_sd", device.drift.sd, ORANGE, "sd from device to device"),
    ):
        axes.plot(wide, np.interp(wide, place, values), color=colour, lw=1.2, label=text)
        for x, value in zip(place, values, strict=True):
            one = found.get(f"{kind} at {x:g} µS")
            if one is None or one.low95 is None or one.high95 is None:
                continue
            error = [[max(value - one.low95, 0.0)], [max(one.high95 - value, 0.0)]]
            axes.errorbar(x, value, error, fmt="o", ms=4, color=colour, lw=1.1)
    axes.set(xlabel="target in µS", ylabel="ν", ylim=(0, None))
    axes.legend(fontsize=8)


def _read_noise(axes: Axes, measurements: Measurements, device: FittedDevice) -> None:
    """Q from what is left of each device's readings after its own power law, in bins of devices of like conductance."""
    axes.set_title("read noise Q against the programmed conductance", fontsize=9.5)
    if device.read is None:
        _say(axes, "no read noise was fitted")
        return
    g, q2, freedom = leftovers(measurements, device)
    order = np.argsort(g)
    bins = [part for part in np.array_split(order, min(24, max(len(order) // 20, 3))) if len(part)]
    label = "left of each device's own power law"
    for part in bins:
        total = freedom[part].sum()
        if not total:
            continue
        q = float(np.sqrt((q2[part] * freedom[part]).sum() / total))
        error = 1.96 * q / np.sqrt(2 * total)
        axes.errorbar(float(np.exp(np.log(g[part]).mean())), q, error, fmt="o", ms=4, color=ORANGE, lw=1.1, label=label)
        label = ""
    if len(g):
        grid = np.geomspace(g.min(), max(float(g.max()), device.g_us[1]), 100)
        axes.plot(grid, device.q_at(grid), color=BLUE, lw=1.4, label="Q of the law")
    axes.set(xscale="log", yscale="log", xlabel="programmed conductance in µS", ylabel="Q")
    if len(g):
        axes.legend(fontsize=8)


def leftovers(measurements: Measurements, device: FittedDevice) -> tuple[Floats, Floats, Floats]:
    """Return, for each device with readings to spare: G_prog in µS, Q² and degrees of freedom of its own straight line.

    The line is ln g against ln((t + t0)/t0), so devices with a reading of zero are left out, and where Q √ln … is
    above some 30 % these numbers are rough: they are for the eye, the fit does not use them.
    """
    found = []
    who = np.unique(np.array(measurements.who), return_inverse=True)[1]
    order = np.argsort(who, kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(who[order])) + 1):
        g, t = measurements.g_us[rows], measurements.t_s[rows]
        spare = len(rows) - (2 if device.drift else 1)
        if spare < 1 or g.min() <= 0:
            continue
        x = np.log((t + device.t0_s) / device.t0_s)
        root = np.sqrt(np.log((t + device.t0_s + device.t_read_s) / (2 * device.t_read_s)))
        y = np.log(g)
        slope = (
            float(((x - x.mean()) * y).sum() / max(float(((x - x.mean()) ** 2).sum()), 1e-12)) if device.drift else 0.0
        )
        at_zero = float(y.mean() - slope * x.mean())
        ratio = g / np.exp(at_zero + slope * x)
        left = (ratio / ratio.mean() - 1) / root
        found.append((np.exp(at_zero), float((left**2).sum()) / spare, float(spare)))
    table = np.array(found).reshape(-1, 3)
    return table[:, 0], table[:, 1], table[:, 2]


def _say(axes: Axes, text: str) -> None:
    axes.text(0.5, 0.5, text, ha="center", va="center", transform=axes.transAxes)
    axes.set_xticks([])
    axes.set_yticks([])
