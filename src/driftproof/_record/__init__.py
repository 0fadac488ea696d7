"""The record: one SQLite file with every cell that was measured of a subject, and how it was measured."""

from __future__ import annotations

from driftproof._record.entries import (
    DIGITAL,
    DIGITAL_CELL,
    IDEAL_ANALOG,
    Cell,
    CellKey,
    Conditions,
    Configuration,
    Conversion,
    DrawnSamples,
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
from driftproof._record.export import checked_file, record_json
from driftproof._record.file import FILE_NAME
from driftproof._record.layer_counts import LAYER_COUNTS, count_of, total_of
from driftproof._record.merging import Merged, check_mergeable, same_file
from driftproof._record.outcome import Outcome, PerSample, Samples, as_samples, value_of
from driftproof._record.quantity import QUANTITIES, Quantity, quantity_of
from driftproof._record.store import Record
from driftproof._record.table import CELL_COLUMNS
