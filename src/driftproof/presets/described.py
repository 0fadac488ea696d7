"""What a device's definition says, as a record keeps it, where the device itself is not at hand."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from driftproof.presets.preset import DevicePreset


def changes_in_time(definition: Mapping[str, Any], others: Mapping[str, Mapping[str, Any]]) -> bool:
    """Return what the device of a definition answers: its ``changes_in_time``.

    Args:
        definition: what the device's ``definition()`` returned.
        others: name → definition of the devices beside it, among them those that a mix consists of.

    Returns:
        Of measured chips, whether they are valid at more than one time. True if that cannot be told, as of a preset of
        another version of driftproof.

    >>> from driftproof.presets import load_preset
    >>> [changes_in_time(load_preset(name).definition(), {}) for name in ("gaussian", "pcm-nandakumar-2019")]
    [False, True]
    """
    if parts := definition.get("devices"):
        return any(name not in others or changes_in_time(others[name], others) for name in parts.values())
    try:
        return DevicePreset.model_validate(definition).changes_in_time
    except ValidationError:
        low, high = definition.get("validity", {}).get("t_s", (0.0, math.inf))
        return bool(low < high)
