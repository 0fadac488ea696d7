"""What a preset says about its results: caveats, and the other presets of the same device."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from driftproof._presets.load import load_preset, preset_names
from driftproof.times import format_time

NOTES: Final = ("caveats", "variants")
"""The tables of a preset that are notes; definitions of records of earlier versions do not have them."""


def notes_of(name: str, sha256: str, definition: Mapping[str, Any]) -> dict[str, Any]:
    """Return the tables of notes from a definition, or those of the shipped preset if the definition is older.

    The shipped preset counts only if it has the same name and the same numbers.

    >>> preset = load_preset("pcm-hermes-2")
    >>> len(notes_of(preset.name, preset.sha256, {"name": preset.name})["caveats"])
    2
    """
    found = {key: definition[key] for key in NOTES if key in definition}
    if found or name not in preset_names():
        return found
    shipped = load_preset(name)
    return {key: shipped.definition()[key] for key in NOTES} if shipped.sha256 == sha256 else {}


def caveat_texts(definition: Mapping[str, Any]) -> list[str]:
    """Return the caveats of a definition."""
    return [str(caveat["text"]) for caveat in definition.get("caveats", ())]


class OtherPreset(NamedTuple):
    """Another preset of the same device: its name, what it is, and a sentence about results on both (may be empty)."""

    name: str
    what: str
    results: str


def other_presets(definition: Mapping[str, Any]) -> list[OtherPreset]:
    """Return the variants of a definition.

    >>> (other,) = other_presets(load_preset("reram-wan-2022").definition())
    >>> other.what
    'another fit of the same figure, by the authors of CrossSim'
    >>> print(other.results)
    Accuracy of ResNet-20 on the 10,000 test images of CIFAR-10, mean over 15 to 24 chips, drift compensated per tile, \
at 1 s: 89.4 % on reram-wan-2022, 87.6 % on reram-wan-2022-crosssim (experiments/all_devices).
    """
    variants = definition.get("variants", ())
    return [
        OtherPreset(str(variant["preset"]), str(variant["what"]), _results(variant.get("measured")))
        for variant in variants
    ]


def _results(measured: Mapping[str, Any] | None) -> str:
    if not measured:
        return ""
    results = ", ".join(f"{percent:.1f} % on {name}" for name, percent in measured["percent"].items())
    what = measured["what"][0].upper() + measured["what"][1:]
    return f"{what}, at {format_time(measured['t_s'])}: {results} ({measured['where']})."
