"""The columns of counts in a table of layers: what a forward pass of one sample needs, in the terminal and in reports.

A new count is one more entry here, and a field of the layer or a number in its ``more``; no identity depends on it.
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
    """Return one count of a layer, None if it is not known."""
    more: Mapping[str, Any] = getattr(layer, "more", {})
    found = more.get(name, getattr(layer, name, None))
    return None if found is None else int(found)


def total_of(layers: Iterable[Any], name: str) -> int:
    """Return a count summed over layers; one that is not known counts as 0."""
    return sum(count_of(layer, name) or 0 for layer in layers)
