"""What an evaluation is asked for, checked before anything is computed."""

from __future__ import annotations

import operator
from collections.abc import Sequence

import torch

from driftproof.device_choice import load_device
from driftproof.devices import Device
from driftproof.errors import DriftproofError
from driftproof.record import DIGITAL, IDEAL_ANALOG
from driftproof.times import format_time


def check_devices(presets: Sequence[Device | str] | Device | str) -> list[Device]:
    """Return the devices, loaded; each has a name of its own."""
    given = list(presets) if isinstance(presets, Sequence) and not isinstance(presets, str) else [presets]
    devices = [load_device(preset) if isinstance(preset, str) else preset for preset in given]
    if not devices:
        raise DriftproofError("no presets: name at least one device, such as pcm-nandakumar-2019")
    names = [device.name for device in devices]
    for device in names:
        if device in (DIGITAL, IDEAL_ANALOG):
            raise DriftproofError(f"preset {device!r}: the name stands for a row of every record; choose another")
        if names.count(device) > 1:
            raise DriftproofError(
                f"{names.count(device)} presets are called {device!r}; give one of them another name, or give it once"
            )
    return devices


def check_numbers(**numbers: int) -> None:
    """Raise unless every number is at least 1."""
    for what, number in numbers.items():
        if number < 1:
            raise DriftproofError(f"{what.replace('_', ' ')}: wanted at least 1, got {number}")


def whole_number(what: str, value: object) -> int:
    """Return a whole number as Python's own, whatever library it came from.

    >>> whole_number("chip", 3)
    3
    """
    try:
        if isinstance(value, bool):
            raise TypeError
        return operator.index(value)  # type: ignore[arg-type]  # what has no index raises
    except TypeError:
        raise DriftproofError(f"{what} = {value!r}: wanted a whole number") from None


def check_seed(seed: int, below: int = 2**63) -> None:
    """Raise unless a seed is a whole number from 0 on that a record can hold."""
    if not 0 <= seed < below:
        raise DriftproofError(f"seed: wanted a whole number from 0 to 2^{below.bit_length() - 1} - 1, got {seed}")


def check_validity(devices: Sequence[Device], times_s: tuple[float, ...]) -> None:
    """Raise if a time is outside some device's range of validity."""
    for device in devices:
        outside = [format_time(t) for t in times_s if not device.in_validity(t)]
        if outside:
            low, high = (format_time(t) for t in device.validity.t_s)
            raise DriftproofError(
                f"within validity: preset {device.name} is valid from {low} to {high}, not at {', '.join(outside)}; "
                "leave these times out, or leave within_validity (--within-validity) out to have them marked"
            )


def check_torch_device(device: str) -> torch.device:
    """Return where to compute: ``cpu`` or ``cuda``."""
    if device not in ("cpu", "cuda"):
        raise DriftproofError(f"device {device!r}: wanted cpu or cuda")
    if device == "cuda" and not torch.cuda.is_available():
        raise DriftproofError("device cuda: torch finds no CUDA GPU here; use cpu")
    return torch.device(device)
