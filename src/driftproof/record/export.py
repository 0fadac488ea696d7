"""A record as CSV, Parquet or JSON."""

from __future__ import annotations

import importlib.util
import io
import json
import os
from pathlib import Path

from driftproof.errors import DriftproofError, did_you_mean
from driftproof.record.atomic import write_atomically
from driftproof.record.store import Record

FORMATS = ("csv", "parquet", "json")


def export(record: Record, format: str, out: str | os.PathLike[str]) -> Path:
    """Write a record to the file ``out`` and return its path.

    CSV and Parquet hold the cells, one row each. JSON holds all of the record: subject, configurations, presets,
    runs, and cells with the run that made them.

    Raises:
        DriftproofError: unknown format; ``out`` is a folder; Parquet without pyarrow.
    """
    if format not in FORMATS:
        raise DriftproofError(f"format {format!r}: wanted one of {', '.join(FORMATS)}{did_you_mean(format, FORMATS)}")
    path = Path(out)
    if path.is_dir():
        raise DriftproofError(f"{path} is a folder, wanted a file such as {path / f'cells.{format}'}")
    if format == "csv":
        content = record.cells().to_csv(index=False, lineterminator="\n").encode()
    elif format == "parquet":
        content = _parquet(record)
    else:
        content = _json(record)
    path.parent.mkdir(parents=True, exist_ok=True)
    return write_atomically(path, content)


def _parquet(record: Record) -> bytes:
    if importlib.util.find_spec("pyarrow") is None:
        raise DriftproofError(
            "Parquet needs pyarrow, which is not installed; run `pip install driftproof[parquet]` or export to csv"
        )
    buffer = io.BytesIO()
    record.cells().to_parquet(buffer, engine="pyarrow", index=False)
    return buffer.getvalue()


def _json(record: Record) -> bytes:
    subject = record.subject
    content = {
        "about": "driftproof record; accuracies and F1 in percent, times in seconds after programming",
        "subject": subject.model_dump(mode="json") if subject else None,
        "conversions": {key: item.model_dump(mode="json") for key, item in record.conversions().items()},
        "series": {key: item.model_dump(mode="json") for key, item in record.series().items()},
        "configurations": {key: item.model_dump(mode="json") for key, item in record.configurations().items()},
        "presets": {name: item.model_dump(mode="json") for name, item in record.presets().items()},
        "runs": {str(number): run.model_dump(mode="json") for number, run in record.runs().items()},
        "cells": [cell.model_dump(mode="json") | {"run": number} for cell, number in record.entries()],
    }
    return (json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()
