"""Definitions that earlier versions of driftproof wrote, in records and beside saved chips."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

SHIFTED_LATER: Final = {"spread_at": "target"}
"""What the law ``saturating-in-time`` did before it had the key: definitions without it are of that law."""


def as_now(definition: Any) -> Any:
    """Return a preset's stored definition with the keys that its laws had not yet, so that it is the law that it was.

    This is for stored definitions only. A preset file without such a key raises an error that names it, because a file
    says which device is meant now.

    >>> as_now({"programming": {"law": "saturating-in-time"}})["programming"]["spread_at"]
    'target'
    """
    law = definition.get("programming") if isinstance(definition, Mapping) else None
    if not isinstance(law, Mapping) or law.get("law") != "saturating-in-time":
        return definition
    return {**definition, "programming": SHIFTED_LATER | dict(law)}


def as_then(laws: dict[str, Any]) -> dict[str, Any]:
    """Return laws as they were written before keys and words were added, for the hash that records keep of them.

    A law keeps its hash when a key is added that says what the law has always done. Another value of the key is another
    law, with another hash.
    """
    laws = {table: dict(law) if isinstance(law, dict) else law for table, law in laws.items()}
    programming, read = laws.get("programming") or {}, laws.get("read") or {}
    for key, value in SHIFTED_LATER.items():
        if programming.get(key) == value:
            del programming[key]
    if read.get("new_every") == "mvm":
        read["new_every"] = "product"
    return laws
