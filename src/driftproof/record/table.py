"""Cells as a table: the columns and the order that every export shares."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from driftproof.record.entries import DIGITAL, IDEAL_ANALOG, Configuration, Subject

_DTYPES = {
    "config_id": "object",
    "label": "object",
    "model": "object",
    "preset": "object",
    "backend": "object",
    "periphery": "object",
    "compensation": "object",
    "device": "object",
    "digital": "object",
    "t_s": "float64",
    "in_validity": "bool",
    "chip": "int64",
    "seed": "int64",
    "metric": "object",
    "value": "float64",
    "n_samples": "int64",
}
CELL_COLUMNS = tuple(_DTYPES)
ROW_COLUMNS = ("config_id", "preset", "digital", "chip", "t_s", "in_validity", "value", "n_samples")
"""What a row of a record begins with: ``digital`` is JSON there."""


def preset_order(preset: str) -> tuple[int, str]:
    """Return a sort key: rows without devices first, then presets by name.

    >>> sorted(["a", "ideal-analog", "digital"], key=preset_order)
    ['digital', 'ideal-analog', 'a']
    """
    special = (DIGITAL, IDEAL_ANALOG)
    return (special.index(preset) if preset in special else len(special), preset)


def digital_text(layers: Sequence[str]) -> str:
    """Return the names of the layers kept digital as one column shows them.

    >>> digital_text(["conv1", ""])
    'conv1 (root)'
    """
    return " ".join(name or "(root)" for name in layers)


def cell_table(
    subject: Subject | None, configurations: Mapping[str, Configuration], rows: Sequence[tuple[Any, ...]]
) -> pd.DataFrame:
    """Return one row a cell with the columns of ``CELL_COLUMNS``; ``rows`` begin with those of ``ROW_COLUMNS``."""
    table = pd.DataFrame([row[: len(ROW_COLUMNS)] for row in rows], columns=list(ROW_COLUMNS))
    for name in ("label", "backend", "periphery", "compensation", "device", "seed"):
        table[name] = table["config_id"].map({key: getattr(item, name) for key, item in configurations.items()})
    table["digital"] = table["digital"].map({text: digital_text(json.loads(text)) for text in set(table["digital"])})
    table["model"], table["metric"] = (subject.model, subject.metric) if subject else ("", "")
    return table[list(CELL_COLUMNS)].astype(_DTYPES)
