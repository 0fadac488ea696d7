"""A fitted device as a preset file: TOML that :func:`driftproof.load_preset` takes, and that a person can read."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable

from pydantic import ValidationError

from driftproof.defaults import FAMILY
from driftproof.errors import DriftproofError
from driftproof.fitting.device import FittedDevice
from driftproof.fitting.measurements import Measurements
from driftproof.presets import DevicePreset

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")


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
        device: as :func:`driftproof.fitting.fit_measurements` returns it.
        measurements: what it was fitted to; only the file's name and hash go into the preset.
        name: of the preset.
        title: of the source; the measurements' file by default.
        family: of the device, such as PCM.

    Raises:
        DriftproofError: if the name is none.
    """
    if not _NAME.fullmatch(name):
        raise DriftproofError(
            f"--name {name!r}: wanted small letters, digits, '.', '_' and '-', such as {preset_name(name)}"
        )
    fit, (low, high) = device.fit, device.g_us
    first, last = fit.t_s
    origin = f"measurements in {measurements.file} (sha256 {measurements.sha256})"
    parts = ["programming spread"]
    parts += ["drift exponents"] if device.drift else []
    parts += ["1/f read noise"] if device.read else []
    kind = "devices" if measurements.told_apart else "devices (not told apart through time)"
    summary = f"Own measurements of {fit.devices} {kind} at {len(fit.levels_us)} levels: {_list(parts)}."
    lines = [
        f"# Written by driftproof presets fit from {_comment(measurements.file)}: intervals are under [fit].",
        f"name = {_text(name)}",
        f"family = {_text(family)}",
        "version = 1",
        f"summary = {_text(summary)}",
        "",
        "[source]",
        f"title = {_text(title or origin)}",
        f"where = {_text(origin)}",
        'fitted_by = "driftproof presets fit"',
        "",
        "[conductance]",
        'encoding = "pair"',
        f"g_min_us = {_number(low)}",
        f"g_max_us = {_number(high)}",
        "",
        "# sigma(r) = sum_i c_i r^i, r = (target - g_min) / (g_max - g_min); conductances are clipped at 0",
        "[programming]",
        'law = "polynomial"',
        'variable = "r"',
        f"sigma_us = {_numbers(device.sigma_us)}",
    ]
    if device.drift is not None:
        places = _numbers(device.drift.r)
        lines += [
            "",
            "# G(t) = G_prog ((t + t0) / t0)^-nu, nu = |mean + sd xi|, one per device for life; r = target / g_max",
            "[drift]",
            'law = "power"',
            f"t0_s = {_number(device.t0_s)}",
            f"nu_mean = {{ at_r = {places}, values = {_numbers(device.drift.mean)} }}",
            f"nu_sd = {{ at_r = {places}, values = {_numbers(device.drift.sd)} }}",
        ]
    if device.read is not None:
        q = [f"scale = {_number(device.read.scale)}", f"exponent = {_number(device.read.exponent)}"]
        q += [f"max = {_number(device.read.max)}"] if device.read.max is not None else []
        lines += [
            "",
            "# sigma = G(t) Q sqrt(ln((t + t0 + t_read) / (2 t_read))), Q = min(scale r^exponent, max),",
            "# r = programmed / g_max",
            "[read]",
            'law = "one-over-f"',
            f"t0_s = {_number(device.t0_s)}",
            f"t_read_s = {_number(device.t_read_s)}",
            f"q = {{ {', '.join(q)} }}",
        ]
    lines += [
        "",
        "[validity]",
        f"g_us = {_numbers(device.g_us)}",
        # one time is no range: it begins when programming ends
        f"t_s = {_numbers((first, last) if first < last else (0.0, last or 1.0))}",
    ]
    for note in (*device.notes, *device.warnings):
        lines += ["", "[[assumptions]]", f"text = {_text(note)}"]
    lines += [
        "",
        "# what it was fitted to; parameters with their 95 % intervals (an end that is missing is open)",
        "[fit]",
        f"devices = {fit.devices}",
        f"rows = {fit.rows}",
        f"levels_us = {_numbers(fit.levels_us)}",
        f"devices_at_level = [{', '.join(map(str, fit.devices_at_level))}]",
        f"times = {fit.times}",
        f"t_s = {_numbers(fit.t_s)}",
    ]
    for one in fit.parameters:
        lines += ["", "[[fit.parameters]]", f"name = {_text(one.name)}", f"value = {_number(one.value)}"]
        lines += [f"low95 = {_number(one.low95)}"] if one.low95 is not None else []
        lines += [f"high95 = {_number(one.high95)}"] if one.high95 is not None else []
        lines += [f"unit = {_text(one.unit)}"] if one.unit else []
    text = "\n".join(lines) + "\n"
    try:
        DevicePreset.model_validate(tomllib.loads(text))
    except ValidationError as error:
        raise DriftproofError(
            f"the fit gives a device that cannot be: {error.errors()[0]['msg']}; look at the data"
        ) from None
    return text


def _text(text: str) -> str:
    """Return a TOML string."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in escaped) + '"'


def _comment(text: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in text)


def _number(value: float) -> str:
    """Return a TOML float with six digits."""
    return repr(float(f"{value:.6g}"))


def _numbers(values: Iterable[float]) -> str:
    return f"[{', '.join(map(_number, values))}]"


def _list(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
