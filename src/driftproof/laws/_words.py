"""A device's laws in words."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

from pydantic import ValidationError

from driftproof.laws._curve import UPPER_END
from driftproof.laws._drift import DriftLaw
from driftproof.laws._encoding import Encoding
from driftproof.laws._levels import Levels
from driftproof.laws._old_forms import as_now
from driftproof.laws._programming import ProgrammingLaw
from driftproof.laws._read import ReadLaw
from driftproof.laws._stuck import Stuck
from driftproof.laws._variation import Variation

FAMILIES: Final[dict[str, Any]] = {
    "conductance": Encoding,
    "programming": ProgrammingLaw,
    "drift": DriftLaw,
    "read": ReadLaw,
}
"""Table of a preset → the family of laws that the table chooses from, a subclass of :class:`driftproof.laws.Law`."""

GENERIC: Final = ("none", "generic")
"""Families of presets whose errors are a definition or a generic assumption, and not those of a published device."""


def in_words(definition: Mapping[str, Any]) -> dict[str, str]:
    """Return a sentence for each table of a preset. Laws that this version does not know are left out.

    Args:
        definition: The preset as plain values, from a file or from a record that another version may have written.

    >>> in_words({"name": "mine", "programming": {"law": "none"}, "levels": {"count": 15}})["levels"]
    'Targets are rounded to the nearest of 15 evenly spaced levels.'
    """
    definition = as_now(definition)
    tables = {table: family.chosen for table, family in FAMILIES.items()}
    g_us, sentences = definition.get("validity", {}).get("g_us"), {}
    upper_end = f"{UPPER_END}, {g_us[1]:g} µS" if g_us else UPPER_END
    others = {
        "stuck": Stuck.model_validate,
        "levels": Levels.model_validate,
        "variation": Variation.model_validate,
    }
    for table, read in (tables | others).items():
        if definition.get(table):
            with suppress(ValidationError):
                sentences[table] = read(definition[table]).words().replace(UPPER_END, upper_end)
    return sentences


def time_zero(definition: Mapping[str, Any]) -> str:
    """Return a sentence about t = 0 for a preset of a published device; it is empty for all others.

    >>> from driftproof._presets import load_preset
    >>> print(time_zero(load_preset("pcm-nandakumar-2019").definition()))
    t = 0 is the first read, 20 s (t0) after the last programming pulse.
    >>> print(time_zero(load_preset("reram-wan-2022").definition()))
    t = 0 is the first read after programming.
    """
    if "programming" not in definition or definition.get("family") in GENERIC:
        return ""
    t0_s = first_read_s(definition)
    when = " after programming" if t0_s is None else f", {t0_s:g} s (t0) after the last programming pulse"
    return f"t = 0 is the first read{when}."


def first_read_s(definition: Mapping[str, Any]) -> float | None:
    """Return the time from the last programming pulse to t = 0, in s; None if the preset's laws do not have one."""
    with suppress(ValidationError):
        return DriftLaw.chosen(definition["drift"]).first_read_s if definition.get("drift") else None
    return None


def condition(definition: Mapping[str, Any]) -> str:
    """Return the condition that stands beside every result of a preset; empty if there is none.

    >>> from driftproof._presets import load_preset
    >>> condition(load_preset("reram-cmo-2pct").definition())
    'drifting reference column'
    """
    with suppress(ValidationError):
        return Encoding.chosen(definition["conductance"]).condition if definition.get("conductance") else ""
    return ""
