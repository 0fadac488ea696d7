"""Cells as a table: the columns and the order that every export shares."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from driftproof.record.entries import DIGITAL, IDEAL_ANALOG, Cell, Configuration, Subject

_DTYPES = {
    "config_id": "object",
    "label": "object",
    "model": "object",
    "preset": "object",
    "backend": "object",
    "periphery": "object",
    "compensation": "object",
    "device": "object",
    "t_s": "float64",
    "in_validity": "bool",
    "chip": "int64",
    "seed": "int64",
    "metric": "object",
    "value": "float64",
    "n_samples": "int64",
}
CELL_COLUMNS = tuple(_DTYPES)


def preset_order(preset: str) -> tuple[int, str]:
    """Return a sort key: rows without devices first, then presets by name.

    >>> sorted(["a", "ideal-analog", "digital"], key=preset_order)
    ['digital', 'ideal-analog', 'a']
    """
    special = (DIGITAL, IDEAL_ANALOG)
    return (special.index(preset) if preset in special else len(special), preset)


def cell_table(
    subject: Subject | None, configurations: Mapping[str, Configuration], cells: Sequence[Cell]
) -> pd.DataFrame:
    """Return one row a cell with the columns of ``CELL_COLUMNS``, in the order of ``cells``."""
    rows = []
    for cell in cells:
        assert subject is not None
        row = {**configurations[cell.config_id].model_dump(), **cell.model_dump(), "model": subject.model}
        rows.append([row[column] for column in CELL_COLUMNS])
    return pd.DataFrame(rows, columns=list(CELL_COLUMNS)).astype(_DTYPES)
