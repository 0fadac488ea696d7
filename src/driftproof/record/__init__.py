"""The record: one SQLite file with every cell that was measured of a subject, and how it came about."""

from __future__ import annotations

from driftproof.record.entries import (
    DIGITAL,
    DIGITAL_CELL,
    IDEAL_ANALOG,
    Cell,
    CellKey,
    Conditions,
    Configuration,
    Conversion,
    Inputs,
    Layer,
    MeasuredRanges,
    PresetEntry,
    Recalibrated,
    RecalibrationInputs,
    Run,
    Series,
    Subject,
    config_id,
)
from driftproof.record.export import FORMATS, export
from driftproof.record.file import FILE_NAME
from driftproof.record.layer_counts import LAYER_COUNTS, count_of, total_of
from driftproof.record.merging import check_mergeable, merge, merge_all
from driftproof.record.outcome import Outcome, PerSample, Samples, as_samples, value_of
from driftproof.record.quantity import QUANTITIES, Quantity, quantity_of
from driftproof.record.store import Record
from driftproof.record.table import CELL_COLUMNS, digital_text

__all__ = [
    # The file
    "CELL_COLUMNS",
    "FILE_NAME",
    "Record",
    "check_mergeable",
    "merge",
    "merge_all",
    # What one trial came to
    "Outcome",
    "PerSample",
    "Samples",
    "as_samples",
    "value_of",
    # What decides numbers
    "DIGITAL_CELL",
    "CellKey",
    "Conditions",
    "Inputs",
    "RecalibrationInputs",
    "Series",
    "Subject",
    "config_id",
    # How it is shown
    "Cell",
    "Configuration",
    "Conversion",
    "Layer",
    "MeasuredRanges",
    "PresetEntry",
    "Recalibrated",
    "Run",
    "digital_text",
    # Columns of the table of layers
    "LAYER_COUNTS",
    "count_of",
    "total_of",
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
