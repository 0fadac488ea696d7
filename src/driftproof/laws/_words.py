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


def in_words(definition: Mapping[str, Any]) -> dict[str, str]:
    """Return a sentence for each table of a preset. Laws that this version does not know are left out.

    Args:
        definition: The preset as plain values, from a file or from a record that another version may have written.

    >>> in_words({"name": "mine", "programming": {"law": "none"}, "levels": {"count": 15}})["levels"]
    'Targets are rounded to the nearest of 15 evenly spaced levels.'
    """
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
