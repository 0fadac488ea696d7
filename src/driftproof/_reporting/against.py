"""What comparisons are taken against: the configuration or the preset that a user's words mean."""

from __future__ import annotations

from collections.abc import Sequence

from driftproof._errors import DriftproofError, did_you_mean
from driftproof._reporting.gather import Evidence


def key_against(evidence: Evidence, words: str) -> str | None:
    """Return the id of the configuration that some words mean; None if they name a preset.

    They are the name of a configuration as tables show it (``periphery standard``), alone or before its preset
    (``periphery standard, reram-wan-2022``), the name without the word before it (``standard``), or any part of one
    name only (``6-bit out``).

    Raises:
        DriftproofError: The words mean no configuration and no preset, or several configurations.
    """
    names = {key: name for key, name in evidence.names.items() if name}
    presets = evidence.measured_presets
    for meaning in (
        [key for key, name in names.items() if words == name],
        [key for key, name in names.items() if words in {f"{name}, {preset}" for preset in presets}],
        None if words in presets else [key for key, name in names.items() if words in _parts(name)],
        None if words in presets else [key for key, name in names.items() if words.lower() in name.lower()],
    ):
        if meaning is None:
            return None
        if len(meaning) > 1:
            several = "; ".join(names[key] for key in meaning)
            raise DriftproofError(f"{words!r} means {len(meaning)} configurations ({several}): give the whole name")
        if meaning:
            return meaning[0]
    known = [*names.values(), *presets]
    raise DriftproofError(f"nothing is called {words!r}{did_you_mean(words, known)}; there are {_listed(known)}")


def _parts(name: str) -> set[str]:
    """Return what a name consists of, with and without the words before it.

    >>> sorted(_parts("compensation tile, periphery standard"))
    ['compensation tile', 'periphery standard', 'standard', 'tile']
    """
    parts = name.split(", ")
    return {*parts, *(part.partition(" ")[2] for part in parts)} - {""}


def _listed(names: Sequence[str]) -> str:
    return "; ".join(names) if any("," in name for name in names) else ", ".join(names)
