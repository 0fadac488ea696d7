"""Facts about a device from the definition that a record keeps, where the device itself is not at hand."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from driftproof._presets.preset import DevicePreset
from driftproof.laws._old_forms import as_now


def changes_in_time(definition: Mapping[str, Any], others: Mapping[str, Mapping[str, Any]]) -> bool:
    """Return whether the device of a definition changes in time, as its ``changes_in_time`` does.

    Args:
        definition: Definition of the device, from its ``definition()``.
        others: Definitions of the other devices of the record by name, which include the devices of a mix.

    Returns:
        For measured chips, whether they are valid at more than one time. True if it is unknown, as for a preset of
        another version of driftproof.

    >>> from driftproof._presets import load_preset
    >>> [changes_in_time(load_preset(name).definition(), {}) for name in ("gaussian", "pcm-nandakumar-2019")]
    [False, True]
    """
    if parts := definition.get("devices"):
        return any(name not in others or changes_in_time(others[name], others) for name in parts.values())
    try:
        return DevicePreset.model_validate(as_now(definition)).changes_in_time
    except ValidationError:
        low, high = definition.get("validity", {}).get("t_s", (0.0, math.inf))
        return bool(low < high)
