"""The number of samples that an interval of ±0.5 points needs, from a CSV file that was computed before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from driftproof._errors import DriftproofError

COLUMNS = ("device", "time", "design", "chips", "samples", "full_chips", "full_by_samples")
"""Columns that are taken: chips and samples of a design (means over repetitions); chips of the full design for the same
interval, and its samples relative to those of the design."""


def read_needed(path: Path) -> list[dict[str, Any]]:
    """Return the rows of the file.

    Raises:
        DriftproofError: The file cannot be read, or a column is missing.
    """
    try:
        table = pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise DriftproofError(f"samples needed: {path} cannot be read: {error}") from error
    if missing := [name for name in COLUMNS if name not in table.columns]:
        raise DriftproofError(f"samples needed: {path} has no column {missing[0]!r}; wanted {', '.join(COLUMNS)}")
    rows: list[dict[str, Any]] = table[list(COLUMNS)].to_dict(orient="records")  # type: ignore[assignment]
    return rows
