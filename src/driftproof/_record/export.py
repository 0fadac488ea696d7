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

FORMATS = ("csv", "parquet", "json")


def export(record: Record, format: str, out: str | os.PathLike[str]) -> Path:
    """Write a record to the file ``out`` and return its path.

    CSV and Parquet hold the cells, one row each. JSON holds the whole record: subject, configurations, presets, runs,
    and cells with the number of their run.

    Raises:
        DriftproofError: the format is unknown; ``out`` is a folder; Parquet is wanted and pyarrow is not installed.
    """
    _check_format(format)
    path = checked_file(out, f"cells.{format}")
    content = exported(record, format)
    make_folder(path.parent)
    return write_atomically(path, content)


def exported(record: Record, format: str) -> bytes:
    """Return the content of the file that :func:`export` writes."""
    _check_format(format)
    if format == "csv":
        return record.cells().to_csv(index=False, lineterminator="\n").encode()
    return _parquet(record) if format == "parquet" else _json(record)


def _check_format(format: str) -> None:
    if format not in FORMATS:
        raise DriftproofError(f"format {format!r}: wanted one of {', '.join(FORMATS)}{did_you_mean(format, FORMATS)}")


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
