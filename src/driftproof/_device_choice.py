"""Devices from text: a preset, different presets in different layers, or the arrays of measured chips."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from driftproof._devices import Device
from driftproof._errors import DriftproofError, aihwkit_hint
from driftproof._presets import is_mix, load_mix, load_preset
from driftproof.measured import load_measured

MEASURED = "measured:"


def load_device(text: str | Path, changes: Mapping[str, Any] | None = None) -> Device:
    """Return the device that a text names.

    Args:
        text: A text that :func:`load_preset` takes; ``DEVICE,PATTERN=DEVICE,…`` for different devices in different
            layers; or ``measured:FOLDER`` for the conductances of real chips.
        changes: New numbers by their dotted keys (default: none). Measured chips have no numbers to change.

    Raises:
        DriftproofError: The device does not exist, its file is not valid, or a change is impossible.

    >>> load_device("pcm-nandakumar-2019,fc=ideal").for_layer("fc").name
    'ideal'
    """
    if not isinstance(text, str | Path):
        raise not_a_device(text)
    text = str(text)
    if text.startswith(MEASURED):
        if changes:
            raise DriftproofError(f"device {text}: measured conductances have no numbers to change with --set")
        return load_measured(text.removeprefix(MEASURED))
    return load_mix(text, changes) if is_mix(text) else load_preset(text, changes)


def as_device(choice: object) -> Device:
    """Return a device: itself, or the one that a text names.

    Raises:
        DriftproofError: It is something else, or :func:`load_device` raises it.
    """
    if isinstance(choice, str | Path):
        return load_device(choice)
    if isinstance(choice, Device):
        return choice
    raise not_a_device(choice)


def not_a_device(thing: object) -> DriftproofError:
    """Return the error for something that is no device and no text."""
    return DriftproofError(
        f"device: a {type(thing).__name__} came; wanted a name such as pcm-nandakumar-2019, a file, or a device"
        f"{aihwkit_hint(thing, 'device')}"
    )
