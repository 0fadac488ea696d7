"""A device's card: constants, source, assumptions, validity, its fit if there is one, and four plots."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from driftproof.errors import DriftproofError
from driftproof.laws import in_words
from driftproof.presets.card import Card
from driftproof.record import PresetEntry
from driftproof.record.atomic import write_atomically
from driftproof.reporting.card_figures import card_figure, titles
from driftproof.reporting.figures import render_small
from driftproof.reporting.html import GENERATOR, data_uri, fill_template
from driftproof.times import format_time

CARD_FORMATS = (".html", ".svg", ".png")

# A preset's tables that have their own place on its card; all others are constants.
_TOLD_APART = ("name", "family", "version", "summary", "argument", "source", "validity", "assumptions", "fit")

_SOURCE = ("title", "authors", "venue", "year", "doi", "where", "fitted_by")

_UNITS = {"us": "µS", "s": "s", "na": "nA", "v": "V"}

_OURS = b"driftproof device card"


def write_card(entry: PresetEntry, out: str | os.PathLike[str]) -> Path:
    """Write one device's card and return its path: a self-contained page, or only its plots.

    Args:
        entry: the preset with its card.
        out: a file that ends in ``.html``, ``.svg`` or ``.png``; one that driftproof wrote before is replaced.

    Raises:
        DriftproofError: another ending; a folder; a file that driftproof did not write; an entry without a card.

    >>> import tempfile
    >>> from driftproof.device_card import device_card
    >>> from driftproof.presets import load_preset
    >>> preset = load_preset("ideal")
    >>> entry = PresetEntry(
    ...     name=preset.name, sha256=preset.sha256, definition=preset.definition(), card=device_card(preset)
    ... )
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_card(entry, f"{folder}/ideal.html").stat().st_size > 20_000
    True
    """
    path = Path(out)
    form = path.suffix.lower()
    if form not in CARD_FORMATS:
        raise DriftproofError(f"{path}: wanted a file that ends in {', '.join(CARD_FORMATS)}")
    if path.is_dir():
        raise DriftproofError(f"{path} is a folder, wanted a file such as {path / f'card{form}'}")
    if entry.card is None:
        raise DriftproofError(f"{entry.name}: the record was made before cards were stored; evaluate one more chip")
    if path.exists() and (GENERATOR.encode() if form == ".html" else _OURS) not in path.read_bytes()[:2000]:
        raise DriftproofError(f"{path} was not written by driftproof; choose another --out file, or move it away")
    if form == ".html":
        content = fill_template("card_page.html.j2", title=f"{entry.name}: device card", card=card_content(entry))
        return _write(path, content.encode())
    return _write(path, render_small(card_figure, entry.card, "svg" if form == ".svg" else "png", _OURS))


def _write(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return write_atomically(path, content)


def card_content(entry: PresetEntry) -> dict[str, Any]:
    """Return what the template ``card.html.j2`` shows of a preset."""
    definition = entry.definition
    given = definition.get("source", {})
    source = given if isinstance(given, Mapping) else {"title": str(given)}
    return {
        "name": entry.name,
        "sha256": entry.sha256,
        "family": definition.get("family", ""),
        "version": definition.get("version", ""),
        "summary": definition.get("summary", ""),
        "source": {key: source.get(key, "") for key in _SOURCE},
        "laws": list(in_words(definition).items()),
        "constants": flatten({key: value for key, value in definition.items() if key not in _TOLD_APART}),
        "validity": [_validity(key, value) for key, value in definition.get("validity", {}).items()],
        "assumptions": [
            str(item.get("text", item)) if isinstance(item, Mapping) else str(item)
            for item in definition.get("assumptions", [])
        ],
        "fit": fit_content(definition.get("fit")),
        "plots": plots_content(entry.card) if entry.card else None,
        "no_plots": _no_plots(definition),
    }


def _no_plots(definition: Mapping[str, Any]) -> str:
    """Why a preset without a card has none."""
    if "programming" in definition:
        return "No plots: this record was made before cards were stored; evaluating one more chip adds them."
    return "No plots: they are made from the laws of a single preset; this device has none, or those of its parts."


def plots_content(card: Card) -> dict[str, Any]:
    """Return the picture of a card's plots, what it shows in words, and the notes below it."""
    errors = "; ".join(f"{error.normal:.2g} % at {format_time(error.t_s)}" for error in card.errors)
    return {
        "svg": data_uri(render_small(card_figure, card)),
        "alt": f"Four plots: {'; '.join(titles(card))}. Root mean square of the weights' errors: {errors}.",
        "read_noise": card.read_noise,
        "devices": card.unit == "µS",
        "change": "exponent" if card.exponent else "shift" if card.shift else "",
        "notes": card.notes,
    }


