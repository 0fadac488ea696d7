"""The card of a device: source, validity, laws, four plots, constants, assumptions, and its fit if there is one."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from driftproof._drawing import render_small
from driftproof._errors import DriftproofError
from driftproof._files import make_folder, write_atomically
from driftproof._presets.card import Card
from driftproof._presets.notes import NOTES, caveat_texts, notes_of, other_presets
from driftproof._record import PresetEntry
from driftproof._record.export import checked_file
from driftproof._reporting.card_figures import card_figure, titles
from driftproof._reporting.html import GENERATOR, check_written_here, data_uri, fill_template
from driftproof.laws._words import condition, in_words, time_zero
from driftproof.times import format_time

CARD_FORMATS = (".html", ".svg", ".png")

# The tables of a preset that have a section on its card; all others are constants.
_SECTIONS = ("name", "family", "version", "summary", "argument", "source", "validity", "assumptions", "fit", *NOTES)

_SOURCE = ("title", "authors", "venue", "year", "doi", "where", "fitted_by")

_VALIDITY = {"t_s": "time {} to {}", "g_us": "conductance {} to {} µS", "temperature_c": "temperature {} to {} °C"}

_UNITS = {"us": "µS", "s": "s", "na": "nA", "v": "V"}

_MARK = "driftproof device card"


def write_card(entry: PresetEntry, out: str | os.PathLike[str]) -> Path:
    """Write the card of a device, as a self-contained page or only its plots, and return its path.

    Args:
        entry: The preset with its card.
        out: A file that ends in ``.html``, ``.svg`` or ``.png``; a file that driftproof wrote before is replaced.

    Raises:
        DriftproofError: the file has another ending, is a folder or was not written by driftproof; the entry has no
            card.

    >>> import tempfile
    >>> from driftproof._device_card import device_card
    >>> from driftproof._presets import load_preset
    >>> preset = load_preset("ideal")
    >>> entry = PresetEntry(
    ...     name=preset.name, sha256=preset.sha256, definition=preset.definition(), card=device_card(preset)
    ... )
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_card(entry, f"{folder}/ideal.html").stat().st_size > 20_000
    True
    """
    form = Path(out).suffix.lower()
    if form not in CARD_FORMATS:
        raise DriftproofError(f"{out}: wanted a file that ends in {', '.join(CARD_FORMATS)}")
    path = checked_file(out, f"card{form}")
    if entry.card is None:
        raise DriftproofError(f"{entry.name}: the record was made before cards were stored; evaluate one more chip")
    check_written_here(path, GENERATOR if form == ".html" else _MARK)
    if form == ".html":
        page = fill_template("card_page.html.j2", title=f"{entry.name}: device card", card=card_content(entry))
        content = page.encode()
    else:
        content = render_small(card_figure, entry.card, "svg" if form == ".svg" else "png", _MARK)
    make_folder(path.parent)
    return write_atomically(path, content)


def card_content(entry: PresetEntry) -> dict[str, Any]:
    """Return the content of the template ``card.html.j2`` for a preset.

    Raises:
        DriftproofError: The preset's definition was changed in the record.
    """
    with reading(entry):
        return _card_content(entry)


@contextmanager
def reading(entry: PresetEntry) -> Iterator[None]:
    """Raise DriftproofError, which names the preset, where its definition cannot be read."""
    try:
        yield
    except (AttributeError, TypeError, ValueError, LookupError, RecursionError) as error:
        raise DriftproofError(
            f"preset {entry.name}: its definition in the record is damaged ({type(error).__name__}: {error}); restore "
            "the record from a copy, or write its cells with `driftproof export`"
        ) from error


def _card_content(entry: PresetEntry) -> dict[str, Any]:
    definition = entry.definition
    source = definition.get("source", {})
    if not isinstance(source, Mapping):
        source = {"title": str(source)}
    notes = notes_of(entry.name, entry.sha256, definition)
    no_plots = "plots show the laws of a single preset; this device has none, or those of its parts."
    if "programming" in definition:
        no_plots = "this record was made before cards were stored; evaluating one more chip adds them."
    return {
        "name": entry.name,
        "sha256": entry.sha256,
        **{key: definition.get(key, "") for key in ("family", "version", "summary")},
        "source": {key: source.get(key, "") for key in _SOURCE},
        "laws": list(in_words(definition).items()),
        "constants": flatten({key: value for key, value in definition.items() if key not in _SECTIONS}),
        "validity": [_validity(key, value) for key, value in definition.get("validity", {}).items()],
        "time_zero": time_zero(definition),
        "condition": condition(definition),
        "caveats": caveat_texts(notes),
        "variants": other_presets(notes),
        "assumptions": [
            str(item.get("text", item) if isinstance(item, Mapping) else item)
            for item in definition.get("assumptions", [])
        ],
        "fit": fit_content(definition.get("fit")),
        "plots": plots_content(entry.card) if entry.card else None,
        "no_plots": f"No plots: {no_plots}",
    }


def plots_content(card: Card) -> dict[str, Any]:
    """Return the picture of a card's plots, its description in words, and the notes below it."""
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
    """Return a sentence about a preset's fit to measurements, and (name, value, interval, unit) of its numbers.

    >>> fit = {"devices": 20, "rows": 80, "parameters": [{"name": "nu", "value": 0.05, "low95": 0.04, "unit": ""}]}
    >>> fit_content(fit)["rows"]
    [('nu', '0.05', '0.04 to open', '')]
    """
    if not isinstance(fit, Mapping):
        return None
    parts = [f"{fit[key]:,} {noun}" for key, noun in (("devices", "devices"), ("rows", "readings")) if key in fit]
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
    """Return (dotted key, value, unit) of every number and text in nested tables; the key's ending gives the unit.

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
            _, underscore, ending = key.rpartition("_")
            rows.append((f"{prefix}{key}", _text(value), _UNITS.get(ending, "") if underscore else ""))
    return rows


def _text(value: Any) -> str:
    if isinstance(value, list | tuple):
        nested = any(isinstance(item, list | tuple) for item in value)
        return ("; " if nested else ", ").join(_text(item) for item in value)
    return str(value)


def _validity(key: str, value: Any) -> str:
    if key in _VALIDITY and isinstance(value, list | tuple) and len(value) == 2:
        return _VALIDITY[key].format(*(format_time(float(end)) if key == "t_s" else f"{end:g}" for end in value))
    return f"{key} {_text(value)}"
