"""The counts in a table of layers, per forward pass of one sample, in the terminal and in reports.

To add a count, add an entry here, and a field of the layer or a number in its ``more``. No identity depends on it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

LAYER_COUNTS: dict[str, str] = {
    "MVMs": "mvms_per_input",
    "MACs": "macs_per_input",
    "DAC": "dac_per_input",
    "ADC": "adc_per_input",
}
"""Heading → name of the count."""


def count_of(layer: Any, name: str) -> int | None:
    """Return a count of a layer, None if it is unknown."""
    more: Mapping[str, Any] = getattr(layer, "more", {})
    value = more.get(name, getattr(layer, name, None))
    return None if value is None else int(value)


def total_of(layers: Iterable[Any], name: str) -> int:
    """Return the sum of a count over layers; an unknown count is 0."""
    return sum(count_of(layer, name) or 0 for layer in layers)
