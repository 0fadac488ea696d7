"""Devices from text: a preset, different presets in different layers, or the arrays of measured chips."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from driftproof._devices import Device
from driftproof._errors import DriftproofError
from driftproof._presets import is_mix, load_mix, load_preset
from driftproof.measured import load_measured

MEASURED = "measured:"


def load_device(text: str, changes: Mapping[str, Any] | None = None) -> Device:
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
    if text.startswith(MEASURED):
        if changes:
            raise DriftproofError(f"device {text}: measured conductances have no numbers to change with --set")
        return load_measured(text.removeprefix(MEASURED))
    return load_mix(text, changes) if is_mix(text) else load_preset(text, changes)
