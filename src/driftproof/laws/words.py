"""What the laws of a device do, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pydantic import ValidationError

from driftproof.laws.drift import DriftLaw
from driftproof.laws.encoding import Encoding
from driftproof.laws.levels import Levels
from driftproof.laws.programming import ProgrammingLaw
from driftproof.laws.read import ReadLaw
from driftproof.laws.stuck import Stuck

FAMILIES: Final[dict[str, Any]] = {
    "conductance": Encoding,
    "programming": ProgrammingLaw,
    "drift": DriftLaw,
    "read": ReadLaw,
}
"""Table of a preset → the family of laws that it chooses from, a subclass of :class:`driftproof.laws.Law`."""

_SINGLE: Final[dict[str, type[Levels | Stuck]]] = {"stuck": Stuck, "levels": Levels}


def in_words(definition: Mapping[str, Any]) -> dict[str, str]:
    """Return what each table of a preset says, table → sentence; without laws that are not known here.

    Args:
        definition: the preset as plain values, of a file or a record. (A record may be older or newer than this.)

    >>> in_words({"name": "mine", "programming": {"law": "none"}, "levels": {"count": 15}})["levels"]
    'Targets are rounded to the nearest of 15 evenly spaced levels.'
    """
    found = {}
    for table, family in FAMILIES.items():
        if definition.get(table):
            try:
                found[table] = family.chosen(definition[table]).words()
            except ValidationError:
                continue
    for table, kind in _SINGLE.items():
        if definition.get(table):
            try:
                found[table] = kind.model_validate(definition[table]).words()
            except ValidationError:
                continue
    return found