def fit_content(fit: Any) -> dict[str, Any] | None:
    """Return what a preset's fit to measurements says: a sentence, and (name, value, interval, unit) of its numbers.

    >>> fit = {"devices": 20, "rows": 80, "parameters": [{"name": "nu", "value": 0.05, "low95": 0.04, "unit": ""}]}
    >>> fit_content(fit)["rows"]
    [('nu', '0.05', '0.04 to open', '')]
    """
    if not isinstance(fit, Mapping):
        return None
    parts = [f"{fit[key]:,} {what}" for key, what in (("devices", "devices"), ("rows", "readings")) if key in fit]
    if levels := fit.get("levels_us"):
        parts.append(f"targets {', '.join(f'{level:g}' for level in levels)} µS")
    if "t_s" in fit:
        times = " to ".join(format_time(float(t_s)) for t_s in fit["t_s"])
        parts.append(f"{fit['times']} times, {times}" if "times" in fit else times)
    rows = [
        (str(row["name"]), f"{row['value']:.4g}", _interval(row), str(row.get("unit", "")))
        for row in fit.get("parameters", [])
    ]
    return {"sentence": "; ".join(parts), "rows": rows}


def _interval(row: Mapping[str, Any]) -> str:
    low, high = row.get("low95"), row.get("high95")
    if low is None and high is None:
        return ""
    return " to ".join("open" if end is None else f"{end:.4g}" for end in (low, high))


def flatten(table: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str, str]]:
    """Return (dotted key, value, unit) of every number and text in nested tables; the unit is the key's ending.

    >>> flatten({"drift": {"t0_s": 20.0, "nu_mean": {"min": 0.05}}, "conductance": {"g_max_us": 25.0}})
    [('drift.t0_s', '20.0', 's'), ('drift.nu_mean.min', '0.05', ''), ('conductance.g_max_us', '25.0', 'µS')]
    """
    rows: list[tuple[str, str, str]] = []
    for key, value in table.items():
        if isinstance(value, Mapping):
            rows += flatten(value, f"{prefix}{key}.")
        elif isinstance(value, list | tuple) and value and all(isinstance(item, Mapping) for item in value):
            for i, item in enumerate(value):
                rows += flatten(item, f"{prefix}{key}[{i}].")
        else:
            _, _, ending = key.rpartition("_")
            rows.append((f"{prefix}{key}", _text(value), _UNITS.get(ending, "") if "_" in key else ""))
    return rows


def _text(value: Any) -> str:
    if isinstance(value, list | tuple):
        nested = any(isinstance(item, list | tuple) for item in value)
        return ("; " if nested else ", ").join(_text(item) for item in value)
    return str(value)


def _validity(key: str, value: Any) -> str:
    if key == "t_s" and isinstance(value, list | tuple) and len(value) == 2:
        return f"time {format_time(float(value[0]))} to {format_time(float(value[1]))}"
    if key == "g_us" and isinstance(value, list | tuple) and len(value) == 2:
        return f"conductance {value[0]:g} to {value[1]:g} µS"
    if key == "temperature_c" and isinstance(value, list | tuple) and len(value) == 2:
        return f"temperature {value[0]:g} to {value[1]:g} °C"
    return f"{key} {_text(value)}"
