"""A record as CSV, Parquet or JSON."""

from __future__ import annotations

import importlib.util
import json
import os
from pathlib import Path

from pydantic_core import to_jsonable_python

from driftproof._errors import DriftproofError, did_you_mean
from driftproof._files import make_folder, write_atomically
from driftproof._record.store import Record
from driftproof._record.table import with_shown_ids

FORMATS = ("csv", "parquet", "json")


def export(record: Record, format: str, out: str | os.PathLike[str]) -> Path:
    """Write a record to the file ``out`` and return its path.

    CSV and Parquet hold the cells, one row each. In CSV, ids of configurations begin with the letter ``c``, so that
    spreadsheets do not take them for numbers. JSON holds the whole record: subject, configurations, presets, runs,
    and cells with the number of their run.

    Raises:
        DriftproofError: the format is unknown; ``out`` is a folder; Parquet is wanted and pyarrow is not installed.
    """
    if format not in FORMATS:
        raise DriftproofError(f"format {format!r}: wanted one of {', '.join(FORMATS)}{did_you_mean(format, FORMATS)}")
    path = checked_file(out, f"cells.{format}")
    if format == "csv":
        content = with_shown_ids(record.cells()).to_csv(index=False, lineterminator="\n").encode()
    elif format == "parquet":
        content = _parquet(record)
    else:
        content = _json(record)
    make_folder(path.parent)
    return write_atomically(path, content)


def checked_file(out: str | os.PathLike[str], example: str) -> Path:
    """Return the path of a file that is to be written; raise DriftproofError if it is a folder."""
    path = Path(out)
    if path.is_dir():
        raise DriftproofError(f"{path} is a folder, wanted a file such as {path / example}")
    return path


def _parquet(record: Record) -> bytes:
    if importlib.util.find_spec("pyarrow") is None:
        raise DriftproofError(
            "Parquet needs pyarrow, which is not installed; run `pip install driftproof[parquet]` or export to csv"
        )
    content: bytes = record.cells().to_parquet(engine="pyarrow", index=False)
    return content


def _json(record: Record) -> bytes:
    content = {
        "about": "driftproof record; accuracies and F1 in percent, times in seconds after the first read",
        "subject": record.subject,
        "conversions": record.conversions(),
        "series": record.series(),
        "configurations": record.configurations(),
        "presets": record.presets(),
        "runs": record.runs(),
        "cells": [cell.model_dump() | {"run": number} for cell, number in record.entries()],
    }
    return (json.dumps(to_jsonable_python(content), indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()
