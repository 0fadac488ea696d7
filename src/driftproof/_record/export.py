"""A record as JSON, and the file of an export."""

from __future__ import annotations

import json
import os
from pathlib import Path

from pydantic_core import to_jsonable_python

from driftproof._errors import DriftproofError
from driftproof._record.store import Record


def checked_file(out: str | os.PathLike[str], example: str) -> Path:
    """Return the path of a file that is to be written; raise DriftproofError if it is a folder."""
    path = Path(out)
    if path.is_dir():
        raise DriftproofError(f"{path} is a folder, wanted a file such as {path / example}")
    return path


def record_json(record: Record) -> bytes:
    """Return everything that a record holds: subject, configurations, presets, runs, and cells with their runs."""
    content = {
        "about": "driftproof record; accuracies and F1 in percent, times in seconds after the first read (measured "
        "chips: after programming)",
        "subject": record.subject,
        "conversions": record.conversions(),
        "series": record.series(),
        "configurations": record.configurations(),
        "presets": record.presets(),
        "runs": record.runs(),
        "cells": [cell.model_dump() | {"run": number} for cell, number in record.entries()],
    }
    return (json.dumps(to_jsonable_python(content), indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()
