"""Any device by its text: a preset, different presets for different layers, or the arrays of a measured chip."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from driftproof.devices import Device
from driftproof.errors import DriftproofError
from driftproof.measured import load_measured
from driftproof.presets import is_mix, load_mix, load_preset

MEASURED = "measured:"


def load_device(text: str, changes: Mapping[str, Any] | None = None) -> Device:
    """Return the device that a text names.

    Args:
        text: what :func:`load_preset` takes; ``DEVICE,PATTERN=DEVICE,…`` for different devices in different layers;
            or ``measured:FOLDER`` for the conductances of real chips.
        changes: dotted key → new number; none for measured chips.

    Raises:
        DriftproofError: whatever is wrong with it.

    >>> load_device("pcm-nandakumar-2019,fc=ideal").for_layer("fc").name
    'ideal'
    """
    if text.startswith(MEASURED):
        if changes:
            raise DriftproofError(f"device {text}: measured conductances have no numbers to change with --set")
        return load_measured(text.removeprefix(MEASURED))
    return load_mix(text, changes) if is_mix(text) else load_preset(text, changes)
