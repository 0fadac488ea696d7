"""The record: one SQLite file with every cell of an evaluation and how it came about."""

from __future__ import annotations

from driftproof.record.entries import (
    DIGITAL,
    IDEAL_ANALOG,
    Cell,
    Configuration,
    Layer,
    MeasuredRanges,
    PresetEntry,
    Recalibrated,
    Run,
    Subject,
    config_id,
)
from driftproof.record.export import FORMATS, export
from driftproof.record.quantity import QUANTITIES, Quantity, quantity_of
from driftproof.record.store import FILE_NAME, Record
from driftproof.record.table import CELL_COLUMNS

__all__ = [
    # The file
    "CELL_COLUMNS",
    "FILE_NAME",
    "Record",
    # What it holds
    "Cell",
    "Configuration",
    "Layer",
    "MeasuredRanges",
    "PresetEntry",
    "Recalibrated",
    "Run",
    "Subject",
    "config_id",
    # What its values are
    "QUANTITIES",
    "Quantity",
    "quantity_of",
    # Rows without devices
    "DIGITAL",
    "IDEAL_ANALOG",
    # Out of it
    "FORMATS",
    "export",
]
