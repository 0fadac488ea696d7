"""What a reader must know about the devices of a report: conditions, caveats, t = 0, and what other presets give."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from typing import Any

from driftproof._files import read_toml
from driftproof._presets.notes import caveat_texts, notes_of, other_presets
from driftproof._record import Configuration, PresetEntry
from driftproof._reporting.cards import reading
from driftproof._reporting.gather import Evidence
from driftproof._reporting.origin import zero_of
from driftproof.laws._words import condition
from driftproof.times import format_time


def device_notes(evidence: Evidence) -> list[dict[str, Any]]:
    """Return name, condition, caveats and variants of each preset of a report that has any of them.

    The results of a variant are those of the report itself if it has any at a time at which both presets are valid.
    """
    notes = []
    for name, entry in evidence.presets.items():
        with reading(entry):
            tables = notes_of(name, entry.sha256, entry.definition)
            note = {
                "name": name,
                "condition": condition(entry.definition),
                "caveats": caveat_texts(tables),
                "variants": [
                    {"name": other, "what": what, "results": _in_this_report(evidence, name, other) or results}
                    for other, what, results in other_presets(tables)
                ],
            }
        if note["condition"] or note["caveats"] or note["variants"]:
            notes.append(note)
    return notes


def time_zeros(entries: Mapping[str, PresetEntry]) -> str:
    """Return sentences about t = 0; several sentences name their presets."""
    sentences: dict[str, list[str]] = {}
    for name, entry in entries.items():
        if text := zero_of(entry.definition):
            sentences.setdefault(text, []).append(name)
    if len(sentences) == 1:
        return next(iter(sentences))
    return " ".join(f"{', '.join(names)}: {text}" for text, names in sentences.items())


def conditions(entries: Mapping[str, PresetEntry]) -> dict[str, str]:
    """Return preset → condition, of the presets that have one."""
    found = {name: condition(entry.definition) for name, entry in entries.items()}
    return {name: text for name, text in found.items() if text}


def left_out(configuration: Configuration) -> list[str]:
    """Return what the source of a configuration's periphery has and the periphery leaves out.

    Records of earlier versions do not say it; for them, the shipped periphery of the same name does.
    """
    around = configuration.around or {}
    texts = around.get("left_out")
    if texts is None and configuration.periphery.partition(" [")[0] == "standard":
        # the file itself: driftproof.periphery imports torch
        texts = read_toml(resources.files("driftproof") / "periphery" / "files" / "standard.toml")["left_out"]
    return [text for key, text in (texts or {}).items() if key not in around]


def _in_this_report(evidence: Evidence, name: str, other: str) -> str:
    """Return a sentence about the results of two presets at the times at which both are valid; empty if there is none.

    The means are over the same chips if the numbers of chips are equal.
    """
    quantity, parts = evidence.quantity, []
    for key, label in evidence.names.items():
        one, two = (
            rows[rows["in_validity"]].set_index("t_s")["mean"]
            for rows in (evidence.series(key, preset) for preset in (name, other))
        )
        said = []
        for t_s in one.index.intersection(two.index):
            gap = float(two[t_s] - one[t_s])
            more = "more" if gap > 0 else "less"
            size = f"{abs(gap):.1f} points" if quantity.percent else quantity.difference(abs(gap), float(one[t_s]))
            values = " and ".join(quantity.said(float(row[t_s])) for row in (one, two))
            how = "equal" if quantity.said(float(one[t_s])) == quantity.said(float(two[t_s])) else f"{size} {more}"
            said.append(f"{values} at {format_time(float(t_s))} ({how})")
        if said:
            parts.append(f"{label}: {'; '.join(said)}" if label else "; ".join(said))
    return f"In this report, {name} and {other} have a mean of {'. '.join(parts)}." if parts else ""
