"""Words for where the chips of a report come from: simulated, measured, or some of both."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from driftproof.laws._words import time_zero


class Origin(NamedTuple):
    """Words for the chips of some devices.

    Attributes:
        chips: The word before ``chips``.
        hardware: What a network is on.
        since: What times count from.
    """

    chips: str
    hardware: str
    since: str


_SIMULATED = Origin("simulated", "on simulated analog hardware", "after the first read")
_MEASURED = Origin("measured", "on measured chips", "after programming")
_BOTH = Origin(
    "simulated or measured",
    "on simulated analog hardware and measured chips",
    "after the first read (measured chips: after programming)",
)


def origin_of(definitions: Iterable[Mapping[str, Any]]) -> Origin:
    """Return the words for devices with these definitions; those of measured chips say how many chips there are.

    >>> origin_of([{"name": "measured:wafer-7", "chips": 2}]).hardware
    'on measured chips'
    """
    measured = {_is_measured(definition) for definition in definitions}
    if measured == {True}:
        return _MEASURED
    return _BOTH if True in measured else _SIMULATED


def zero_of(definition: Mapping[str, Any]) -> str:
    """Return a sentence about t = 0 of a device; empty for devices of no publication."""
    if _is_measured(definition):
        return "times count from programming, as in the files of the measured chips."
    return time_zero(definition)


def _is_measured(definition: Mapping[str, Any]) -> bool:
    return "chips" in definition
