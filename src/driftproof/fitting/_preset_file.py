"""A fitted device as a preset file: TOML that :func:`driftproof.load_preset` takes, and that a person can read."""

from __future__ import annotations

import math
import re
from dataclasses import asdict
from typing import Any

import tomlkit
from pydantic import ValidationError
from tomlkit.items import Table

from driftproof._defaults import FAMILY
from driftproof._errors import DriftproofError
from driftproof._presets import DevicePreset
from driftproof.fitting._device import FittedDevice
from driftproof.fitting._measurements import Measurements

_COMMENTS = {
    "programming": ("sigma(r) = sum_i c_i r^i, r = (target - g_min) / (g_max - g_min); conductances are clipped at 0",),
    "drift": ("G(t) = G_prog ((t + t0) / t0)^-nu, nu = |mean + sd xi|, one per device for life; r = target / g_max",),
    "read": (
        "sigma = G(t) Q sqrt(ln((t + t0 + t_read) / (2 t_read))), Q = min(scale r^exponent, max),",
        "r = programmed / g_max",
    ),
    "fit": ("sample sizes, and parameters with their 95 % intervals (an end that is missing is open)",),
}


_SMALL = 0.05
"""Largest part of the last time that counts as none: the drift law changes by 0.3 % in it."""


def preset_name(text: str) -> str:
    """Return a text as a preset's name: small letters, digits, points and dashes.

    >>> preset_name("Wafer 7 (May)")
    'wafer-7-may'
    """
    return re.sub(r"[^a-z0-9._]+", "-", text.lower()).strip("-._") or "measured"


def preset_text(
    device: FittedDevice, measurements: Measurements, *, name: str, title: str = "", family: str = FAMILY
) -> str:
    """Return the preset file of a fitted device.

    Args:
        device: Device, as :func:`driftproof.fitting.fit_measurements` returns it.
        measurements: Measurements that it was fitted to. Only the file's name and hash go into the preset.
        name: Name of the preset.
        title: Title of the source (default: the file of the measurements).
        family: Family of the device, such as PCM.

    Raises:
        DriftproofError: If the name is not a preset's name, or the fit gives an impossible device.
    """
    if not re.fullmatch(r"[a-z0-9][a-z0-9._-]*", name):
        raise DriftproofError(
            f"--name {name!r}: wanted small letters, digits, '.', '_' and '-', such as {preset_name(name)}"
        )
    document = tomlkit.document()
    file = "".join(c if c.isprintable() else "?" for c in measurements.file)
    document.add(tomlkit.comment(f"Written by driftproof presets fit from {file}: intervals are under [fit]."))
    for key, value in _plain(_content(device, measurements, name, title, family)).items():
        document.add(key, _table(key, value) if isinstance(value, dict) else value)
    try:
        DevicePreset.model_validate(document.unwrap())
    except ValidationError as error:
        raise DriftproofError(
            f"the fit gives an impossible device: {error.errors()[0]['msg']}; look at the measurements"
        ) from None
    return tomlkit.dumps(document)


def _content(device: FittedDevice, measurements: Measurements, name: str, title: str, family: str) -> dict[str, Any]:
    """Return the tables of the preset. Those that it does not have are None or empty."""
    fit, drift = device.fit, device.drift
    first, last = fit.t_s
    origin = f"measurements in {measurements.file} (sha256 {measurements.sha256})"
    parts = ["programming noise", *["drift exponents"] * bool(drift), *["1/f read noise"] * bool(device.read)]
    laws = " and ".join(filter(None, (", ".join(parts[:-1]), parts[-1])))
    kind = "devices" if measurements.told_apart else "devices (not told apart through time)"
    of_drift = drift and {
        "law": "power",
        "t0_s": device.t0_s,
        "nu_mean": {"at_r": drift.r, "values": drift.mean},
        "nu_sd": {"at_r": drift.r, "values": drift.sd},
    }
    of_read = {"law": "one-over-f", "t0_s": device.t0_s, "t_read_s": device.t_read_s}
    return {
        "name": name,
        "family": family,
        "version": 1,
        "summary": f"Fitted to measurements of {fit.devices} {kind} at {len(fit.levels_us)} levels: {laws}.",
        "source": {"title": title or origin, "where": origin, "fitted_by": "driftproof presets fit"},
        "conductance": {"encoding": "pair", "g_min_us": device.g_us[0], "g_max_us": device.g_us[1]},
        "programming": {"law": "polynomial", "variable": "r", "sigma_us": device.sigma_us},
        "drift": of_drift,
        "read": device.read and of_read | {"q": asdict(device.read)},
        "validity": {"g_us": device.g_us, "t_s": _valid_s(first, last, measurements.before_s)},
        "assumptions": [{"text": note} for note in (*device.notes, *device.warnings)],
        "fit": fit.model_dump(exclude_none=True, exclude_defaults=True),
    }


def _valid_s(first_s: float, last_s: float, before_s: float) -> tuple[float, float]:
    """Return the times in which the preset is valid, in s.

    Args:
        first_s: First measured time.
        last_s: Last measured time.
        before_s: How much earlier the clock of the file began. Where that is a small part of the last time, this time
            on the file's clock is valid, too: who measured for seven days can ask for seven days.

    >>> _valid_s(0.0, 604780.0, 20.0), _valid_s(3580.0, 3600.0, 3600.0), _valid_s(1.0, 1234564.0, 0.0)
    ((0.0, 604800.0), (3580.0, 3600.0), (1.0, 1234570.0))
    """
    if before_s <= _SMALL * last_s:
        last_s += before_s
    # one time is no range: it begins when programming ends
    first_s, last_s = (first_s, last_s) if first_s < last_s else (0.0, last_s or 1.0)
    # six digits go into the file: not fewer seconds than were measured
    return -_up(-first_s), _up(last_s)


def _up(value: float) -> float:
    """Return the next larger number with six digits; the number itself up to rounding."""
    rounded = float(f"{value:.6g}")
    if rounded >= value - 1e-9 * abs(value):
        return rounded
    return float(f"{rounded + 10.0 ** (math.floor(math.log10(abs(value))) - 5):.6g}")


def _table(key: str, values: dict[str, Any]) -> Table:
    """Return a table that begins with its comments, with inline tables in it."""
    table = tomlkit.table()
    for line in _COMMENTS.get(key, ()):
        table.add(tomlkit.comment(line))
    for name, value in values.items():
        inline = tomlkit.inline_table()
        table.add(name, inline.update(value) or inline if isinstance(value, dict) else value)
    return table


def _plain(value: Any) -> Any:
    """Return a value with its floats as six digits, lists for tuples, and without entries that are None or empty."""
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items() if one is not None and one != []}
    if isinstance(value, tuple | list):
        return [_plain(one) for one in value]
    return float(f"{value:.6g}") if isinstance(value, float) else value
